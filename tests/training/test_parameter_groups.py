from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch
from timm.optim import create_optimizer_v2
from torch import nn

from ablate.models.build import build
from ablate.recipe import Optimizer, Recipe
from ablate.training.parameter_groups import decayed_names, layer_scales, left_alone, parameter_groups

SETTINGS = {
    "name": "adamw",
    "learning_rate": 1e-3,
    "beta1": 0.9,
    "beta2": 0.999,
    "eps": 1e-8,
    "weight_decay": 0.05,
    "decay": "matrices",
    "clip_norm": "off",
}


def of_each(model: nn.Module, **fields: object) -> dict[str, tuple[float, float]]:
    """Name of each parameter -> its weight decay and its share of the learning rate."""
    groups = parameter_groups(model, Optimizer.model_validate(SETTINGS | fields))
    names = [name for group in groups for name in group.parameters]
    assert len(set(names)) == len(names)
    return {name: (group.weight_decay, group.rate_scale) for group in groups for name in group.parameters}


def of_timm(model: nn.Module, **arguments: object) -> dict[str, tuple[float, float]]:
    optimizer = create_optimizer_v2(model, "adamw", lr=1e-3, weight_decay=0.05, **arguments)
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {
        names[parameter]: (group["weight_decay"], group.get("lr_scale", 1.0))
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


def small_timm(name: str, **options: object) -> nn.Module:
    return timm.create_model(name, pretrained=False, num_classes=5, **options)


@pytest.fixture(scope="module")
def timm_models() -> dict[str, nn.Module]:
    """Small ones: two plain transformers, one of windows with tables of relative positions, one of convolutions."""
    return {
        "vit": small_timm("vit_tiny_patch16_224", depth=3, img_size=32),
        "deit": small_timm("deit_tiny_distilled_patch16_224", depth=2, img_size=32),
        "swin": small_timm("swin_tiny_patch4_window7_224", depths=(1, 1), num_heads=(1, 2), embed_dim=8, img_size=56),
        "resnet": small_timm("resnet10t"),
    }


@pytest.mark.parametrize("name", ["vit", "deit", "swin", "resnet"])
def test_groups_are_those_of_timm(timm_models: dict[str, nn.Module], name: str) -> None:
    """Decay and scale of every parameter are those of `create_optimizer_v2`, with and without layer decay."""
    model = timm_models[name]
    assert of_each(model) == of_timm(model)
    assert of_each(model, layer_decay=0.75) == of_timm(model, layer_decay=0.75)


def test_exactly_the_kernels_decay(make_recipe: Callable[..., Recipe]) -> None:
    """Weights of dense layers and of the stem decay; biases, norms, learned positions and the class token do not."""
    recipe = make_recipe(model__position="learned", model__readout="cls", model__head="mlp")
    model = build(recipe.model, recipe.data)
    decayed = decayed_names(model, "kernels")
    assert decayed == {
        "stem.projection.weight",
        "blocks.0.mixer.qkv.weight",
        "blocks.0.mixer.out.weight",
        "blocks.0.feed_forward.up.weight",
        "blocks.0.feed_forward.down.weight",
        "head.representation.weight",
        "head.classifier.weight",
    }
    rest = {name for name, _ in model.named_parameters()} - decayed
    assert sum("norm" in name for name in rest) == 6
    assert any("position" in name for name in rest)
    assert any("readout" in name for name in rest)


def test_convolutions_decay_and_batch_norms_do_not() -> None:
    """The weight of a convolution is a kernel, that of a norm is not, though both are called weight."""
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Conv1d(2, 2, 1))
    assert decayed_names(model, "kernels") == {"0.weight", "2.weight"}


def test_matrices_are_kernels_and_what_else_has_two_dimensions(make_recipe: Callable[..., Recipe]) -> None:
    """In a model of the space, `matrices` adds CeiT's layer embedding to the kernels, but no position and no token."""
    readout = {"name": "layer_wise_cls", "heads": 2}
    recipe = make_recipe(model__position="learned", model__position_covers="all", model__readout=readout)
    model = build(recipe.model, recipe.data)
    assert left_alone(model) == {"position.patches", "position.prefix", "readout.token"}
    assert decayed_names(model, "matrices") - decayed_names(model, "kernels") == {"readout.layers"}


