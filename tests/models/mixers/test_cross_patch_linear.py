"""The linear layer across patches against timm's ResMLP block and a grid computed by hand."""

from __future__ import annotations

import pytest
import torch
from timm.models.mlp_mixer import ResBlock
from torch import nn

from ablate.models.feed_forwards.mlp import MLP
from ablate.models.layer_scale import LayerScale
from ablate.models.mixers.cross_patch_linear import CrossPatchLinear
from ablate.models.norms.affine import Affine


def test_it_is_timms_resmlp_block() -> None:
    """With timm's weights, a block of linear, MLP, affine and layer scale gives its output and gradients, to 1e-12."""
    theirs = ResBlock(8, 6).double()
    for parameter in theirs.parameters():
        nn.init.normal_(parameter)
    mixer, mlp = CrossPatchLinear((2, 3), 0, 0.0).double(), MLP(8, 0.0, activation="gelu").double()
    norms, scales = [Affine(8).double() for _ in range(2)], [LayerScale(8, 1e-4).double() for _ in range(2)]
    pairs = [
        (mixer.mix.weight, theirs.linear_tokens.weight),
        (mixer.mix.bias, theirs.linear_tokens.bias),
        (mlp.up.weight, theirs.mlp_channels.fc1.weight),
        (mlp.up.bias, theirs.mlp_channels.fc1.bias),
        (mlp.down.weight, theirs.mlp_channels.fc2.weight),
        (mlp.down.bias, theirs.mlp_channels.fc2.bias),
        (norms[0].alpha, theirs.norm1.alpha),
        (norms[0].beta, theirs.norm1.beta),
        (norms[1].alpha, theirs.norm2.alpha),
        (norms[1].beta, theirs.norm2.beta),
        (scales[0].gain, theirs.ls1),
        (scales[1].gain, theirs.ls2),
    ]
    assert len(pairs) == len(list(theirs.parameters()))
    with torch.no_grad():
        for ours, other in pairs:
            ours.copy_(other.reshape(ours.shape))
    tokens = torch.randn(3, 6, 8, dtype=torch.float64)
    between = tokens + scales[0](mixer(norms[0](tokens)))
    output, expected = between + scales[1](mlp(norms[1](between))), theirs(tokens)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-12)
    upstream = torch.randn_like(output)
    (output * upstream).sum().backward()
    (expected * upstream).sum().backward()
    for ours, other in pairs:
        torch.testing.assert_close(ours.grad, other.grad.reshape(ours.shape), rtol=1e-10, atol=1e-10)


def test_two_tokens_by_hand() -> None:
    """Tokens (1, 2) and (3, 4), the matrix (1, 2; 0, -1) and the bias (10, 20) give (17, 20) and (17, 16)."""
    mixer = CrossPatchLinear((1, 2), 0, 0.0)
    with torch.no_grad():
        mixer.mix.weight.copy_(torch.tensor([[1.0, 2.0], [0.0, -1.0]]))
        mixer.mix.bias.copy_(torch.tensor([10.0, 20.0]))
    branch = mixer(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]))
    assert torch.equal(branch, torch.tensor([[[17.0, 20.0], [17.0, 16.0]]]))


def test_prefix_tokens_take_part() -> None:
    """With a class token in front of a 14 x 14 grid the layer is 197 x 197, with a bias."""
    assert sum(p.numel() for p in CrossPatchLinear((14, 14), 1, 0.0).parameters()) == 197 * 197 + 197


def test_dropout_follows_the_layer() -> None:
    """In training at .5 about half of the branch is zero, and none in evaluation."""
    mixer, tokens = CrossPatchLinear((2, 2), 0, 0.5).train(), torch.randn(50, 4, 8)
    assert 0.4 < (mixer(tokens) == 0).double().mean() < 0.6
    assert mixer.eval()(tokens).all()


def test_tokens_without_a_grid_are_refused() -> None:
    """Without a grid the number of tokens is not known."""
    with pytest.raises(ValueError, match="needs a grid"):
        CrossPatchLinear(None, 0, 0.0)
