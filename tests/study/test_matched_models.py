"""Matched-capacity controls of real models, counted: pupils of teachers, and models of timm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ablate.capacity import Costs
from ablate.study.errors import StudyError
from ablate.study.matched import EQUAL, NEAR, NO_CONTROL, SUFFIX
from ablate.study.study import Study, Variant

Load = Callable[..., Study]
PUPIL = "{model.depth: 3, distillation: {teacher: {checkpoint: 'study:large'}}}"
#: A small ViT of timm's, in place of the example's model.
TIMM = "{name: timm/vit_tiny_patch16_224, embed_dim: 48, depth: 2, num_heads: 3, patch_size: 2}"


@pytest.fixture
def parameters() -> Callable[..., int]:
    """Of a Recipe's model, which is built."""
    return Costs(None).parameters


@pytest.fixture
def controlled(load: Load, example: str, parameters: Callable[..., int]) -> Callable[..., dict[str, Variant]]:
    """The example's Variants with one more Factor, the teachers, another model of the base and controls, by name."""

    def make(field: str, levels: str, model: str | None = None) -> dict[str, Variant]:
        start, end, rest = (example.index(key) for key in ("  model:\n", "  data:\n", "factors:"))
        own = example[start:end].replace("dim: 16", "dim: 64") if model is None else f"  model: {model}\n"
        head = example[:start].replace("profile: small\n", "") + own + example[end:rest]
        text = (
            f"match_parameters: {field}\n{head}factors:\n  made:\n    reference: base\n    levels:\n{levels}"
            "teachers:\n  large:\n    base: {schedule.epochs: 3}\ndesign: one_at_a_time\n"
        )
        return {variant.name: variant for variant in load(text, None, count=parameters).variants}

    return make


def test_the_control_of_a_pupil_has_its_teacher(
    controlled: Callable[..., dict[str, Variant]], parameters: Callable[..., int]
) -> None:
    """It differs from the pupil in the width alone, learns from the same Trial, and is as large as the baseline."""
    found = controlled("model.dim", f"      taught: {PUPIL}\n")
    pupil, twin = found["made=taught"], found[f"made=taught{SUFFIX}"]
    assert twin.control_of == pupil.name
    assert twin.recipe["distillation"] == pupil.recipe["distillation"]
    assert twin.recipe["model"] == pupil.recipe["model"] | {"dim": twin.recipe["model"]["dim"]}
    wanted = parameters(found["baseline"].recipe)
    assert abs(parameters(twin.recipe) - wanted) <= NEAR * wanted


def test_a_pupil_of_equal_size_needs_no_control(controlled: Callable[..., dict[str, Variant]]) -> None:
    """A teacher is no parameter of its pupil: with distillation alone nothing is there to match."""
    found = controlled("model.dim", "      taught: {distillation: {teacher: {checkpoint: 'study:large'}}}\n")
    assert list(found) == ["baseline", "made=taught"]
    assert NO_CONTROL not in found["made=taught"].note


def test_a_model_of_timm_without_the_field_has_a_note(controlled: Callable[..., dict[str, Variant]]) -> None:
    """Its options are its own: where the field is none of them, its note says that there is no control, and why."""
    convnet = "{name: timm/convnext_atto, dims: [32, 64, 64, 64], depths: [2, 2, 1, 1], patch_size: 1}"
    found = controlled("model.dim", f"      convnet: {{model: {convnet}}}\n      taught: {PUPIL}\n")
    assert f"made=convnet{SUFFIX}" not in found
    assert found["made=convnet"].note == f"{NO_CONTROL}its Recipe has no model.dim that could be adjusted."
    assert f"made=taught{SUFFIX}" in found


def test_an_option_of_a_timm_model_can_be_matched(
    controlled: Callable[..., dict[str, Variant]], parameters: Callable[..., int]
) -> None:
    """A ViT of timm's that is deeper gets a narrower twin, of a width that its heads divide."""
    found = controlled("model.embed_dim", "      deep: {model.depth: 6}\n", TIMM)
    twin = found[f"made=deep{SUFFIX}"]
    assert twin.changes.keys() == {"model.embed_dim", "model.depth"}
    assert twin.recipe["model"]["embed_dim"] % 3 == 0
    wanted, own = parameters(found["baseline"].recipe), parameters(found["made=deep"].recipe)
    assert abs(own - wanted) > EQUAL * wanted
    assert abs(parameters(twin.recipe) - wanted) <= NEAR * wanted


def test_a_field_that_timms_model_does_not_have_is_told(controlled: Callable[..., Any]) -> None:
    """An option that the base leaves to timm has no number that could be adjusted: one mistake, no crash."""
    with pytest.raises(StudyError, match=r"match_parameters: 'model\.mlp_ratio' is no number in the base"):
        controlled("model.mlp_ratio", "      deep: {model.depth: 6}\n", TIMM)
