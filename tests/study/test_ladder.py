"""Ladders go up by one step at a time, from the baseline or back to it, in the order given or the one that is found."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ablate.study.study import Block, Growth, Study

STEPS = ["a=high", "b=high", "c=middle", "c=high", "d=high"]
ORDERS = st.permutations(STEPS).filter(lambda steps: steps.index("c=middle") < steps.index("c=high"))
Cross = Callable[..., Study]
LOADING = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def ladder(study: Study) -> Block:
    return next(block for block in study.blocks if block.design == "ladder")


def levels(study: Study) -> list[dict[str, str]]:
    """Of each rung, from the foot upwards."""
    of = {variant.name: dict(variant.levels) for variant in study.variants}
    return [of[name] for name in ladder(study).variants]


def test_a_forward_ladder_adds_one_step_at_a_time(cross: Cross) -> None:
    """Its foot is the baseline; every rung has all steps so far."""
    study = cross("design: {ladder: {steps: [b=high, [a=high, c=middle], c=high]}}\n")
    assert [variant.name for variant in study.variants] == [
        "baseline",
        "b=high",
        "a=high,b=high,c=middle",
        "a=high,b=high,c=high",
    ]
    block = ladder(study)
    assert block.variants == tuple(variant.name for variant in study.variants)
    assert block.steps == ("b=high", "a=high,c=middle", "c=high")
    assert block.factors == ("a", "b", "c")
    assert block.levels["c"] == ("low", "middle", "high")


def test_a_backward_ladder_takes_back_one_step_at_a_time(cross: Cross) -> None:
    """Its foot has every step made, its top is the baseline, which stays the study's first Variant."""
    study = cross("design: {ladder: {direction: backward, steps: [b=high, a=high, d=high]}}\n")
    assert study.variants[0].is_baseline
    assert ladder(study).variants == ("a=high,b=high,d=high", "a=high,d=high", "d=high", "baseline")
    assert ladder(study).steps == ("b=high", "a=high", "d=high")
    assert ladder(study).backward


def test_a_step_may_lead_zipped_factors_back(cross: Cross) -> None:
    """One of them named at its reference stands for all, whatever earlier steps made of them."""
    study = cross("zip: [[a, b]]\ndesign: {ladder: {steps: [[a=high, b=high], d=high, a=low]}}\n")
    assert ladder(study).variants == ("baseline", "a=high,b=high", "a=high,b=high,d=high", "d=high")


def test_without_steps_each_factor_is_one(cross: Cross) -> None:
    """In the order of the Factors, or of those that it names."""
    study = cross("design: {ladder: {factors: [d, a]}}\n")
    assert ladder(study).variants == ("baseline", "d=high", "a=high,d=high")


@LOADING
@given(steps=ORDERS, backward=st.booleans())
def test_a_ladder_is_a_chain(cross: Cross, steps: list[str], backward: bool) -> None:
    """Neighbouring rungs differ in the Factor of the step between them, and in no other."""
    # Backwards the Factor of two steps goes back by the first of them alone if the other was taken back before.
    given = [s for s in steps if s != "c=middle"] if backward else steps
    study = cross(
        f"design: {{ladder: {{steps: [{', '.join(given)}], direction: {'back' if backward else 'for'}ward}}}}\n"
    )
    rungs = levels(study)
    assert len(rungs) == 1 + len(given)
    for step, below, here in zip(given, rungs, rungs[1:], strict=False):
        assert {f for f in here if here[f] != below[f]} == {step.partition("=")[0]}
    assert set(rungs[-1 if backward else 0].values()) == {"low"}
    assert set(rungs[0 if backward else -1].values()) == {"high"}


GREEDY = "design: [one_at_a_time, {{ladder: {{order: greedy, direction: {}, steps: [a=high, b=high, d=high]}}}}]\n"


def test_a_greedy_ladder_begins_with_all_candidates_for_its_first_rung(cross: Cross) -> None:
    """No rung but the foot is known; each step is a candidate, named by the Variant that it would make."""
    block = ladder(cross(GREEDY.format("forward")))
    assert block.greedy
    assert (block.variants, block.steps) == (("baseline",), ())
    assert block.candidates == {"a=high": "a=high", "b=high": "b=high", "d=high": "d=high"}
    assert block.tried == ("a=high", "b=high", "d=high")


@LOADING
@given(chosen=st.permutations(["a=high", "b=high", "d=high"]), backward=st.booleans())
def test_a_greedy_ladder_grows_by_what_is_chosen(cross: Cross, chosen: list[str], backward: bool) -> None:
    """Rung by rung it is the ladder that had been given in that order; all candidates so far stay in the study."""
    direction = "backward" if backward else "forward"
    fixed = ladder(cross(f"design: {{ladder: {{direction: {direction}, steps: [{', '.join(chosen)}]}}}}\n"))
    study = cross(GREEDY.format(direction))
    for count in range(4):
        assert study.regrow is not None
        before = {variant.name for variant in study.variants}
        study = study.regrow(Growth(rungs={1: tuple(chosen[:count])}))
        block = ladder(study)
        assert block.variants == fixed.variants[: 1 + count]
        assert block.steps == tuple(chosen[:count])
        assert set(block.candidates) == set(chosen[count:])
        assert before <= {variant.name for variant in study.variants}
        assert {*block.tried, *block.variants} <= {variant.name for variant in study.variants}
    assert len(block.tried) == 3 + 2 + 1


def test_candidates_keep_the_constraints(cross: Cross) -> None:
    """A step that would lead to a combination that is not trained is no candidate there."""
    text = GREEDY.format("forward") + "exclude: [{a: high, b: high}]\n"
    grown = cross(text, growth=Growth(rungs={1: ("a=high",)}))
    assert ladder(cross(text)).candidates.keys() == {"a=high", "b=high", "d=high"}
    assert ladder(grown).candidates == {"d=high": "a=high,d=high"}


def test_a_step_that_the_ladder_cannot_take_is_refused(cross: Cross) -> None:
    """What has grown must belong to this study."""
    with pytest.raises(ValueError, match="'c=high' is no step that this ladder could take now: a=high, b=high, d=high"):
        cross(GREEDY.format("forward"), growth=Growth(rungs={1: ("c=high",)}))


def test_a_part_of_a_greedy_ladder_does_not_grow(cross: Cross) -> None:
    """What `--only` leaves of it is a list: choosing among some of the candidates would be another ladder."""
    part = cross(GREEDY.format("forward"), only=["a=high"])
    assert part.regrow is None
    assert [block.design for block in part.blocks] == ["listed", "listed"]
    assert cross("design: one_at_a_time\n").regrow is None
