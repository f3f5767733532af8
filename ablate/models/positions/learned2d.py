"""One free vector for each column, and one for each row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from ablate.models.interpolation import interpolate


class LearnedPosition2d(nn.Module):
    """Add to each patch the learned vector of its column joined to that of its row (ViT, arXiv 2010.11929, D.4).

    Each of the two is half as wide as a token: "2-dimensional positional embedding" in ViT's table 8, whose code
    was not published. Prefix tokens have no coordinates and so a vector of their own, of full width.
    Raises ValueError where the width is odd.
    """

    roles: ClassVar[Mapping[str, str]] = {"columns": "position", "rows": "position", "prefix": "position"}

    def __init__(self, dim: int, grid: tuple[int, int] | None, prefix_tokens: int) -> None:
        super().__init__()
        if grid is None:
            raise ValueError("learned2d needs a grid: it tells places on it apart")
        if dim % 2:
            raise ValueError(f"learned2d needs an even width, got dim {dim}")
        self.grid = grid
        self.columns = nn.Parameter(torch.zeros(grid[1], dim // 2))
        self.rows = nn.Parameter(torch.zeros(grid[0], dim // 2))
        self.prefix = nn.Parameter(torch.zeros(prefix_tokens, dim)) if prefix_tokens else None

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """The tokens with positions added; prefix tokens, where they are covered, come first."""
        rows, columns = self.grid
        table = torch.cat((self.columns.repeat(rows, 1), self.rows.repeat_interleave(columns, 0)), dim=1)
        return tokens_BND + (table if self.prefix is None else torch.cat((self.prefix, table)))

    def resampled(self, name: str, values: Tensor, old_grid: tuple[int, int]) -> Tensor:
        """The values of parameter ``name`` for this grid, from those for ``old_grid``.

        Columns and rows linearly, each along its own axis; prefix tokens, which lie on no grid, unchanged.
        """
        if name not in ("columns", "rows"):
            return values
        axis = 0 if name == "rows" else 1
        return interpolate(values, (old_grid[axis], 1), (self.grid[axis], 1), mode="bilinear")
