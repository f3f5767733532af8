"""One free vector for each place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from ablate.models.interpolation import interpolate


class LearnedPosition(nn.Module):
    """Add a learned vector to each token (ViT, arXiv 2010.11929, eq. 1).

    The vectors of prefix tokens are a parameter of their own, so that those of the patches have the same
    name, shape and first values in Variants with and without a class token.
    """

    roles: ClassVar[Mapping[str, str]] = {"patches": "position", "prefix": "position"}

    def __init__(self, dim: int, grid: tuple[int, int] | None, prefix_tokens: int) -> None:
        super().__init__()
        if grid is None:
            raise ValueError("learned needs a grid: it tells places on it apart")
        self.grid = grid
        self.patches = nn.Parameter(torch.zeros(grid[0] * grid[1], dim))
        self.prefix = nn.Parameter(torch.zeros(prefix_tokens, dim)) if prefix_tokens else None

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """The tokens with positions added; prefix tokens, where they are covered, come first."""
        table = self.patches if self.prefix is None else torch.cat((self.prefix, self.patches))
        return tokens_BND + table

    def resampled(self, name: str, values: Tensor, old_grid: tuple[int, int]) -> Tensor:
        """The values of parameter ``name`` for this grid, from those for ``old_grid`` (ViT, section 3.2).

        Those of the patches by bicubic interpolation, as in DeiT and timm; those of prefix tokens, which lie on
        no grid, unchanged.
        """
        return interpolate(values, old_grid, self.grid) if name == "patches" else values
