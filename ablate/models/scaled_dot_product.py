"""Softmax attention between given queries, keys and values."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def attend(q_BANE: Tensor, k_BAME: Tensor, v_BAME: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(E)) v, (B, A, N, E) (Vaswani et al., arXiv 1706.03762, eq. 1).

    The CPU's fused kernel is slow in half precision, so there the formula is written out; all other cases
    take the fused one. The results differ by rounding.
    """
    if q_BANE.device.type == "cpu" and q_BANE.dtype in (torch.bfloat16, torch.float16):
        return attention_weights(q_BANE, k_BAME) @ v_BAME
    return F.scaled_dot_product_attention(q_BANE, k_BAME, v_BAME)


def attention_weights(q_BANE: Tensor, k_BAME: Tensor) -> Tensor:
    """The weights with which each of N queries reads M keys, (B, A, N, M), of which each row sums to 1."""
    return ((q_BANE * q_BANE.shape[-1] ** -0.5) @ k_BAME.transpose(-2, -1)).softmax(-1)