def test_what_a_model_asks_for_may_be_a_pattern() -> None:
    """A user's own model is asked by `no_weight_decay`, whose names timm takes for patterns."""

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(2, 2)
            self.outer = nn.Linear(2, 2)

        def no_weight_decay(self) -> set[str]:
            return {"inner.*"}

    assert of_each(Own()) == of_timm(Own())
    assert decayed_names(Own(), "matrices") == {"outer.weight"}


def test_frozen_parameters_are_in_no_group() -> None:
    """What takes no gradient is not handed to an optimiser."""
    model = nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    assert of_each(model).keys() == {"weight"}


def test_layers_of_the_space(make_recipe: Callable[..., Recipe]) -> None:
    """The rate falls by the factor from the head to the last block, from block to block, and on to the stem."""
    recipe = make_recipe(
        model__depth=3, model__position="learned", model__position_at="every_layer", model__readout="cls"
    )
    model = build(recipe.model, recipe.data)
    scales = layer_scales(model, 0.5)
    assert scales.keys() == dict(model.named_parameters()).keys()
    expected = {
        "stem": 0.5**4,
        "position": 0.5**4,
        "readout": 0.5**4,  # its token
        "blocks.0": 0.5**3,
        "later_positions.0": 0.5**2,  # those before block 1
        "blocks.1": 0.5**2,
        "later_positions.1": 0.5,
        "blocks.2": 0.5,
        "norm": 1.0,
        "head": 1.0,
    }
    for name, scale in scales.items():
        (prefix,) = [p for p in expected if name.startswith(f"{p}.")]
        assert scale == expected[prefix], name


def test_layers_of_the_space_are_those_of_timm_but_for_the_last_norm(make_recipe: Callable[..., Recipe]) -> None:
    """Of the same transformer, only the final norm has another scale at timm: that of the last block."""
    recipe = make_recipe(model__depth=3, model__position="learned", model__readout="cls")
    ours = layer_scales(build(recipe.model, recipe.data), 0.75)
    theirs = layer_scales(small_timm("vit_tiny_patch16_224", depth=3, img_size=32), 0.75)
    pairs = {
        "stem.projection.weight": "patch_embed.proj.weight",
        "position.patches": "pos_embed",
        "readout.token": "cls_token",
        **{f"blocks.{i}.mixer.qkv.weight": f"blocks.{i}.attn.qkv.weight" for i in range(3)},
        "head.classifier.weight": "head.weight",
    }
    assert {name: ours[name] for name in pairs} == {name: theirs[other] for name, other in pairs.items()}
    assert (ours["norm.weight"], theirs["norm.weight"]) == (1.0, 0.75)


def test_a_readout_of_its_own_layers_counts_as_the_last(make_recipe: Callable[..., Recipe]) -> None:
    """Attention pooling learns at the full rate, its probe included."""
    recipe = make_recipe(model__readout={"name": "map", "heads": 2})
    scales = layer_scales(build(recipe.model, recipe.data), 0.5)
    assert {scale for name, scale in scales.items() if name.startswith("readout.")} == {1.0}


def test_a_model_without_layers_is_refused() -> None:
    """Layer decay on a model that does not say which layers it has is an error; without it, nothing is asked."""
    with pytest.raises(ValueError, match="Linear does not"):
        layer_scales(nn.Linear(2, 2), 0.9)
    assert set(layer_scales(nn.Linear(2, 2), 1.0).values()) == {1.0}


def test_a_model_of_one_layer_is_refused() -> None:
    """A `group_matcher` that puts all into one layer leaves nothing to scale, which timm only logs."""

    class One(nn.Linear):
        def group_matcher(self, coarse: bool) -> dict[str, str]:
            return {"stem": "^."}

    with pytest.raises(ValueError, match="it is one layer"):
        layer_scales(One(2, 2), 0.9)


def test_shared_weights_are_in_one_group() -> None:
    """A parameter that two modules hold is updated once."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    groups = parameter_groups(model, Optimizer.model_validate(SETTINGS))
    assert sum(len(group.parameters) for group in groups) == 3
    assert torch.equal(model[1].weight, model[0].weight)
