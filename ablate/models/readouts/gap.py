"""Global average pooling."""

from __future__ import annotations

from torch import Tensor, nn


class GlobalAveragePool(nn.Module):
    """The mean of all patch tokens (SimpleViT, arXiv 2205.01580, section 2)."""

    prefix_tokens = 0

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """The representation, (B, D)."""
        return tokens_BND.mean(dim=1)
