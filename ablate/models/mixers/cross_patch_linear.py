"""One dense layer along the tokens."""

from __future__ import annotations

from torch import Tensor, nn


class CrossPatchLinear(nn.Module):
    """One dense layer along the tokens, the same for each channel (ResMLP, arXiv 2105.03404, eq. 2).

    The paper's A, with a bias as in the official code. All tokens take part, those that a readout prepends
    too. Dropout follows the layer as it follows that of the other mixers; ResMLP was trained with none.

    Raises ValueError where the number of tokens is not known, because they lie on no grid.
    """

    def __init__(self, grid: tuple[int, int] | None, prefix_tokens: int, dropout: float) -> None:
        super().__init__()
        if grid is None:
            raise ValueError("cross_patch_linear needs a grid: its layer has one weight for each pair of places")
        tokens = prefix_tokens + grid[0] * grid[1]
        self.mix = nn.Linear(tokens, tokens)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """The residual branch, (B, N, D)."""
        branch_BND: Tensor = self.dropout(self.mix(tokens_BND.transpose(1, 2))).transpose(1, 2)
        return branch_BND
