"""Blocks say which Variants each design is made of, so that its results can be read together."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ablate.study.study import Study

Cross = Callable[..., Study]


def names(study: Study) -> list[str]:
    return [variant.name for variant in study.variants]


def test_a_union_has_a_block_for_each_design(cross: Cross) -> None:
    """In the study's order; a Variant may be in several, and is trained once."""
    study = cross("design: [{one_at_a_time: {factors: [a, c]}}, {factorial: {factors: [b, c]}}]\n")
    single, crossed = study.blocks
    assert single.design == "one_at_a_time"
    assert single.variants == ("baseline", "a=high", "c=middle", "c=high")
    assert single.levels == {"a": ("low", "high"), "c": ("low", "middle", "high")}
    assert crossed.design == "factorial"
    assert crossed.factors == ("b", "c")
    assert len(crossed.variants) == 6
    assert {*single.variants, *crossed.variants} == set(names(study))
    assert len(set(names(study))) == len(names(study)) == 7


def test_pairs_are_the_base_all_single_and_all_pairwise_changes(cross: Cross) -> None:
    """Of different Factors, and of no others."""
    [block] = cross("design: {pairs: {factors: [a, c]}}\n").blocks
    assert block.design == "pairs"
    assert block.variants == ("baseline", "a=high", "c=middle", "c=high", "a=high,c=middle", "a=high,c=high")


def test_a_fractional_design_tells_its_aliases(cross: Cross) -> None:
    """Resolution III of three Factors: each main effect is mixed up with the interaction of the others."""
    [block] = cross("design: {fractional: {resolution: 3, factors: [a, b, c], levels: {c: high}}}\n").blocks
    assert block.variants == ("baseline", "b=high,c=high", "a=high,c=high", "a=high,b=high")
    assert block.levels["c"] == ("low", "high")
    assert block.resolution == 3
    assert block.aliases == {
        "a": ("b:c",),
        "b": ("a:c",),
        "c": ("a:b",),
        "a:b": ("c",),
        "a:c": ("b",),
        "b:c": ("a",),
    }


def test_listed_variants_are_a_block_of_their_own(cross: Cross) -> None:
    """At the end where the study does not ask for `listed`, else in its place."""
    listed = "variants: {mine: {levels: {a: high, c: high}}}\n"
    assert [b.design for b in cross(listed).blocks] == ["one_at_a_time", "listed"]
    first, _ = cross(f"design: [listed, one_at_a_time]\n{listed}").blocks
    assert (first.design, first.variants, first.factors) == ("listed", ("baseline", "mine"), ("a", "c"))


def test_zipped_factors_are_varied_as_one(cross: Cross) -> None:
    """By the place of their Levels; the first stands for all, and the block says for which."""
    study = cross("design: factorial\nzip: [[a, d], [b]]\n".replace(", [b]", ""))
    [block] = study.blocks
    assert len(study.variants) == 2 * 2 * 3
    assert all(v.levels["a"] == v.levels["d"] for v in study.variants)
    assert "a=high,b=high,d=high" in names(study)
    assert (block.factors, block.zipped) == (("a", "b", "c"), {"a": ("d",)})


@pytest.mark.parametrize("design", ["one_at_a_time", "factorial", "pairs"])
def test_constraints_hold_in_every_design(cross: Cross, design: str) -> None:
    """No excluded combination, no Level without what it requires; the block tells how many are missing."""
    rules = "exclude: [{a: high, c: [middle, high]}]\nonly_if: [{levels: {d: high}, requires: {b: high}}]\n"
    whole, study = cross(f"design: {design}\n"), cross(f"design: {design}\n{rules}")
    for variant in study.variants:
        assert variant.levels["a"] == "low" or variant.levels["c"] == "low"
        assert variant.levels["d"] == "low" or variant.levels["b"] == "high"
    [block] = study.blocks
    assert block.excluded == len(whole.variants) - len(study.variants) > 0


def test_a_level_that_needs_another_is_checked_in_its_company(cross: Cross, folder: object) -> None:
    """It need not be valid, nor change anything, without what `only_if` requires."""
    text = "design: factorial\nonly_if: [{levels: {d: high}, requires: {c: high}}]\n"
    study = cross(text)
    assert "c=high,d=high" in names(study)
    assert "d=high" not in names(study)


def test_an_excluded_contradiction_is_none(cross: Cross) -> None:
    """Levels that set a field to different values may both be there if they are never together."""
    text = "  f: {reference: low, levels: {high: {a: 2}}}\ndesign: factorial\n"
    assert len(cross(f"{text}exclude: [{{a: high, f: high}}]\n").variants) == 36
    with pytest.raises(ValueError, match="'a=high,f=high' contradicts itself: a=high sets 'a' and f=high sets 'a'"):
        cross(text)


def test_a_level_that_is_gone_at_a_profile_excludes_nothing_there(cross: Cross) -> None:
    """Constraints are the study's, and hold at every profile for the Levels that it has."""
    text = "exclude: [{c: high, a: high}]\nprofiles: {few: {factors: {c: {levels: {high: null}}}, design: factorial}}\n"
    assert len(cross(text, profile="few").variants) == 16


def test_a_profile_has_a_design_of_its_own(cross: Cross) -> None:
    """In place of the study's."""
    text = "design: factorial\nprofiles: {few: {design: {one_at_a_time: {factors: [a]}}}}\n"
    assert names(cross(text, profile="few")) == ["baseline", "a=high"]
    assert len(cross(text).variants) == 24


def test_a_part_of_a_design_is_a_list(cross: Cross) -> None:
    """What `--only` leaves of a factorial is not read as one; whole designs are, whatever else is chosen."""
    text = "design: [{factorial: {factors: [a, b]}}, {one_at_a_time: {factors: [d]}}]\n"
    study = cross(text, only=["a=high*", "d=high"])
    assert [(b.design, b.variants) for b in study.blocks] == [
        ("listed", ("baseline", "a=high", "a=high,b=high")),
        ("one_at_a_time", ("baseline", "d=high")),
    ]
