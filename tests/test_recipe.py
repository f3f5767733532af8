"""The Recipe is validated, frozen, and the whole truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from ablate.parts import KINDS, PartError
from ablate.recipe import (
    ColorJitter,
    CutMix,
    Data,
    Distillation,
    Ema,
    Erasing,
    InceptionCrop,
    LinearScaling,
    MixUp,
    Model,
    Part,
    RandAugment,
    Recipe,
    Section,
    decisive,
    resolve_part,
)
from ablate.recipe.section import JUDGING, NEUTRAL
from ablate.study.document import read_document

STARTER = Path(__file__).parents[1] / "ablate" / "study" / "starter.yaml"


@pytest.fixture
def tree() -> dict[str, Any]:
    """A valid Recipe as a study writes it."""
    base: dict[str, Any] = read_document(STARTER).tree["base"]
    return base


def test_a_resolved_recipe_resolves_to_itself(tree: dict[str, Any]) -> None:
    """Plain values in, the same plain values out, with every default spelled out."""
    resolved = Recipe.model_validate(tree).resolved()
    assert Recipe.model_validate(resolved).resolved() == resolved
    assert resolved["model"]["feed_forward"] == {"name": "mlp", "ratio": 2.0, "activation": "gelu_tanh"}
    assert resolved["augment"]["mixup"] == {"alpha": 0.2, "draw": "image"}


def test_a_recipe_is_frozen_and_hashable(tree: dict[str, Any]) -> None:
    """It can be a key, and nobody changes it under way."""
    recipe = Recipe.model_validate(tree)
    assert hash(recipe) == hash(Recipe.model_validate(tree))
    with pytest.raises(ValidationError, match="frozen"):
        recipe.schedule.epochs = 3


@pytest.mark.parametrize("value", ["3", 3.0, 3.5, True, None, -1, 0])
def test_no_type_is_converted(tree: dict[str, Any], value: Any) -> None:
    """A whole number above zero is that and nothing that looks like it."""
    tree["schedule"]["epochs"] = value
    with pytest.raises(ValidationError):
        Recipe.model_validate(tree)


def test_a_whole_number_is_good_for_a_float(tree: dict[str, Any]) -> None:
    """`clip_norm: 1` and `clip_norm: 1.0` are one Recipe."""
    tree["optimizer"]["clip_norm"] = 1
    clip = Recipe.model_validate(tree).resolved()["optimizer"]["clip_norm"]
    assert (type(clip), clip) == (float, 1.0)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_numbers_are_finite(tree: dict[str, Any], value: float) -> None:
    """An infinite learning rate is a mistake."""
    tree["optimizer"]["learning_rate"] = value
    with pytest.raises(ValidationError):
        Recipe.model_validate(tree)


@pytest.mark.parametrize(
    ("steps", "epochs", "valid"), [(5, None, True), (None, 0.5, True), (5, 0.5, False), (None, None, False)]
)
def test_the_warm_up_is_given_in_one_unit(tree: dict[str, Any], steps: int, epochs: float, valid: bool) -> None:
    """Steps or epochs, and not none of them."""
    tree["schedule"] |= {"warmup_steps": steps, "warmup_epochs": epochs}
    if valid:
        assert Recipe.model_validate(tree).schedule.warmup_epochs == epochs
    else:
        with pytest.raises(ValidationError, match="exactly one"):
            Recipe.model_validate(tree)


def test_the_limits_of_the_crop_are_ordered() -> None:
    """A smallest aspect ratio above the largest is a mistake."""
    assert InceptionCrop(min_aspect=2.0, max_aspect=2.0).max_aspect == 2.0
    with pytest.raises(ValidationError, match="min_aspect must not be larger than max_aspect"):
        InceptionCrop(min_aspect=1.5, max_aspect=1.4)


def _sections() -> set[type[Section]]:
    return {cls for cls in Section.__subclasses__() if cls.__module__.startswith("ablate.recipe")}


def _defaults(section: type[BaseModel]) -> dict[str, object]:
    fields = {n: field for n, field in section.model_fields.items() if not {NEUTRAL, JUDGING} & set(field.metadata)}
    return {name: field.default for name, field in fields.items() if not field.is_required()}


def test_only_sections_that_can_be_off_have_defaults() -> None:
    """No default hides in the Recipe itself: what a study does not say stands in a section it asked for by name."""
    with_defaults = {cls.__name__ for cls in _sections() if _defaults(cls)}
    augment = {InceptionCrop, ColorJitter, RandAugment, Erasing, MixUp, CutMix}
    others = {LinearScaling, Ema, Distillation}
    assert with_defaults == {cls.__name__ for cls in augment | others} | {"Schedule", "Model"}


def test_what_a_model_leaves_unsaid_does_nothing() -> None:
    """The defaults of the model's fields add nothing to a plain pre-norm transformer."""
    nothing = {"position_at": "stem", "layer_scale": "off", "branch_factor": 1.0, "stochastic_depth": 0.0}
    assert _defaults(Model) == nothing


