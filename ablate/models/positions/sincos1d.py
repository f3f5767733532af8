"""Fixed sines and cosines of the token's number."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SinCos1d(nn.Module):
    """Add fixed sines and cosines of the place in the sequence (Vaswani et al., arXiv 1706.03762, section 3.5).

    Component 2i of token n is sin(n temperature^(-2i / D)), component 2i + 1 the cosine of the same angle.
    Tokens are counted from 0, row by row, prefix tokens first where they are covered: T2T-ViT (arXiv 2101.11986;
    models/transformer_block.py, `get_sinusoid_encoding`) counts its class token as 0. Prefix tokens that are not
    covered are not counted either.
    Raises ValueError where the width is odd or the temperature not positive.
    """

    table: Tensor

    def __init__(
        self, dim: int, grid: tuple[int, int] | None, prefix_tokens: int, *, temperature: float = 10000.0
    ) -> None:
        super().__init__()
        if grid is None:
            raise ValueError("sincos1d needs a grid: it tells places on it apart")
        if dim % 2:
            raise ValueError(f"sincos1d needs an even width, got dim {dim}")
        if temperature <= 0:
            raise ValueError(f"sincos1d needs a positive temperature, got {temperature}")
        # Not part of the state: the Recipe alone determines it.
        self.register_buffer("table", sincos1d(dim, prefix_tokens + grid[0] * grid[1], temperature), persistent=False)

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """The tokens with positions added; prefix tokens, where they are covered, come first."""
        return tokens_BND + self.table


def sincos1d(dim: int, tokens: int, temperature: float) -> Tensor:
    """The table, float32, of shape (tokens, dim); computed in float64."""
    frequencies = temperature ** -(torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    angles = torch.arange(tokens, dtype=torch.float64).reshape(-1, 1) * frequencies
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1).float()
