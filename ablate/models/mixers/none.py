"""No token mixing."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class NoMixing(nn.Module):
    """Leave each token by itself: an empty residual branch (ResMLP, arXiv 2105.03404, table 3, "none").

    The class token would then see nothing of the image; with average pooling the model is a bag of patches.
    """

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """Zeros, (B, N, D)."""
        return torch.zeros_like(tokens_BND)
