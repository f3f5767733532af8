"""Two dense layers along the tokens."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn


class TokenMLP(nn.Module):
    """Dense, GELU, dropout, dense, dropout along the tokens (MLP-Mixer, arXiv 2105.01601, eq. 1).

    All channels share the same weights, and all tokens take part, those that a readout prepends too.
    ``hidden`` is the paper's D_S (table 1): 256 in Mixer-S, 384 in B and 512 in L, whatever the number of
    tokens. ``gelu_tanh`` is what JAX computes.

    Raises ValueError where the number of tokens is not known, because they lie on no grid, and where
    ``hidden`` is below 1.
    """

    def __init__(
        self,
        grid: tuple[int, int] | None,
        prefix_tokens: int,
        dropout: float,
        *,
        hidden: int,
        activation: Literal["gelu_tanh", "gelu"] = "gelu_tanh",
    ) -> None:
        super().__init__()
        if grid is None:
            raise ValueError("token_mlp needs a grid: its layers have one weight for each place of it")
        if hidden < 1:
            raise ValueError(f"token_mlp needs at least one hidden unit, got {hidden}")
        tokens = prefix_tokens + grid[0] * grid[1]
        self.up = nn.Linear(tokens, hidden)
        self.activation = nn.GELU(approximate="tanh" if activation == "gelu_tanh" else "none")
        self.dropout_up = nn.Dropout(dropout)
        self.down = nn.Linear(hidden, tokens)
        self.dropout_down = nn.Dropout(dropout)

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """The residual branch, (B, N, D)."""
        hidden = self.dropout_up(self.activation(self.up(tokens_BND.transpose(1, 2))))
        branch_BND: Tensor = self.dropout_down(self.down(hidden)).transpose(1, 2)
        return branch_BND
