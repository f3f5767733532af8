"""The class token and a second one, for a teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn


class DistilledClassToken(nn.Module):
    """A class token and a distillation token in front of the patches, both read at the end.

    DeiT (Touvron et al., arXiv 2012.12877, section 4). Each has a head of its own. While training, the first
    learns from the labels and the second from a teacher; when predicting, the mean of the two counts.
    """

    prefix_tokens = 2
    representations = 2
    roles: ClassVar[Mapping[str, str]] = {"token": "token", "distillation": "token"}

    def __init__(self, dim: int) -> None:
        super().__init__()
        # The class token has the name it has in `ClassToken`, and so the same first values.
        self.token = nn.Parameter(torch.zeros(1, 1, dim))
        self.distillation = nn.Parameter(torch.zeros(1, 1, dim))

    def prepend(self, tokens_BND: Tensor) -> Tensor:
        """The tokens with class token, then distillation token in front, (B, 2 + N, D)."""
        own_12D = torch.cat((self.token, self.distillation), dim=1)
        return torch.cat((own_12D.expand(len(tokens_BND), -1, -1), tokens_BND), dim=1)

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """Two representations, (B, 2, D): the class token's, then the distillation token's."""
        return tokens_BND[:, :2]
