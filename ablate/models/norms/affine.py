"""Scale and shift without statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn


class Affine(nn.Module):
    """alpha * x + beta, channel by channel, in the place of a normalisation (ResMLP, arXiv 2105.03404, eq. 1).

    It starts as the identity. The paper's second Aff of each branch, at its end, is a gain alone in the
    official code: that is `ablate.models.layer_scale.LayerScale`.
    """

    roles: ClassVar[Mapping[str, str]] = {"alpha": "ones", "beta": "zeros"}

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(dim))
        self.beta = nn.Parameter(torch.zeros(dim))

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """The tokens scaled and shifted; (B, D) works as well."""
        return self.alpha * tokens_BND + self.beta
