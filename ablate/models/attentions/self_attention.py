"""Multi-head self-attention over all tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SelfAttention(nn.Module):
    """Multi-head self-attention (Vaswani et al., arXiv 1706.03762, eq. 1; ViT, arXiv 2010.11929, eqs. 5-8).

    Dropout follows the output projection, and nothing else: neither q, k, v nor the attention weights.
    Raises ValueError where the heads do not divide the width.
    """

    roles: ClassVar[Mapping[str, str]] = {"qkv.weight": "qkv", "out.weight": "encoder"}

    def __init__(self, dim: int, dropout: float, *, heads: int, qkv_bias: bool = True) -> None:
        super().__init__()
        if heads < 1 or dim % heads:
            raise ValueError(f"{heads} attention heads do not divide the width, dim {dim}")
        self.heads = heads
        self.scale = (dim // heads) ** -0.5
        # One matrix product for all three is faster than three; its rows are q, then k, then v.
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.out = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """The tokens after mixing, (B, N, D).

        Which kernel computes it is no option of the Recipe: the formula is one, the results differ by
        rounding. The CPU's fused kernel is up to ten times slower than the formula written out in half
        precision, and up to twice as fast in full precision; on a GPU the fused one serves both.
        """
        q_BANE, k_BANE, v_BANE = self._project(tokens_BND)
        if q_BANE.device.type == "cpu" and q_BANE.dtype in (torch.bfloat16, torch.float16):
            mixed_BANE = self._weights(q_BANE, k_BANE) @ v_BANE
        else:
            mixed_BANE = F.scaled_dot_product_attention(q_BANE, k_BANE, v_BANE, scale=self.scale)
        return self._merge(mixed_BANE)

    def forward_with_weights(self, tokens_BND: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, and the attention weights, (B, A, N queries, N keys), of which each row sums to 1."""
        q_BANE, k_BANE, v_BANE = self._project(tokens_BND)
        weights_BANN = self._weights(q_BANE, k_BANE)
        return self._merge(weights_BANN @ v_BANE), weights_BANN

    def _project(self, tokens_BND: Tensor) -> tuple[Tensor, ...]:
        B, N, D = tokens_BND.shape
        qkv = self.qkv(tokens_BND).view(B, N, 3, self.heads, D // self.heads)
        return qkv.permute(2, 0, 3, 1, 4).unbind(0)

    def _weights(self, q_BANE: Tensor, k_BANE: Tensor) -> Tensor:
        return ((q_BANE * self.scale) @ k_BANE.transpose(-2, -1)).softmax(-1)

    def _merge(self, mixed_BANE: Tensor) -> Tensor:
        merged: Tensor = self.dropout(self.out(mixed_BANE.transpose(1, 2).flatten(2)))
        return merged