def test_what_is_switched_off_is_no_part_of_what_decides(tree: dict[str, Any]) -> None:
    """A field that does nothing is left out, at any depth; one that does something stays; what only judges never is."""
    resolved = Recipe.model_validate(tree).resolved()
    kept = decisive(resolved)
    assert {"loss", "ema", "judge", "distillation", "compute"} & kept.keys() == set()
    assert "cutmix" not in kept["augment"]
    assert "operations" not in decisive({"augment": {"randaug": {"operations": "big_vision", "layers": 2}}})["augment"]
    assert decisive({"loss": {"kind": "softmax", "label_smoothing": 0.1}}) == {"loss": {"label_smoothing": 0.1}}
    average = {"decay": 0.9, "warmup": False}
    assert decisive({"ema": average, "judge": "ema"}) == {"ema": average}


def test_every_field_says_what_it_is() -> None:
    """A docstring under each, which the schema and the documentation show."""
    for section in _sections() - {Recipe}:
        assert [name for name, field in section.model_fields.items() if not field.description] == []


def test_every_kind_of_part_is_a_field_of_the_model() -> None:
    """And no part is anything else."""
    parts = {name for name, field in Model.model_fields.items() if field.annotation is Part}
    assert parts == set(KINDS)


def test_a_part_is_a_name_or_a_mapping() -> None:
    """Both ways give the part with all its options; a resolved part stays as it is."""
    whole = resolve_part("position", "sincos2d")
    assert whole == Part(name="sincos2d", options={"temperature": 10_000.0})
    assert resolve_part("position", {"name": "sincos2d"}) == whole
    assert resolve_part("position", whole) is whole
    assert resolve_part("position", {"name": "sincos2d", "temperature": 5}).options == {"temperature": 5.0}


@pytest.mark.parametrize(
    ("value", "message", "option"),
    [
        ("sincos", "there is no position named 'sincos'", None),
        (3, "a position must be a name, or a mapping with a name and its options, not 3", None),
        ({"temperature": 1.0}, "not a mapping without a name", None),
        ({"name": "sincos2d", "temp": 1.0}, "position 'sincos2d' has no option 'temp'; allowed: temperature", "temp"),
        ({"name": "sincos2d", "temperature": "hot"}, "must be a number, not 'hot'", "temperature"),
        ({"name": "sincos2d", "temperature": True}, "must be a number, not true", "temperature"),
    ],
)
def test_a_wrong_part_is_told(value: Any, message: str, option: str | None) -> None:
    """With the option that is wrong, where it is one."""
    with pytest.raises(PartError) as caught:
        resolve_part("position", value)
    assert message in str(caught.value)
    assert caught.value.option == option


def test_relative_data_lie_below_the_variable_or_the_working_folder(
    tree: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`$ABLATE_DATA/imagenet`, or `./imagenet`; an absolute path is itself, and a packaged source has no place."""

    def location(source: str) -> Path | None:
        return Data.model_validate(tree["data"] | {"source": source}).location()

    monkeypatch.delenv("ABLATE_DATA", raising=False)
    assert location("imagefolder:imagenet") == Path("imagenet")
    monkeypatch.setenv("ABLATE_DATA", "/data")
    assert location("imagefolder:imagenet") == Path("/data/imagenet")
    assert location("imagefolder:/other") == Path("/other")
    assert location("digits") is None


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("augment.padding", 4, None),
        ("augment.randaug", {"increasing": True}, "need operations: timm"),
        ("augment.randaug", {"operations": "timm", "level": 15.0}, "clipped at max_level, 10"),
        ("augment.mixing_probability", 0.5, None),
        ("augment.cutmix_share", 0.7, "needs both mixup and cutmix"),
        ("augment.cutmix", {"draw": "batch"}, "must be the same"),
        ("data.mean", [0.5, 0.5], "mean has 2 numbers, but channels is 1"),
        ("data.test_split", "test", "has no splits of its own"),
        ("data.train_split", "all", "has no splits of its own"),
        ("optimizer.options", {"amsgrad": True}, "options are for timm's optimizers"),
        ("optimizer.name", "adamm", "did you mean 'adam"),
        ("schedule.micro_batch", 1000, "has only"),
        ("judge", "ema", "judge: ema needs an ema"),
        ("distillation", {"teacher": {"checkpoint": "timm"}}, "needs the 'model'"),
        ("distillation", {"teacher": {"checkpoint": "timm", "model": "CeiT-T"}}, "need a 'model' of timm's"),
        ("distillation", {"teacher": {"checkpoint": "study:a", "model": "CeiT-T"}}, "leave 'model' out"),
        ("distillation", {"teacher": {"checkpoint": "study:a"}, "temperature": 4.0}, "temperature is for kind: soft"),
    ],
)
def test_what_contradicts_itself_is_refused(tree: dict[str, Any], field: str, value: Any, message: str | None) -> None:
    """Each with a sentence that says what is missing; what is possible is not."""
    section, _, name = field.rpartition(".")
    owner = tree[section] if section else tree
    owner[name] = owner[name] | value if isinstance(value, dict) and isinstance(owner.get(name), dict) else value
    if message is None:
        Recipe.model_validate(tree)
        return
    with pytest.raises(ValidationError, match=message):
        Recipe.model_validate(tree)
