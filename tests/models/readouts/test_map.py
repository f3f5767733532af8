"""Attention pooling."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.layers import AttentionPoolLatent
from torch import nn

from ablate.models.init import initialise
from ablate.models.readouts.map import AttentionPool


def scrambled(**options) -> AttentionPool:
    """A pool of width 12 with 3 heads in float64, every parameter away from zero and one."""
    pool = AttentionPool(12, **({"heads": 3} | options)).double()
    generator = torch.Generator().manual_seed(2)
    for parameter in pool.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return pool


def reference_with_weights_of(pool: AttentionPool, activation) -> AttentionPoolLatent:
    """timm's module with the same weights: its k and v are one layer."""
    reference = AttentionPoolLatent(
        12, num_heads=3, mlp_ratio=2.0, norm_layer=partial(nn.LayerNorm, eps=1e-6), act_layer=activation
    ).double()
    own = {
        "latent": pool.probe,
        "kv.weight": torch.cat((pool.k.weight, pool.v.weight)),
        "kv.bias": torch.cat((pool.k.bias, pool.v.bias)),
    }
    for theirs, layer in {"q": "q", "proj": "out", "norm": "norm", "mlp.fc1": "up", "mlp.fc2": "down"}.items():
        own |= {f"{theirs}.{name}": value for name, value in pool.get_submodule(layer).state_dict().items()}
    reference.load_state_dict(own)
    return reference


@pytest.mark.parametrize(
    ("activation", "module"), [("gelu", nn.GELU), ("gelu_tanh", lambda: nn.GELU(approximate="tanh"))]
)
def test_map_is_timms_attention_pool_with_copied_weights(activation: str, module) -> None:
    """Outputs and the gradients to the tokens and the probe equal timm's, to 1e-12."""
    pool = scrambled(ratio=2.0, activation=activation)
    reference = reference_with_weights_of(pool, module)
    tokens = torch.randn(2, 7, 12, dtype=torch.float64, requires_grad=True)
    outputs, gradients = [], []
    for pooled, probe in ((pool(tokens), pool.probe), (reference(tokens), reference.latent)):
        outputs.append(pooled)
        gradients.append(torch.autograd.grad(pooled.square().sum(), (tokens, probe)))
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-12)
    torch.testing.assert_close(*gradients, rtol=1e-11, atol=1e-11)


@given(order=st.permutations(range(7)))
@settings(max_examples=6, deadline=None)
def test_the_order_of_tokens_does_not_matter(order: list[int]) -> None:
    """Pooling is over a set: exchanging the tokens changes nothing, to 1e-12."""
    pool = scrambled()
    tokens = torch.randn(2, 7, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(pool(tokens), pool(tokens[:, order]), rtol=0, atol=1e-12)


def test_weights_are_shares_of_the_tokens() -> None:
    """Each head's weights sum to one, and a probe of zeros without query bias weighs all tokens alike."""
    pool = scrambled()
    tokens = torch.randn(2, 7, 12, dtype=torch.float64)
    output, weights = pool.forward_with_weights(tokens)
    assert torch.equal(output, pool(tokens))
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, dtype=torch.float64), rtol=0, atol=1e-12)
    nn.init.zeros_(pool.probe)
    nn.init.zeros_(pool.q.bias)
    torch.testing.assert_close(
        pool.forward_with_weights(tokens)[1], torch.full((2, 3, 7), 1 / 7, dtype=torch.float64), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("scheme", ["jax", "truncated_normal"])
def test_the_probe_is_drawn_as_in_big_vision(scheme: str) -> None:
    """Uniform up to sqrt(6 / (1 + dim)), whatever the scheme: the bound is nearly reached and never passed."""
    pool = AttentionPool(1024, heads=1, ratio=0.01)
    initialise(pool, scheme, seed=0)
    bound = (6 / 1025) ** 0.5
    assert 0.98 * bound < pool.probe.abs().max() <= bound
    assert abs(pool.probe.std() - bound / 3**0.5) < 0.05 * bound


def test_parameters_are_counted() -> None:
    """At ViT-B's width: probe, four projections, a norm and an MLP of ratio 4."""
    with torch.device("meta"):
        pool = AttentionPool(768, heads=12)
    attention, norm, mlp = 4 * (768 * 768 + 768), 2 * 768, 2 * 768 * 3072 + 3072 + 768
    assert sum(p.numel() for p in pool.parameters()) == 768 + attention + norm + mlp == 7_087_104


@pytest.mark.parametrize(
    ("options", "message"), [({"heads": 5}, "5 attention heads do not divide"), ({"ratio": 0.01}, "hidden unit")]
)
def test_senseless_options_are_refused(options: dict, message: str) -> None:
    """Heads must divide the width, and a hidden unit must be left."""
    with pytest.raises(ValueError, match=message):
        AttentionPool(12, **({"heads": 3} | options))
