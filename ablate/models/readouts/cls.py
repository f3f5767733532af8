"""The class token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn


class ClassToken(nn.Module):
    """A learned token in front of the patches, read at the end (ViT, arXiv 2010.11929, eqs. 1 and 4).

    Whether the final norm stands before or after this readout makes no difference, since it acts on each
    token by itself.
    """

    prefix_tokens = 1
    roles: ClassVar[Mapping[str, str]] = {"token": "token"}

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, dim))

    def prepend(self, tokens_BND: Tensor) -> Tensor:
        """The tokens with the class token in front, (B, 1 + N, D)."""
        return torch.cat((self.token.expand(len(tokens_BND), -1, -1), tokens_BND), dim=1)

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """The representation, (B, D)."""
        return tokens_BND[:, 0]
