"""Fixed sines and cosines of the column and the row."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SinCos2d(nn.Module):
    """Add fixed sines and cosines, a quarter of the width each for sin x, cos x, sin y and cos y.

    x counts columns and y rows, from 0; frequency i is temperature^(-i / (D/4 - 1)). From big_vision
    (models/vit.py, `posemb_sincos_2d`, after MoCo v3), as used in SimpleViT (arXiv 2205.01580, section 2).
    timm's function of a similar name divides by D/4 instead and orders the quarters otherwise. Prefix
    tokens, where they are covered, get zeros (MoCo v3, arXiv 2104.02057).
    Raises ValueError where four quarters of at least two frequencies do not fit the width.
    """

    table: Tensor

    def __init__(
        self, dim: int, grid: tuple[int, int] | None, prefix_tokens: int, *, temperature: float = 10000.0
    ) -> None:
        super().__init__()
        if grid is None:
            raise ValueError("sincos2d needs a grid: it tells places on it apart")
        if dim % 4 or dim < 8:
            raise ValueError(f"sincos2d needs a width that is a multiple of 4 and at least 8, got dim {dim}")
        if temperature <= 0:
            raise ValueError(f"sincos2d needs a positive temperature, got {temperature}")
        table = torch.cat((torch.zeros(prefix_tokens, dim), sincos2d(dim, grid, temperature)))
        # Not part of the state: the Recipe alone determines it.
        self.register_buffer("table", table, persistent=False)

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """The tokens with positions added; prefix tokens, where they are covered, come first."""
        return tokens_BND + self.table


def sincos2d(dim: int, grid: tuple[int, int], temperature: float) -> Tensor:
    """The table, float32, of shape (rows x columns, dim); computed in float64."""
    quarter = dim // 4
    frequencies = temperature ** -(torch.arange(quarter, dtype=torch.float64) / (quarter - 1))
    rows, columns = (torch.arange(length, dtype=torch.float64) for length in grid)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    angles_x = x.reshape(-1, 1) * frequencies
    angles_y = y.reshape(-1, 1) * frequencies
    return torch.cat((angles_x.sin(), angles_x.cos(), angles_y.sin(), angles_y.cos()), dim=1).float()
