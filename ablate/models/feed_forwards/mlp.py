"""Two dense layers, applied to each token by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor, nn


class MLP(nn.Module):
    """Dense, GELU, dropout, dense, dropout (ViT, arXiv 2010.11929, section 3.1 and appendix B.1).

    The hidden width is ``ratio`` times the width, rounded to a whole number. ``gelu_tanh`` is the
    approximation that JAX uses by default and so big_vision; ``gelu`` is the exact function (timm, DeiT).
    Raises ValueError where the hidden width would be below 1.
    """

    roles: ClassVar[Mapping[str, str]] = {
        "up.weight": "encoder",
        "up.bias": "mlp_bias",
        "down.weight": "encoder",
        "down.bias": "mlp_bias",
    }

    def __init__(
        self,
        dim: int,
        dropout: float,
        *,
        ratio: float = 4.0,
        activation: Literal["gelu_tanh", "gelu"] = "gelu_tanh",
    ) -> None:
        super().__init__()
        hidden = round(dim * ratio)
        if hidden < 1:
            raise ValueError(f"an MLP of ratio {ratio} leaves no hidden unit at dim {dim}")
        self.up = nn.Linear(dim, hidden)
        self.activation = nn.GELU(approximate="tanh" if activation == "gelu_tanh" else "none")
        self.dropout_up = nn.Dropout(dropout)
        self.down = nn.Linear(hidden, dim)
        self.dropout_down = nn.Dropout(dropout)

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """The residual branch, (B, N, D)."""
        hidden = self.dropout_up(self.activation(self.up(tokens_BND)))
        branch_BND: Tensor = self.dropout_down(self.down(hidden))
        return branch_BND
