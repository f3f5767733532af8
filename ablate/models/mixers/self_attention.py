"""Multi-head self-attention over all tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from ablate.models.scaled_dot_product import Bias, attend, attention_weights


class SelfAttention(nn.Module):
    """Multi-head self-attention (Vaswani et al., arXiv 1706.03762, eq. 1; ViT, arXiv 2010.11929, eqs. 5-8).

    Dropout follows the output projection, and not q, k, v. ``attention_dropout`` acts on the weights between softmax
    and values (Vaswani et al.'s official code; timm's `attn_drop`); ViT has none.

    Where positions act on the attention, ``bias`` gives what they add to the logits, (B, A, N queries, N
    keys), from the queries, (B, A, N, E). It is given queries that are already divided by sqrt(E), so that a
    bias made from the queries has the same factor as the logits it joins (Shaw et al., arXiv 1803.02155,
    eq. 5), while a bias that leaves them aside is added as it is (Swin, arXiv 2103.14030, eq. 4).

    Raises ValueError where the heads do not divide the width.
    """

    roles: ClassVar[Mapping[str, str]] = {"qkv.weight": "qkv", "out.weight": "encoder"}

    def __init__(
        self, dim: int, dropout: float, attention_dropout: float = 0.0, *, heads: int, qkv_bias: bool = True
    ) -> None:
        super().__init__()
        if heads < 1 or dim % heads:
            raise ValueError(f"{heads} attention heads do not divide the width, dim {dim}")
        self.heads = heads
        # One matrix product for all three is faster than three; its rows are q, then k, then v.
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.out = nn.Linear(dim, dim)
        self.attention_dropout = nn.Dropout(attention_dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens_BND: Tensor, bias: Bias | None = None) -> Tensor:
        """The tokens after mixing, (B, N, D)."""
        q_BANE, k_BANE, v_BANE = self._project(tokens_BND)
        dropout = self.attention_dropout.p if self.training else 0.0
        return self._merge(attend(q_BANE, k_BANE, v_BANE, bias, dropout))

    def forward_with_weights(self, tokens_BND: Tensor, bias: Bias | None = None) -> tuple[Tensor, Tensor]:
        """As `forward`, and the attention weights, (B, A, N queries, N keys), of which each row sums to 1.

        They are those before dropout.
        """
        q_BANE, k_BANE, v_BANE = self._project(tokens_BND)
        mixed_BANE, weights_BANN = self._attend(q_BANE, k_BANE, v_BANE, bias)
        return self._merge(mixed_BANE), weights_BANN

    def _project(self, tokens_BND: Tensor) -> tuple[Tensor, ...]:
        B, N, D = tokens_BND.shape
        qkv = self.qkv(tokens_BND).view(B, N, 3, self.heads, D // self.heads)
        return qkv.permute(2, 0, 3, 1, 4).unbind(0)

    def _attend(self, q_BANE: Tensor, k_BANE: Tensor, v_BANE: Tensor, bias: Bias | None) -> tuple[Tensor, Tensor]:
        """The mixed values, (B, A, N, E), and the weights, (B, A, N, N)."""
        weights_BANN = attention_weights(q_BANE, k_BANE, bias)
        return self.attention_dropout(weights_BANN) @ v_BANE, weights_BANN

    def _merge(self, mixed_BANE: Tensor) -> Tensor:
        merged: Tensor = self.dropout(self.out(mixed_BANE.transpose(1, 2).flatten(2)))
        return merged
