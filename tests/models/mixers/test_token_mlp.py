"""The token MLP against timm's Mixer block and a grid computed by hand."""

from __future__ import annotations

from functools import partial
from typing import Literal

import pytest
import torch
from timm.models.mlp_mixer import MixerBlock
from torch import nn

from ablate.models.feed_forwards.mlp import MLP
from ablate.models.mixers.token_mlp import TokenMLP
from ablate.models.norms.layer_norm import LayerNorm


@pytest.mark.parametrize(("activation", "approximate"), [("gelu", "none"), ("gelu_tanh", "tanh")])
def test_it_is_timms_mixer_block(activation: Literal["gelu", "gelu_tanh"], approximate: str) -> None:
    """With timm's weights, a block of our parts gives timm's output and its gradients, to 1e-12."""
    theirs = MixerBlock(8, 6, act_layer=partial(nn.GELU, approximate=approximate)).double()
    mixer = TokenMLP((2, 3), 0, 0.0, hidden=4, activation=activation).double()
    mlp = MLP(8, 0.0, ratio=4.0, activation=activation).double()
    norms = [LayerNorm(8).double(), LayerNorm(8).double()]
    pairs = [
        (mixer.up, theirs.mlp_tokens.fc1),
        (mixer.down, theirs.mlp_tokens.fc2),
        (mlp.up, theirs.mlp_channels.fc1),
        (mlp.down, theirs.mlp_channels.fc2),
        (norms[0], theirs.norm1),
        (norms[1], theirs.norm2),
    ]
    for ours, other in pairs:
        nn.init.normal_(other.weight)
        ours.load_state_dict(other.state_dict())
    tokens = torch.randn(3, 6, 8, dtype=torch.float64)
    between = tokens + mixer(norms[0](tokens))
    output, expected = between + mlp(norms[1](between)), theirs(tokens)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-12)
    upstream = torch.randn_like(output)
    (output * upstream).sum().backward()
    (expected * upstream).sum().backward()
    for ours, other in pairs:
        torch.testing.assert_close(ours.weight.grad, other.weight.grad, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(ours.bias.grad, other.bias.grad, rtol=1e-10, atol=1e-12)


def test_channels_do_not_mix_and_prefix_tokens_take_part() -> None:
    """A change of one channel of the prefix token changes that channel of every token and no other."""
    mixer = TokenMLP((2, 2), 1, 0.0, hidden=7).double()
    tokens = torch.randn(2, 5, 3, dtype=torch.float64)
    changed = tokens.clone()
    changed[:, 0, 1] += 1
    difference = mixer(changed) - mixer(tokens)
    assert difference[..., 1].abs().min() > 0
    assert not difference[..., [0, 2]].any()


def test_parameters_of_mixer_s_16() -> None:
    """At 196 tokens and 256 hidden units there are 2 x 196 x 256 weights and 452 biases, whatever the width."""
    assert sum(p.numel() for p in TokenMLP((14, 14), 0, 0.0, hidden=256).parameters()) == 100_804


def test_dropout_stands_where_the_mlp_has_it() -> None:
    """With a probability near 1, training gives zeros from behind the second layer."""
    mixer = TokenMLP((2, 2), 0, 0.5, hidden=50).train()
    mixer.dropout_up.p = 0.0
    branch = mixer(torch.randn(50, 4, 8))
    assert 0.4 < (branch == 0).double().mean() < 0.6
    mixer.dropout_up.p, mixer.dropout_down.p = 1.0, 0.0
    assert torch.allclose(mixer(torch.randn(2, 4, 8)), mixer.down.bias[:, None])


def test_nonsense_is_refused() -> None:
    """Tokens without a grid and an MLP without hidden units are errors that say so."""
    with pytest.raises(ValueError, match="needs a grid"):
        TokenMLP(None, 0, 0.0, hidden=4)
    with pytest.raises(ValueError, match="at least one hidden unit, got 0"):
        TokenMLP((2, 2), 0, 0.0, hidden=0)
