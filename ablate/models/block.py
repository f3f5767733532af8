"""One encoder block."""

from __future__ import annotations

from torch import Tensor, nn


class Block(nn.Module):
    """Attention, then feed-forward, each behind a norm and beside a residual connection.

    The pre-norm block of ViT (arXiv 2010.11929, eqs. 2 and 3). Its branches apply their own dropout.
    """

    def __init__(self, norm_1: nn.Module, attention: nn.Module, norm_2: nn.Module, feed_forward: nn.Module) -> None:
        super().__init__()
        self.norm_1 = norm_1
        self.attention = attention
        self.norm_2 = norm_2
        self.feed_forward = feed_forward

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """The tokens after both branches, (B, N, D)."""
        tokens_BND = tokens_BND + self.attention(self.norm_1(tokens_BND))
        return tokens_BND + self.feed_forward(self.norm_2(tokens_BND))

    def forward_with_weights(self, tokens_BND: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, and the attention weights, (B, A, N, N).

        Raises TypeError where the attention cannot give them.
        """
        attend = getattr(self.attention, "forward_with_weights", None)
        if attend is None:
            name = type(self.attention).__name__
            raise TypeError(f"{name} has no forward_with_weights, so it cannot give attention weights")
        branch_BND, weights_BANN = attend(self.norm_1(tokens_BND))
        tokens_BND = tokens_BND + branch_BND
        return tokens_BND + self.feed_forward(self.norm_2(tokens_BND)), weights_BANN
