"""Softmax attention between given queries, keys and values."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

#: Queries divided by sqrt(E), (B, A, N, E) -> what is added to the logits, (B, A, N, M).
Bias = Callable[[Tensor], Tensor]


def attend(q_BANE: Tensor, k_BAME: Tensor, v_BAME: Tensor, bias: Bias | None = None, dropout: float = 0.0) -> Tensor:
    """softmax(q k^T / sqrt(E) + bias) v, (B, A, N, E) (Vaswani et al., arXiv 1706.03762, eq. 1).

    ``dropout`` is the probability with which a weight is left out, the others being divided by 1 - dropout; it acts
    whatever the mode, which is the caller's to know.

    Which kernel computes it is no option of the Recipe: the formula is one, the results differ by rounding. The
    CPU's fused kernel is up to ten times slower than the formula written out in half precision, and up to twice
    as fast in full precision; on a GPU the fused one serves both.
    """
    if q_BANE.device.type == "cpu" and q_BANE.dtype in (torch.bfloat16, torch.float16):
        return F.dropout(attention_weights(q_BANE, k_BAME, bias), dropout) @ v_BAME
    # The kernel refuses a bias of another type than q, which a float32 table under autocast would be.
    added_BANM = None if bias is None else bias(_scaled(q_BANE)).to(q_BANE.dtype)
    scale = q_BANE.shape[-1] ** -0.5
    return F.scaled_dot_product_attention(q_BANE, k_BAME, v_BAME, attn_mask=added_BANM, dropout_p=dropout, scale=scale)


def attention_weights(q_BANE: Tensor, k_BAME: Tensor, bias: Bias | None = None) -> Tensor:
    """The weights with which each of N queries reads M keys, (B, A, N, M), of which each row sums to 1."""
    return attention_logits(q_BANE, k_BAME, bias).softmax(-1)


def attention_logits(q_BANE: Tensor, k_BAME: Tensor, bias: Bias | None = None) -> Tensor:
    """What the softmax of `attention_weights` is taken of, (B, A, N, M)."""
    scaled_BANE = _scaled(q_BANE)
    logits_BANM = scaled_BANE @ k_BAME.transpose(-2, -1)
    return logits_BANM if bias is None else logits_BANM + bias(scaled_BANE)


def _scaled(q_BANE: Tensor) -> Tensor:
    scaled_BANE: Tensor = q_BANE * q_BANE.shape[-1] ** -0.5
    return scaled_BANE
