from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ablate.capacity import Costs
from ablate.recipe import Recipe
from ablate.study.bases import UserRecipe, VisionRecipe
from ablate.study.document import read_document
from ablate.study.errors import StudyError
from ablate.study.matched import EQUAL, NEAR, NO_CONTROL, SUFFIX, with_controls, without_suffix
from ablate.study.overrides import differences
from ablate.study.resolve import Scope
from ablate.study.spec import ProfileSpec, StudyFile
from ablate.study.study import ResolvedRecipe, Variant

Controls = Callable[..., dict[str, Variant]]


def arithmetic(recipe: ResolvedRecipe) -> int:
    """A model whose parameters can be told in the head: depth x (ratio + 4) x dim^2, and a learned position."""
    model = recipe["model"]
    extra = 16 * model["dim"] if model["position"]["name"] == "learned" else 0
    return round(model["depth"] * (4 + model["feed_forward"]["ratio"]) * model["dim"] ** 2) + extra


@pytest.fixture
def controls(folder: Path, example: str) -> Controls:
    """Variant -> overrides of the example's base, and what `with_controls` makes of them, by name."""

    def make(
        variants: Mapping[str, Mapping[str, Any]], field: str | None = "model.dim", count: Any = arithmetic, **base: Any
    ) -> dict[str, Variant]:
        asked = f"match_parameters: {field}\n" if field else ""
        path = folder / "study.yaml"
        path.write_text(asked + example, encoding="utf-8")
        document = read_document(path)
        scope = Scope(StudyFile.model_validate(document.tree), ProfileSpec(), "default", document)
        start = VisionRecipe.start(scope.spec.base, document, ("base",)).checked()
        start = start.changed({name.replace("__", "."): value for name, value in base.items()}, None, ("",)).checked()
        made = [Variant("baseline", {"posemb": "sincos2d"}, start.tree, {})]
        for name, overrides in variants.items():
            recipe = start.changed(overrides, None, ("",)).checked().tree
            made.append(Variant(name, {"posemb": "other"}, recipe, differences(start.tree, recipe), "As it is."))
        return {variant.name: variant for variant in with_controls(tuple(made), scope, start, count)}

    return make


def test_control_has_the_baselines_parameters(controls: Controls) -> None:
    """Of a Variant twice as deep the twin is narrower, follows it, keeps its Levels and says what was reached."""
    found = controls({"deep": {"model.depth": 4}, "batch": {"schedule.batch_size": 128}}, model__dim=128)
    assert list(found) == ["baseline", "deep", f"deep{SUFFIX}", "batch"]
    twin = found[f"deep{SUFFIX}"]
    assert twin.control_of == "deep"
    assert twin.levels == found["deep"].levels
    # 128 / sqrt(2) is 90.5, and sincos2d needs a multiple of 4: of 88 and 92 the latter is nearer.
    assert twin.changes == {"model.dim": (128, 92), "model.depth": (2, 4)}
    assert twin.note == (
        "Control of deep at equal parameters: model.dim 128 → 92, 203,136 of the baseline's 196,608 parameters."
    )
    assert found["deep"].note == "As it is."
    assert differences(found["deep"].recipe, twin.recipe) == {"model.dim": (128, 92)}
    assert Recipe.model_validate(twin.recipe).resolved() == twin.recipe


def test_no_controls_unless_asked(controls: Controls) -> None:
    """Without `match_parameters` nothing is counted and the Variants are as they were."""
    found = controls({"deep": {"model.depth": 4}}, None, lambda _: pytest.fail("counted"))
    assert list(found) == ["baseline", "deep"]


