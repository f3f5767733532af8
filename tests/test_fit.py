"""Whether parts fit together: told from the source alone, and as building the model tells it."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.fit import Misfit, find_misfits, stem_grid
from ablate.models.build import build
from ablate.parts import KINDS, MODELS, options_of
from ablate.presets import PRESETS
from ablate.recipe import Recipe
from ablate.study.models import spelled_out

MODEL: dict[str, Any] = {
    "dim": 16,
    "depth": 2,
    "stem": {"name": "patches", "patch_size": 2},
    "position": "sincos2d",
    "position_covers": "patches",
    "mixer": {"name": "self_attention", "heads": 2},
    "feed_forward": "mlp",
    "norm": "layer_norm",
    "final_norm": "before_pooling",
    "readout": "gap",
    "head": "linear",
    "dropout": 0.0,
    "init": "jax",
}
DATA: dict[str, Any] = {
    "source": "digits",
    "image_size": 8,
    "channels": 1,
    "classes": 10,
    "mean": 0.5,
    "std": 0.5,
    "test_fraction": 0.2,
    "val_fraction": 0.1,
    "split_seed": 0,
    "evaluate_on": "val",
    "eval_resize": 8,
}
REST: dict[str, Any] = {
    "augment": {"crop": "off", "flip": False, "randaug": "off", "mixup": "off"},
    "optimizer": {
        "name": "adamw",
        "learning_rate": 1e-3,
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-8,
        "weight_decay": 0.0,
        "decay": "kernels",
        "clip_norm": 1.0,
    },
    "schedule": {"epochs": 1, "batch_size": 4, "warmup_steps": 0, "decay": "cosine"},
    "precision": "float32",
}


def recipe(model: Any = None, data: Mapping[str, Any] | None = None) -> Recipe:
    """A Recipe of this model, or of the small one with these fields changed."""
    whole = isinstance(model, str) or (model is not None and "name" in model)
    changed = spelled_out(model) if whole else MODEL | dict(model or {})
    return Recipe.model_validate({"model": changed, "data": DATA | dict(data or {}), **REST})


# A sensible value of an option, and now and then one that fits nothing.
NUMBERS = {
    int: st.sampled_from([2, 4, 2, 4, 2, 1, 3, 8, 0, -1]),
    float: st.sampled_from([2.0, 0.5, 1.0, 0.1, 0.0, -1.0]),
}
#: torch itself refuses these in words of its own, or not at all, where a part lets them through.
POSITIVE = {"dim", "dims", "conv_channels", "token_dim"}
PROBABILITIES = {"dropout", "token_dropout", "stochastic_depth"}


def values(name: str, annotation: Any) -> st.SearchStrategy[Any]:
    origin = typing.get_origin(annotation)
    if name in PROBABILITIES:
        return st.sampled_from([0.0, 0.1])
    if annotation is bool:
        return st.booleans()
    if annotation in NUMBERS:
        return NUMBERS[annotation].map(lambda number: abs(number) + 1) if name in POSITIVE else NUMBERS[annotation]
    if origin is typing.Literal:
        return st.sampled_from(typing.get_args(annotation))
    if origin is types.UnionType:
        return st.one_of([values(name, each) for each in typing.get_args(annotation)])
    if annotation is type(None):
        return st.none()
    assert origin is list, annotation
    return st.lists(values(name, *typing.get_args(annotation)), max_size=4)


@st.composite
def named(draw: st.DrawFn, name: str, target: str) -> dict[str, Any]:
    """A part or whole model with its required options, and a few of the others."""
    options = options_of(target)
    chosen = [o for o in options.values() if o.required or draw(st.integers(0, 5)) == 0]
    return {"name": name, **{o.name: draw(values(o.name, o.annotation)) for o in chosen}}


@st.composite
def points(draw: st.DrawFn) -> dict[str, Any]:
    """A model section: any part beside any other."""
    parts = {
        kind: draw(st.sampled_from(list(names.items())).flatmap(lambda e: named(*e))) for kind, names in KINDS.items()
    }
    return {
        **parts,
        "dim": draw(st.sampled_from([16, 8, 32, 16, 12, 6, 5])),
        "depth": draw(st.sampled_from([1, 2, 4])),
        "position_at": draw(st.sampled_from(["stem", "every_layer", "every_layer_shared"])),
        "position_covers": draw(st.sampled_from(["patches", "all"])),
        "final_norm": draw(st.sampled_from(["before_pooling", "after_pooling"])),
        "layer_scale": draw(st.sampled_from(["off", 0.1])),
        "branch_factor": draw(st.sampled_from([1.0, 2.0])),
        "stochastic_depth": draw(st.sampled_from([0.0, 0.1])),
        "dropout": draw(st.sampled_from([0.0, 0.1])),
        "attention_dropout": draw(st.sampled_from([0.0, 0.0, 0.1])),
        "init": "jax",
    }


IMAGES = st.fixed_dictionaries({"image_size": st.sampled_from([16, 32, 8, 16, 6]), "channels": st.sampled_from([1, 3])})
WHOLE = st.sampled_from(list(MODELS.items())).flatmap(lambda entry: named(*entry))


def refused(whole: Recipe) -> str | None:
    """What building the model says against it."""
    try:
        with torch.device("meta"):
            build(whole.model, whole.data)
    except ValueError as error:
        return str(error)
    return None


@settings(max_examples=150, deadline=None)
@given(model=points(), data=IMAGES)
def test_what_does_not_fit_is_what_cannot_be_built(model: dict[str, Any], data: dict[str, Any]) -> None:
    """For any parts of the space, misfits are found exactly where building fails, its own words among them."""
    whole = recipe(model, data)
    reasons, words = [misfit.reason for misfit in find_misfits(whole)], refused(whole)
    assert bool(reasons) == (words is not None), (reasons, words)
    assert words is None or words in reasons or model["position"]["name"] == "relative"


@settings(max_examples=60, deadline=None)
@given(model=WHOLE, data=IMAGES | st.just({"image_size": 224, "channels": 3}))
def test_what_does_not_fit_in_a_whole_model_is_what_cannot_be_built(
    model: dict[str, Any], data: dict[str, Any]
) -> None:
    """For our models beside the space, the one misfit is what building says."""
    whole = recipe(model, data)
    words = refused(whole)
    assert list(find_misfits(whole)) == ([] if words is None else [Misfit("model", words)])


@pytest.mark.parametrize("name", PRESETS)
def test_every_published_model_fits_its_images(name: str) -> None:
    """No preset has anything against images of 224 px."""
    assert list(find_misfits(recipe(name, {"image_size": 224, "channels": 3}))) == []


@pytest.mark.parametrize(
    ("model", "field", "reason"),
    [
        ({"dim": 14}, "model.position", "sincos2d needs a width that is a multiple of 4 and at least 8, got dim 14"),
        (
            {"stem": {"name": "patches", "patch_size": 3}},
            "model.stem",
            "patches of 3 px do not tile an image of 8 x 8 px",
        ),
        ({"mixer": {"name": "self_attention", "heads": 3}}, "model.mixer", "3 attention heads do not divide the width"),
        ({"mixer": {"name": "re_attention", "heads": 2, "last_blocks": 3}}, "model.mixer", "the last 3 of 2 blocks"),
        ({"readout": {"name": "map", "heads": 5}}, "model.readout", "5 attention heads do not divide the width"),
        ({"feed_forward": {"name": "leff", "kernel": 2}}, "model.feed_forward", "leff needs an odd kernel"),
        ({"norm": {"name": "batch_norm", "momentum": 2.0}}, "model.norm", "batch_norm needs a momentum above 0"),
        ({"position": "relative"}, "model.position", "set position_at to every_layer or every_layer_shared"),
        (
            {"position": "relative", "position_at": "every_layer", "mixer": "cross_patch_linear"},
            "model.position",
            "mixer 'cross_patch_linear' has no attention",
        ),
        (
            {"attention_dropout": 0.1, "mixer": "cross_patch_linear"},
            "model.attention_dropout",
            "attention_dropout needs a mixer that takes it, and mixer 'cross_patch_linear' has no attention weights",
        ),
        ({"name": "cswin", "stem_stride": 8}, "model", "model 'cswin': a stem of kernel 7 at stride 8 cannot see each"),
    ],
)
def test_each_misfit_names_its_field_and_its_reason(model: dict[str, Any], field: str, reason: str) -> None:
    """One misfit: the part that says it, and why."""
    (misfit,) = find_misfits(recipe(model))
    assert misfit.field == field
    assert reason in misfit.reason


def test_all_misfits_are_told_at_once() -> None:
    """Parts that do not depend on one another are judged each for itself; after the stem, nothing can be."""
    several = {"dim": 15, "mixer": {"name": "self_attention", "heads": 2}, "norm": {"name": "layer_norm", "eps": 0.0}}
    assert [m.field for m in find_misfits(recipe(several))] == ["model.mixer", "model.position", "model.norm"]
    several["stem"] = {"name": "patches", "patch_size": 5}
    assert [m.field for m in find_misfits(recipe(several))] == ["model.stem"]


def test_a_model_of_timm_is_left_to_timm() -> None:
    """Its source is not followed: what does not fit is told when it is built."""
    assert list(find_misfits(recipe("timm/vit_tiny_patch16_224"))) == []


@pytest.mark.parametrize(
    ("stem", "grid"),
    [
        ({"name": "patches", "patch_size": 4}, (8, 8)),
        ({"name": "image_to_tokens", "patch_size": 2}, (4, 4)),
        ({"name": "tokens_to_token"}, (2, 2)),
        ({"name": "patches", "patch_size": 5}, None),
    ],
)
def test_the_stems_grid_is_known_without_torch(stem: dict[str, Any], grid: tuple[int, int] | None) -> None:
    """As `ablate plan` needs it: from the stem's source, None where there is no such stem or no stem at all."""
    assert stem_grid(recipe({"stem": stem}, {"image_size": 32})) == grid
    assert stem_grid(recipe({"name": "pvt"}, {"image_size": 224})) is None
