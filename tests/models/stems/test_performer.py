"""Attention by random features."""

from __future__ import annotations

import math

import torch

from ablate.models.stems.performer import RandomFeatureAttention


def test_it_is_its_formula_query_by_query() -> None:
    """Each output is the mean of the values weighted by phi(q) . phi(k), phi(x) = exp(Wx - |x|^2/2) / sqrt(M)."""
    attention = RandomFeatureAttention(6, 0).double()
    q, k, v = torch.randn(3, 1, 5, 6, dtype=torch.float64)

    def phi(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.exp(w @ x - x @ x / 2) / math.sqrt(3) for w in attention.table])

    for n in range(5):
        weights = torch.stack([phi(q[0, n]) @ phi(k[0, m]) for m in range(5)])
        expected = sum(weights[m] * v[0, m] for m in range(5)) / (weights.sum() + 1e-8)
        torch.testing.assert_close(attention(q, k, v)[0, n], expected, rtol=0, atol=1e-12)


def test_its_features_are_orthogonal_and_as_long_as_the_root_of_their_number() -> None:
    """W W^T is M times the identity for 32 features of width 64, to 1e-5."""
    table = RandomFeatureAttention(64, 0).table
    assert table.shape == (32, 64)
    torch.testing.assert_close(table @ table.T, 32 * torch.eye(32), rtol=0, atol=1e-4)


def test_its_features_depend_on_the_stream_and_on_nothing_else() -> None:
    """The same in every model, whatever the global seed, which stays as it was; others for another layer."""
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = RandomFeatureAttention(8, 0)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(RandomFeatureAttention(8, 0).table, first.table)
    assert not torch.allclose(RandomFeatureAttention(8, 1).table, first.table)
    assert not first.state_dict()
    assert not list(first.parameters())


def test_autocast_leaves_the_exponential_in_full_precision() -> None:
    """Under bfloat16 autocast, float32 inputs give float32's very outputs, and bfloat16 ones come back as such."""
    attention = RandomFeatureAttention(16, 0)
    q, k, v = torch.randn(3, 2, 9, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(attention(q, k, v), attention(q, k, v).float())
        mixed = attention(q, k, v)
        half = attention(q.bfloat16(), k.bfloat16(), v.bfloat16())
    assert torch.equal(mixed, attention(q, k, v))
    assert half.dtype == torch.bfloat16
