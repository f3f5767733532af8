"""No position embedding."""

from __future__ import annotations

from torch import Tensor, nn


class NoPosition(nn.Module):
    """Leave the tokens as they are: the encoder sees a set (ViT, arXiv 2010.11929, table 8, "No Pos. Emb.")."""

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """The tokens, unchanged."""
        return tokens_BND
