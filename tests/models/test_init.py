"""First values: their distributions, and which Variants share them."""

from __future__ import annotations

import math

import pytest
import torch

from ablate.draws import derive

#: Tolerance of a standard deviation; its own standard error is at most 2 % in the samples of 1,152 and more.
CLOSE = {"rel": 0.05}
WIDE = {"dim": 96, "head": "mlp", "readout": "cls", "position": "learned"}


def _uniform_within(weight: torch.Tensor, bound: float) -> bool:
    reaches = weight.abs().max().item() / bound
    return 0.99 < reaches <= 1.0 and weight.std().item() == pytest.approx(bound / math.sqrt(3), **CLOSE)


def test_jax_draws_q_k_and_v_each_as_a_layer_of_its_own(built) -> None:
    """Under `jax`, q, k and v are each Xavier-uniform for D inputs and D outputs, as are the other kernels."""
    block = built(**WIDE).blocks[0]
    for rows in block.mixer.qkv.weight.detach().chunk(3):
        assert _uniform_within(rows, math.sqrt(6 / (96 + 96)))
    assert _uniform_within(block.mixer.out.weight.detach(), math.sqrt(6 / (96 + 96)))
    assert _uniform_within(block.feed_forward.up.weight.detach(), math.sqrt(6 / (96 + 192)))
    assert _uniform_within(block.feed_forward.down.weight.detach(), math.sqrt(6 / (192 + 96)))


def test_jax_draws_the_rest_as_big_vision(built, data_recipe) -> None:
    """Under `jax`: MLP biases 1e-6, positions 1/sqrt(D), LeCun-normal patches and representation, zeros."""
    model = built(data_recipe(image_size=32, channels=3, eval_resize=32), **WIDE)
    for layer in (model.blocks[0].feed_forward.up, model.blocks[0].feed_forward.down):
        assert layer.bias.std().item() == pytest.approx(1e-6, rel=0.3)
    assert model.position.patches.std().item() == pytest.approx(96**-0.5, **CLOSE)
    for layer, inputs in ((model.stem.projection, 12), (model.head.representation, 96)):
        deviation = inputs**-0.5
        assert layer.weight.std().item() == pytest.approx(deviation, **CLOSE)
        assert 0.9 < layer.weight.abs().max().item() / (2 * deviation / 0.87962566103423978) <= 1.0
    zero = [
        model.readout.token,
        model.head.classifier.weight,
        model.head.classifier.bias,
        model.head.representation.bias,
        model.stem.projection.bias,
        model.blocks[1].mixer.qkv.bias,
        model.blocks[1].mixer.out.bias,
        model.norm.bias,
    ]
    assert all(not parameter.any() for parameter in zero)
    assert torch.equal(model.norm.weight, torch.ones(96))


def test_truncated_normal_draws_as_deit(built) -> None:
    """Under `truncated_normal` all weights, positions and the token have deviation .02; patches torch's own."""
    model = built(**WIDE, init="truncated_normal", position_covers="all")
    block = model.blocks[0]
    for weight in (
        block.mixer.qkv.weight,
        block.mixer.out.weight,
        block.feed_forward.up.weight,
        block.feed_forward.down.weight,
        model.head.representation.weight,
        model.position.patches,
    ):
        assert weight.std().item() == pytest.approx(0.02, **CLOSE)
    for few in (model.head.classifier.weight, model.readout.token, model.position.prefix):
        assert few.std().item() == pytest.approx(0.02, rel=0.25)
    assert not block.feed_forward.up.bias.any()
    assert not model.head.classifier.bias.any()
    assert _uniform_within(model.stem.projection.weight.detach(), 0.5)  # 1 / sqrt(2 x 2 pixels)
    assert 0.4 < model.stem.projection.bias.abs().max().item() <= 0.5


def test_each_parameter_is_drawn_from_a_stream_keyed_by_its_name(built) -> None:
    """The values depend on the seed and the parameter's name in the way that the Trials on record rest on."""
    name = "blocks.1.feed_forward.up.weight"
    generator = torch.Generator().manual_seed(derive(5, f"init/{name}"))
    bound = math.sqrt(6 / (32 + 64))
    expected = torch.empty(64, 32).uniform_(-bound, bound, generator=generator)
    assert torch.equal(built(seed=5).get_parameter(name), expected)


@pytest.mark.parametrize("init", ["jax", "truncated_normal"])
@pytest.mark.parametrize(
    "changes",
    [
        {"readout": "cls", "position_covers": "all"},
        {"head": "mlp"},
        {"depth": 3},
        {"mixer": {"name": "self_attention", "heads": 8, "qkv_bias": False}},
        {"final_norm": "after_pooling", "dropout": 0.1},
    ],
)
def test_variants_share_the_first_values_of_what_they_have_in_common(built, init, changes) -> None:
    """A Variant that adds or removes a part starts from its baseline's values everywhere else."""
    baseline = dict(built(init=init, position="learned").named_parameters())
    variant = dict(built(init=init, position="learned", **changes).named_parameters())
    common = baseline.keys() & variant.keys()
    assert {"stem.projection.weight", "position.patches", "blocks.1.mixer.qkv.weight"} <= common
    assert len(common) >= len(baseline) - 2
    assert all(torch.equal(baseline[name], variant[name]) for name in common)


def test_seeds_and_blocks_differ(built) -> None:
    """Another seed, or another block, gives other values; the same seed the same."""
    first, again, other = built(seed=0), built(seed=0), built(seed=1)
    name = "blocks.0.mixer.qkv.weight"
    assert torch.equal(first.get_parameter(name), again.get_parameter(name))
    assert not torch.equal(first.get_parameter(name), other.get_parameter(name))
    assert not torch.equal(first.get_parameter(name), first.get_parameter("blocks.1.mixer.qkv.weight"))


def test_no_parameter_keeps_what_its_constructor_drew(model_recipe, data_recipe) -> None:
    """Initialising overwrites every parameter, whatever it held."""
    from ablate.models.build import build
    from ablate.models.init import initialise

    recipe = model_recipe(**WIDE, position_covers="all")
    model = build(recipe, data_recipe())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(float("nan"))
    initialise(model, recipe.init, 0)
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
