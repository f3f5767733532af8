"""One free vector for each place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn


class LearnedPosition(nn.Module):
    """Add a learned vector to each token (ViT, arXiv 2010.11929, eq. 1).

    The vectors of prefix tokens are a parameter of their own, so that those of the patches have the same
    name, shape and first values in Variants with and without a class token.
    """

    roles: ClassVar[Mapping[str, str]] = {"patches": "position", "prefix": "position"}

    def __init__(self, dim: int, grid: tuple[int, int], prefix_tokens: int) -> None:
        super().__init__()
        self.patches = nn.Parameter(torch.zeros(grid[0] * grid[1], dim))
        self.prefix = nn.Parameter(torch.zeros(prefix_tokens, dim)) if prefix_tokens else None

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """The tokens with positions added; prefix tokens, where they are covered, come first."""
        table = self.patches if self.prefix is None else torch.cat((self.prefix, self.patches))
        return tokens_BND + table
