"""Variants of one Recipe are one, and answer to all their names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ablate.study import variants as study_variants
from ablate.study.recipes import Recipes
from ablate.study.study import Study

Cross = Callable[..., Study]
#: Two Factors that change the same fields: f=high is a=high and b=high together.
SHARED = "  f: {reference: low, levels: {high: {a: 1, b: 1}}}\n"
FIELDS = "uvwx"


def named(study: Study) -> dict[str, tuple[str, ...]]:
    """Variant -> its other names."""
    return {variant.name: variant.also for variant in study.variants}


def test_a_listed_name_wins_over_a_generated_one(cross: Cross) -> None:
    """The Variant stays where the design has it, with the note of the list; a second listed name is another of its."""
    study = cross("variants:\n  mine: {levels: {a: high}, note: Ours.}\n  again: {levels: {a: high}}\n")
    assert list(named(study)) == ["baseline", "mine", "b=high", "c=middle", "c=high", "d=high"]
    assert study.variants[1].also == ("a=high", "again")
    assert study.variants[1].note == "Ours."
    assert [block.variants[1] for block in study.blocks] == ["mine", "mine"]


def test_different_levels_of_one_recipe_are_one_variant(cross: Cross) -> None:
    """It has the Levels of the name that it carries; a design that has it by others says so."""
    study = cross(f"{SHARED}design: [{{factorial: {{factors: [a, b]}}}}, {{one_at_a_time: {{factors: [f]}}}}]\n")
    assert named(study)["a=high,b=high"] == ("f=high",)
    first, second = study.blocks
    assert second.variants == ("baseline", "a=high,b=high")
    assert first.cells == {}
    assert second.cells == {"a=high,b=high": {"a": "low", "b": "low", "c": "low", "d": "low", "f": "high"}}


def test_within_a_factorial_what_means_the_same_is_trained_once(cross: Cross) -> None:
    """Of 2 x 2 x 2 combinations of a, b and f four have both fields changed."""
    study = cross(f"{SHARED}design: {{factorial: {{factors: [a, b, f]}}}}\n")
    assert len(study.variants) == 4
    both = study.variants[-1] if study.variants[-1].also else study.variants[1]
    assert {both.name, *both.also} == {
        "f=high",
        "b=high,f=high",
        "a=high,f=high",
        "a=high,b=high",
        "a=high,b=high,f=high",
    }


def test_a_listed_baseline_is_the_baseline(cross: Cross) -> None:
    """It keeps its name, and answers to the other."""
    study = cross("variants: {mine: {levels: {a: low}}}\n")
    assert study.baseline.name == "baseline"
    assert study.baseline.also == ("mine",)


@pytest.mark.parametrize("pattern", ["mine", "a=high", "a=*"])
def test_only_takes_any_name(cross: Cross, pattern: str) -> None:
    """The one that it carries, and the others that it answers to."""
    study = cross("variants: {mine: {levels: {a: high}}}\n", only=[pattern])
    assert named(study) == {"baseline": (), "mine": ("a=high",)}


def test_only_resolves_no_more_than_it_chooses(cross: Cross, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 24 Variants: the baseline, each Level alone, and the one that is asked for."""
    made = []
    of = Recipes.of
    monkeypatch.setattr(Recipes, "of", lambda self, point: made.append(point) or of(self, point))
    cross("design: factorial\n", only=["a=high,b=high,c=high,d=high"])
    assert len(set(made)) == 1 + 5 + 1


def test_only_says_which_other_name_would_be_one(cross: Cross) -> None:
    """Of many names the first are shown, and the nearest."""
    with pytest.raises(ValueError, match=r"--only a=hihg: .* \(24 in all\); did you mean 'a=high'\?"):
        cross("design: factorial\n", only=["a=hihg"])


def test_a_choice_among_too_many_is_allowed(cross: Cross, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is trained is limited, and not what it is chosen from, as long as that can be gone through."""
    monkeypatch.setattr(study_variants, "MAX_VARIANTS", 20)
    assert len(cross("design: factorial\n", only=["a=high*"]).variants) == 13
    with pytest.raises(ValueError, match="the design has 24 Variants; at most 20 are allowed"):
        cross("design: factorial\n")
    monkeypatch.setattr(study_variants, "MAX_COMBINATIONS", 23)
    with pytest.raises(ValueError, match=r"the design has 24 Variants; .*; --only chooses among at most 23"):
        cross("design: factorial\n", only=["a=high*"])


def test_published_rows_may_call_a_variant_by_any_name(cross: Cross, folder: Path) -> None:
    """The number stands with the name that the Variant carries; one Variant has one number in a column."""
    folder.joinpath("p.csv").write_text("variant,value,source\nA,1.5,x\nB,2.5,x\n")
    text = "variants: {mine: {levels: {a: high}}}\nprofiles: {p: {published: [{label: T, where: {source: x}}]}}\n"
    [column] = cross(f"{text}published: {{file: p.csv, rows: {{a=high: A}}}}\n", profile="p").published
    assert column.values == {"mine": 1.5}
    with pytest.raises(ValueError, match="'mine' has a number in the column 'T' already, by another of its names"):
        cross(f"{text}published: {{file: p.csv, rows: {{a=high: A, mine: B}}}}\n", profile="p")


def test_tuning_may_call_a_variant_by_any_name(cross: Cross) -> None:
    """A study's or a profile's `analysis` names it, and results find it by the name that it carries."""
    text = "variants: {mine: {levels: {a: high}}}\nanalysis: {tuned: {a=high: 7, baseline: true}}\n"
    assert cross(text).analysis.tuned == {"mine": 7, "baseline": True}
    own = cross(f"{text}profiles: {{p: {{analysis: {{margin: 0.5, alpha: 0.1}}}}}}\n", profile="p").analysis
    assert (own.margin, own.alpha, own.tuned) == (0.5, 0.1, {})


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    sets=st.lists(
        st.lists(st.sets(st.sampled_from(FIELDS), min_size=1), min_size=1, max_size=2), min_size=1, max_size=4
    )
)
def test_two_variants_are_one_if_and_only_if_they_set_the_same(cross: Cross, sets: list[list[set[str]]]) -> None:
    """Of a factorial whose Levels each switch on a set of fields, found without resolving any but what is chosen."""
    factors = "".join(
        f"  f{i}: {{reference: none, levels: {{{', '.join(f'l{j}: {{{_on(on)}}}' for j, on in enumerate(levels))}}}}}\n"
        for i, levels in enumerate(sets)
    )
    head = "study: s\nquestion: q\ntrainable: crossed:train\nmetric: {name: m, direction: maximize}\nseeds: 1\n"
    base = f"{head}base: {{{', '.join(f'{field}: 0' for field in FIELDS)}}}\nfactors:\n{factors}design: factorial\n"
    study = cross(base=base)

    def switched(name: str) -> frozenset[str]:
        chosen = [part.split("=l") for part in name.split(",") if part != "baseline"]
        return frozenset().union(*(sets[int(factor[1:])][int(level)] for factor, level in chosen))

    together = {frozenset(map(switched, (v.name, *v.also))) for v in study.variants}
    assert all(len(alike) == 1 for alike in together)
    assert len(together) == len(study.variants)
    for variant in study.variants[1:3]:
        alone = cross(base=base, only=[variant.name])
        assert named(alone)[variant.name] == variant.also


def _on(fields: set[str]) -> str:
    return ", ".join(f"{field}: 1" for field in sorted(fields))
