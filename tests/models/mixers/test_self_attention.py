"""Self-attention against its formula, and the choice of kernel."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ablate.models.mixers.self_attention import SelfAttention


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


def _by_formula(attention: SelfAttention, tokens: Tensor, added_BANN: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs and weights of softmax(q k^T / sqrt(4) + added) v, written as sums over indices."""
    q, k, v = F.linear(tokens, attention.qkv.weight, attention.qkv.bias).unflatten(-1, (3, 2, 4)).unbind(2)
    weights = (torch.einsum("bqae,bkae->baqk", q, k) / 2 + added_BANN).softmax(-1)
    return attention.out(torch.einsum("baqk,bkae->bqae", weights, v).flatten(2)), weights


def test_a_bias_is_added_to_the_logits(attention: SelfAttention) -> None:
    """A table that ignores the queries stands in the softmax beside q k^T / sqrt(d), in both forms, to 1e-12."""
    tokens, table = torch.randn(3, 5, 8, dtype=torch.float64), torch.randn(2, 5, 5, dtype=torch.float64)
    output, weights = _by_formula(attention, tokens, table)
    torch.testing.assert_close(attention(tokens, lambda q: table.expand(3, 2, 5, 5)), output, rtol=0, atol=1e-12)
    given_output, given_weights = attention.forward_with_weights(tokens, lambda q: table)
    torch.testing.assert_close(given_output, output, rtol=0, atol=1e-12)
    torch.testing.assert_close(given_weights, weights, rtol=0, atol=1e-12)


def test_a_bias_made_from_the_queries_has_the_factor_of_the_logits(attention: SelfAttention) -> None:
    """With q r^T as a bias the logits are q (k + r)^T / sqrt(d), the relative positions of Shaw et al., to 1e-12."""
    tokens, relative = torch.randn(3, 5, 8, dtype=torch.float64), torch.randn(5, 5, 4, dtype=torch.float64)
    q = F.linear(tokens, attention.qkv.weight, attention.qkv.bias)[..., :8].unflatten(-1, (2, 4))
    output, _ = _by_formula(attention, tokens, torch.einsum("bqae,qke->baqk", q, relative) / 2)
    given_output = attention(tokens, lambda scaled: torch.einsum("baqe,qke->baqk", scaled, relative))
    torch.testing.assert_close(given_output, output, rtol=0, atol=1e-12)


def test_a_bias_in_full_precision_works_under_autocast(attention: SelfAttention) -> None:
    """A float32 table under bfloat16 autocast changes the result as it does in float32, within 3 percent."""
    attention = attention.float()
    tokens, table = torch.randn(3, 5, 8), torch.randn(3, 2, 5, 5)
    full = attention(tokens, lambda q: table)
    with torch.autocast("cpu", torch.bfloat16):
        half = attention(tokens, lambda q: table)
    assert (half.float() - full).norm() / full.norm() < 0.03


@given(st.permutations(range(6)))
@settings(max_examples=10, deadline=None)
def test_self_attention_knows_no_order(order: list[int]) -> None:
    """Tokens in another order give the same results in that order, to 1e-12."""
    torch.manual_seed(0)
    attention = SelfAttention(8, 0.0, heads=2).double()
    tokens = torch.randn(2, 6, 8, dtype=torch.float64)
    torch.testing.assert_close(attention(tokens[:, order]), attention(tokens)[:, order], rtol=0, atol=1e-12)
