"""Self-attention against its formula, and the choice of kernel."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from ablate.models.attentions.self_attention import SelfAttention


@pytest.fixture
def attention() -> SelfAttention:
    """Two heads of 4, no dropout, float64."""
    return SelfAttention(8, 0.0, heads=2).double()


def test_self_attention_is_its_formula(attention: SelfAttention) -> None:
    """Head by head, softmax(q k^T / sqrt(d)) v, joined and projected, to 1e-12."""
    tokens = torch.randn(2, 5, 8, dtype=torch.float64)
    q, k, v = F.linear(tokens, attention.qkv.weight, attention.qkv.bias).split(8, dim=-1)
    heads, weights = [], []
    for part in (slice(0, 4), slice(4, 8)):
        weight = torch.softmax(q[..., part] @ k[..., part].mT / math.sqrt(4), dim=-1)
        weights.append(weight)
        heads.append(weight @ v[..., part])
    expected = attention.out(torch.cat(heads, dim=-1))
    torch.testing.assert_close(attention(tokens), expected, rtol=0, atol=1e-12)
    output, given = attention.forward_with_weights(tokens)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(given, torch.stack(weights, dim=1), rtol=0, atol=1e-12)


def test_the_fused_kernel_serves_full_precision_alone_on_a_cpu(monkeypatch) -> None:
    """On a CPU, float32 goes through the fused kernel and bfloat16, where that is slow, does not."""
    calls = []
    fused = F.scaled_dot_product_attention
    monkeypatch.setattr(F, "scaled_dot_product_attention", lambda *a, **k: calls.append(a[0].dtype) or fused(*a, **k))
    attention = SelfAttention(8, 0.0, heads=2)
    tokens = torch.randn(2, 5, 8)
    full = attention(tokens)
    half = attention.bfloat16()(tokens.bfloat16())
    assert calls == [torch.float32]
    assert (half.float() - full).norm() / full.norm() < 0.03


def test_attention_weights_are_never_dropped() -> None:
    """In training, the only randomness is the dropout behind the output projection."""
    attention = SelfAttention(8, 0.5, heads=2).train()
    tokens = torch.randn(2, 5, 8)
    assert not torch.equal(attention(tokens), attention(tokens))
    attention.dropout.p = 0.0
    assert torch.equal(attention(tokens), attention(tokens))