@pytest.mark.parametrize(("heads", "expected"), [(2, 92), (8, 88)])
def test_only_widths_that_can_be_built(controls: Controls, heads: int, expected: int) -> None:
    """The width stays a multiple of the heads, which stay as they are."""
    variant = {"model.depth": 4, "model.mixer.heads": heads}
    found = controls({"deep": variant}, count=lambda r: arithmetic(r) if r["model"]["dim"] != 96 else 10**9)
    assert SUFFIX not in "".join(found)  # at 16 wide the steps are too coarse
    wide = controls({"deep": variant}, model__dim=128)
    twin = wide.get(f"deep{SUFFIX}")
    if heads == 2:
        assert twin is not None
        assert twin.recipe["model"]["dim"] == expected
        assert twin.recipe["model"]["mixer"]["heads"] == heads
    else:  # 88 and 96 are 5.5 % and 12.5 % off
        assert twin is None
        assert wide["deep"].note.endswith(
            f"As it is. {NO_CONTROL}the nearest that model.dim gives is 185,856 of 196,608 parameters with 88."
        )


def test_small_differences_need_no_control(controls: Controls) -> None:
    """Within 0.5 % of the baseline's parameters a Variant has neither twin nor note; just beyond it has one."""
    # 16 * dim of 12 * dim^2: 0.52 % at a width of 256, 0.35 % at 384.
    learned = {"learned": {"model.position": "learned"}}
    assert list(controls(learned, model__dim=384)) == ["baseline", "learned"]
    found = controls(learned, model__dim=256)
    assert found["learned"].note.startswith(f"As it is. {NO_CONTROL}no model.dim comes nearer than its own, 790,528")
    assert 16 / (12 * 256) > EQUAL > 16 / (12 * 384)


def test_a_field_with_a_fraction(controls: Controls) -> None:
    """The ratio of the feed-forward is tried in thousandths, and gives back what a learned position brings."""
    found = controls({"learned": {"model.position": "learned"}}, "model.feed_forward.ratio", model__dim=64)
    twin = found[f"learned{SUFFIX}"]
    assert twin.recipe["model"]["feed_forward"]["ratio"] == pytest.approx(1.875, abs=1e-9)  # 2 - 16 / (2 * 64)
    assert arithmetic(twin.recipe) == arithmetic(found["baseline"].recipe)


def test_a_twin_that_is_the_baseline_is_none(controls: Controls) -> None:
    """A Factor that is the width itself has no control: its twin would be the baseline, and the note says so."""
    found = controls({"wide": {"model.dim": 32}})
    assert list(found) == ["baseline", "wide"]
    assert found["wide"].note == f"As it is. {NO_CONTROL}with model.dim 16 it would be the baseline."


def test_a_twin_that_is_another_variant_is_that_variant(controls: Controls) -> None:
    """Where twins have a Recipe that the study has already, it is trained once and has both names."""
    deep, narrow, short = {"model.depth": 8}, {"model.depth": 8, "model.dim": 32}, {"model.depth": 8, "model.dim": 96}
    found = controls({"deep": deep, "narrow": narrow, "wide": short}, model__dim=64)
    assert list(found) == ["baseline", "deep", "narrow", "wide"]
    assert found["narrow"].also == (f"deep{SUFFIX}", f"wide{SUFFIX}")
    again = controls({"deep": deep, "wide": short}, model__dim=64)
    assert list(again) == ["baseline", "deep", f"deep{SUFFIX}", "wide"]
    assert again[f"deep{SUFFIX}"].also == (f"wide{SUFFIX}",)


def test_variants_without_the_field_say_so(controls: Controls) -> None:
    """A mixer without heads cannot be matched by heads."""
    count = {"self_attention": 1000, "token_mlp": 2000}
    mixer = {"model.mixer": {"name": "token_mlp", "hidden": 8}}
    found = controls({"mlp": mixer}, "model.mixer.heads", lambda r: count[r["model"]["mixer"]["name"]])
    assert found["mlp"].note == f"As it is. {NO_CONTROL}its Recipe has no model.mixer.heads that could be adjusted."


