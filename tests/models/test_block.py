"""The encoder block: what stands on its residual branches."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ablate.models.layer_scale import LayerScale
from ablate.models.stochastic_depth import StochasticDepth
from ablate.models.vision_transformer import VisionTransformer, count_parameters

Make = Callable[..., VisionTransformer]


@pytest.fixture
def tokens() -> Tensor:
    """Two images of 16 tokens of 32, float64."""
    return torch.randn(2, 16, 32, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@pytest.mark.parametrize("factor", [1.0, 2.0, 0.5])
@pytest.mark.parametrize("layer_scale", ["off", 0.1])
def test_a_block_is_its_formula(scrambled: Make, tokens: Tensor, factor: float, layer_scale: float | str) -> None:
    """y = x + c g1 mixer(norm(x)), then y + c g2 feed_forward(norm(y)), with gain g and constant c, to 1e-12."""
    block = scrambled(branch_factor=factor, layer_scale=layer_scale).blocks[1]
    gains = [1.0, 1.0] if layer_scale == "off" else [block.scale_1.gain, block.scale_2.gain]
    y = tokens + factor * gains[0] * block.mixer(block.norm_1(tokens))
    expected = y + factor * gains[1] * block.feed_forward(block.norm_2(y))
    torch.testing.assert_close(block(tokens), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(block.forward_with_weights(tokens)[0], expected, rtol=0, atol=1e-12)


def test_layer_scale_starts_where_the_recipe_says(built: Make) -> None:
    """Two gains a block, of one value a channel, all at the Recipe's; nothing else is new or drawn otherwise."""
    model, without = built(layer_scale=0.25), built()
    gains = [module.gain for module in model.modules() if isinstance(module, LayerScale)]
    assert len(gains) == 2 * 2
    assert all(torch.equal(gain, torch.full((32,), 0.25)) for gain in gains)
    assert count_parameters(model) - count_parameters(without) == 2 * 2 * 32
    others = {name: values for name, values in model.state_dict().items() if ".scale_" not in name}
    assert others.keys() == without.state_dict().keys()
    assert all(torch.equal(values, without.state_dict()[name]) for name, values in others.items())


def test_stochastic_depth_grows_from_block_to_block(built: Make) -> None:
    """With .3 at depth 4 the rates are 0, .1, .2 and .3, the same for both branches; the first block has none."""
    model = built(stochastic_depth=0.3, depth=4)
    rates = [[drop.rate if drop else 0.0 for drop in (block.drop_1, block.drop_2)] for block in model.blocks]
    assert rates == [[pytest.approx(rate)] * 2 for rate in (0.0, 0.1, 0.2, 0.3)]
    assert not any(isinstance(module, StochasticDepth) for module in built().modules())


def test_stochastic_depth_acts_in_training_alone(scrambled: Make, images: Tensor) -> None:
    """In evaluation nothing changes, to the last bit; in training, passes differ by whole branches."""
    model, without = scrambled(stochastic_depth=0.5), scrambled()
    assert torch.equal(model(images), without(images))
    model.train()
    torch.manual_seed(0)
    passes = [model(images[:1]) for _ in range(12)]
    assert 1 < len({tuple(logits.flatten().tolist()) for logits in passes}) <= 4  # of one block, two branches


def test_a_branch_left_out_leaves_the_stream_as_it_is(scrambled: Make, tokens: Tensor) -> None:
    """With both branches of the last block dropped, the tokens come out of it as they went in."""
    block = scrambled(stochastic_depth=0.99, depth=2).train().blocks[1]
    torch.manual_seed(0)
    assert torch.equal(block(tokens), tokens)
