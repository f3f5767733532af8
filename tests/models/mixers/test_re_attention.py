"""Re-attention against its equation, and which blocks have it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ablate.models.init import initialise
from ablate.models.mixers.re_attention import ReAttention
from ablate.models.mixers.self_attention import SelfAttention


def re_attention(depth: int = 4, block: int = 3, **options: Any) -> ReAttention:
    """Three heads of 4 in float64, with the statistics of its norm moved off zero and one."""
    torch.manual_seed(0)
    mixer = ReAttention(12, depth, block, 0.0, heads=3, **options).double()
    if mixer.norm is not None:
        with torch.no_grad():
            for values in (mixer.norm.running_mean, mixer.norm.running_var, mixer.norm.weight, mixer.norm.bias):
                values += torch.rand_like(values)
    return mixer.eval()


def by_equation(mixer: ReAttention, tokens: Tensor, norm: bool, gain: float = 1.0) -> tuple[Tensor, Tensor]:
    """Norm(Theta^T softmax(q k^T / sqrt(4))) v in index notation; Theta is (heads in, heads out)."""
    q, k, v = (tokens @ mixer.qkv.weight.T + mixer.qkv.bias).unflatten(-1, (3, 3, 4)).unbind(2)
    maps = (torch.einsum("bqae,bkae->baqk", q, k) / 2).softmax(-1)
    Theta = mixer.theta.weight[:, :, 0, 0].T
    maps = torch.einsum("ah,baqk->bhqk", Theta, maps) + mixer.theta.bias[:, None, None]
    if norm:
        n = mixer.norm
        mean, deviation = n.running_mean, (n.running_var + 1e-5).sqrt()
        maps = (maps - mean[:, None, None]) / deviation[:, None, None] * n.weight[:, None, None] + n.bias[:, None, None]
    maps = maps * gain
    mixed = torch.einsum("bhqk,bkhe->bqhe", maps, v).flatten(2)
    return mixed @ mixer.out.weight.T + mixer.out.bias, maps


@pytest.mark.parametrize(
    ("options", "norm", "gain"),
    [({}, True, 1.0), ({"norm": "none"}, False, 1.0), ({"rescale": True}, True, 0.5)],
)
def test_re_attention_is_its_equation(options: dict[str, Any], norm: bool, gain: float) -> None:
    """Output and maps are eq. 3 written out, with and without norm, and halved by rescale at 4 a head, to 1e-12."""
    mixer = re_attention(**options)
    tokens = torch.randn(2, 5, 12, dtype=torch.float64)
    expected, maps = by_equation(mixer, tokens, norm, gain)
    torch.testing.assert_close(mixer(tokens), expected, rtol=0, atol=1e-12)
    output, weights = mixer.forward_with_weights(tokens)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(weights, maps, rtol=0, atol=1e-12)


def test_the_norm_has_one_mean_and_variance_for_each_head() -> None:
    """In training, each head's maps have mean 0 and variance 1 over the batch and all places, to 1e-6."""
    mixer = re_attention().train()
    mixer.norm.reset_parameters()
    # Equal variances would come about by a norm over all heads as well: the heads' maps differ by the rows of theta.
    with torch.no_grad():
        mixer.theta.weight *= torch.tensor([50.0, 100.0, 200.0])[:, None, None, None]
        mixer.qkv.weight *= 5
    _, maps = mixer.forward_with_weights(torch.randn(4, 6, 12, dtype=torch.float64))
    torch.testing.assert_close(maps.mean((0, 2, 3)), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-9)
    torch.testing.assert_close(maps.var((0, 2, 3), correction=0), torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-6)


def test_with_theta_the_identity_it_is_self_attention() -> None:
    """Without norm, and with theta one on the diagonal and no bias, nothing is left of re-attention, to 1e-12."""
    mixer, plain = re_attention(norm="none"), SelfAttention(12, 0.0, heads=3).double()
    plain.load_state_dict({name: value for name, value in mixer.state_dict().items() if "theta" not in name})
    with torch.no_grad():
        mixer.theta.weight.copy_(torch.eye(3)[:, :, None, None])
        mixer.theta.bias.zero_()
    tokens, bias = torch.randn(2, 5, 12, dtype=torch.float64), torch.randn(2, 3, 5, 5, dtype=torch.float64)
    torch.testing.assert_close(mixer(tokens), plain(tokens), rtol=0, atol=1e-12)
    torch.testing.assert_close(mixer(tokens, lambda q: bias), plain(tokens, lambda q: bias), rtol=0, atol=1e-12)


def test_only_the_last_blocks_re_attend() -> None:
    """With 3 of 4 blocks, block 0 is self-attention to the bit and without a weight more; the others have theta."""
    first, *others = (re_attention(block=block, last_blocks=3) for block in range(4))
    plain = SelfAttention(12, 0.0, heads=3).double()
    plain.load_state_dict(first.state_dict())
    tokens = torch.randn(2, 5, 12, dtype=torch.float64)
    assert torch.equal(first(tokens), plain(tokens))
    assert torch.equal(first.forward_with_weights(tokens)[1], plain.forward_with_weights(tokens)[1])
    assert all(other.theta is not None for other in others)
    assert re_attention(block=3, last_blocks=0).theta is None


def test_parameters_of_theta_and_norm() -> None:
    """At 12 heads re-attention adds 144 + 12 weights of theta and 24 of the norm to self-attention."""
    count = {
        norm: sum(p.numel() for p in ReAttention(384, 16, 0, 0.0, heads=12, norm=norm).parameters())
        for norm in ("batch", "none")
    }
    plain = sum(p.numel() for p in SelfAttention(384, 0.0, heads=12).parameters())
    assert count == {"batch": plain + 156 + 24, "none": plain + 156}


def test_theta_starts_as_a_torch_convolution() -> None:
    """Weight and bias lie within 1 / sqrt(heads), fill that range, and are not the scheme's."""
    mixer = ReAttention(64, 1, 0, 0.0, heads=16)
    for scheme in ("jax", "truncated_normal"):
        initialise(mixer, scheme, 0)
        assert 0.23 < mixer.theta.weight.abs().max() <= 0.25
        assert 0.15 < mixer.theta.bias.abs().max() <= 0.25


@pytest.mark.parametrize("last_blocks", [-1, 5])
def test_more_blocks_than_there_are_is_refused(last_blocks: int) -> None:
    """The error says how many blocks were asked for and how many there are."""
    with pytest.raises(ValueError, match=f"last {last_blocks} of 4"):
        re_attention(last_blocks=last_blocks)


@given(st.permutations(range(6)))
@settings(max_examples=10, deadline=None)
def test_re_attention_knows_no_order(order: list[int]) -> None:
    """In evaluation, tokens in another order give the same results in that order, to 1e-12."""
    mixer, tokens = re_attention(), torch.randn(2, 6, 12, dtype=torch.float64)
    torch.testing.assert_close(mixer(tokens[:, order]), mixer(tokens)[:, order], rtol=0, atol=1e-12)