def test_patterns_on_controls_are_on_their_variants() -> None:
    """A control is trained beside the Variant whose twin it is, whichever of the two a selection names."""
    assert without_suffix("deep@matched") == ("deep", "@matched")
    assert without_suffix("pool=*") == ("pool=*", "")


def test_equal_models_share_a_search(controls: Controls) -> None:
    """A hundred Variants of one model cost the counts of one, a count for each Variant aside."""
    asked: list[int] = []

    def count(recipe: ResolvedRecipe) -> int:
        asked.append(recipe["model"]["dim"])
        return arithmetic(recipe)

    one = {"0": {"model.depth": 4}}
    controls(one, count=count, model__dim=128)
    of_one = len(asked)
    many = {str(i): {"model.depth": 4, "optimizer.weight_decay": i / 100} for i in range(30)}
    found = controls(many, count=count, model__dim=128)
    assert len(found) == 61
    assert len(asked) - of_one == of_one + 29


def refusal(make: Callable[[], Any]) -> str:
    with pytest.raises(StudyError) as caught:
        make()
    [problem] = caught.value.problems
    assert problem.line == 1
    return problem.message


def test_mistakes_are_told_at_their_place(controls: Controls) -> None:
    """A field that does not exist, is no number, or is not the model's; no counter; a model that cannot be counted."""

    def broken(_: ResolvedRecipe) -> int:
        raise ValueError("timm has no such model")

    one = {"deep": {"model.depth": 4}}
    assert "there is no field 'dims'" in refusal(lambda: controls(one, "model.dims"))
    assert "did you mean 'dim'" in refusal(lambda: controls(one, "model.dims"))
    assert "is no number in the base" in refusal(lambda: controls(one, "model.init"))
    assert "must be a field of the model" in refusal(lambda: controls(one, "schedule.epochs"))
    assert "load it with `count`" in refusal(lambda: controls(one, count=None))
    assert "'baseline' cannot be counted: timm has no" in refusal(lambda: controls(one, count=broken))


def test_a_trainable_of_the_users_own_is_refused(folder: Path, example: str) -> None:
    """Nothing is known of its models."""
    path = folder / "study.yaml"
    path.write_text(f"match_parameters: model.dim\n{example}", encoding="utf-8")
    document = read_document(path)
    scope = Scope(StudyFile.model_validate(document.tree), ProfileSpec(), "default", document)
    base = UserRecipe.start(scope.spec.base, document, ("base",))
    variants = (Variant("baseline", {}, base.tree, {}),)
    assert "has a trainable of its own" in refusal(lambda: with_controls(variants, scope, base, arithmetic))


def test_a_variant_with_the_name_of_a_control_is_refused(controls: Controls) -> None:
    """Two Variants of one name would be one in every table."""
    with pytest.raises(StudyError, match="is the name of a matched-capacity control"):
        controls({"deep": {"model.depth": 4}, f"deep{SUFFIX}": {"model.depth": 3}}, model__dim=128)


def test_real_models_are_matched(controls: Controls) -> None:
    """With models as they are built, twins of deeper, wider and other models are within 5 %, of their own shape."""
    costs = Costs(None)
    variants = {
        "deep": {"model.depth": 3},
        "cls": {"model.readout": "cls", "model.position": "learned", "model.depth": 4},
        "leff": {"model.feed_forward": {"name": "leff", "ratio": 4.0}},
        "ratio": {"model.feed_forward.ratio": 1.0},
    }
    found = controls(variants, count=costs.parameters, model__dim=96)
    wanted = costs.parameters(found["baseline"].recipe)
    twins = [v for v in found.values() if v.control_of]
    assert len(twins) == len(variants)
    for twin in twins:
        own = costs.parameters(found[twin.control_of].recipe)
        reached = costs.parameters(twin.recipe)
        assert abs(reached - wanted) <= NEAR * wanted < abs(own - wanted)
        assert differences(found[twin.control_of].recipe, twin.recipe).keys() == {"model.dim"}
