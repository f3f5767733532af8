from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ablate.power import StudyPower, finished_results, study_power
from ablate.reporting.statistics.looks import Looks
from ablate.reporting.statistics.power import Power
from ablate.study.study import Analysis, Metric, Sequential, Study, Trial, Variant
from ablate.tracking.record import Record


def make_study(names: Sequence[str], seeds: Sequence[int] = (0, 1, 2), **fields: Any) -> Study:
    """A study of these Variants in per cent."""
    variants = tuple(Variant(name, {}, {"name": name}, {}) for name in names)
    trials = tuple(Trial(f"{v.name}-{seed}", v.name, seed, v.recipe) for seed in seeds for v in variants)
    texts = dict.fromkeys(("question", "source", "expected", "data_fingerprint"), "")
    metric = Metric("top1", "maximize", "%")
    return Study(
        "s", "p", Path("s.yaml"), trainable="my:train", metric=metric, factors={}, variants=variants,
        seeds=tuple(seeds), trials=trials, **texts, **fields,
    )  # fmt: skip


def make_records(study: Study, values: Mapping[str, Sequence[float]]) -> dict[str, Record]:
    """Finished Trials with these values, one per seed; NaN makes a failed one."""
    records = {}
    for name, row in values.items():
        for seed, value in zip(study.seeds, row, strict=False):
            failed = math.isnan(value)
            records[f"{name}-{seed}"] = Record(
                trial_id=f"{name}-{seed}", seed=seed, trainable="my:train", recipe={}, started=0.0,
                status="failed" if failed else "finished", metrics={} if failed else {"top1": value},
            )  # fmt: skip
    return records


VALUES = {"baseline": [90.0, 91.0, 92.0], "a": [90.4, 91.0, 92.2], "b": [89.0, 91.0]}


def test_power_comes_from_the_pairs_that_have_finished() -> None:
    """The spread is the typical one of the Variants' paired differences, and the text says on how many it rests."""
    study = make_study(("baseline", "a", "b", "c"))
    found = study_power(study, make_records(study, VALUES))
    assert found
    # Of a: 0.4, 0, 0.2 with three pairs; of b: -1, 0 with two. Each s² over the median of chi² / degrees of freedom.
    expected = math.sqrt((0.04 / (math.log(4) / 2) + 0.5 / 0.45494) / 2)
    assert found.spread == pytest.approx(expected, rel=1e-4)
    assert found.smallest == Power(found.spread, 3).smallest_difference(3)
    assert found.lines()[0] == (
        f"3 seeds can see differences of {found.smallest:.2g} points among 3 comparisons "
        "(80 % power; spread from 5 finished pairs)"
    )


def test_more_seeds_than_the_study_has_are_told_of() -> None:
    """With three seeds what five and ten would see; with seven only what ten would."""
    for seeds, more in ((3, (5, 10)), (7, (10,)), (10, ())):
        study = make_study(("baseline", "a"), seeds=range(seeds))
        found = study_power(study, make_records(study, VALUES))
        assert found
        power = Power(found.spread)
        assert found.more == tuple((n, power.smallest_difference(n)) for n in more)
        told = "; ".join(f"{n} would see {power.smallest_difference(n):.2g} points" for n in more)
        assert found.lines()[1:] == ([told] if more else [])


def test_a_cached_baseline_is_enough() -> None:
    """Before any Variant has finished, sqrt(2) times the deviation of the baseline's seeds stands in."""
    study = make_study(("baseline", "a"))
    found = study_power(study, make_records(study, {"baseline": [90.0, 91.0, 92.0]}))
    assert found
    assert found.spread == pytest.approx(math.sqrt(2))
    assert "3 seeds of the baseline alone, taking no luck for shared" in found.lines()[0]


@pytest.mark.parametrize(
    "values",
    [{}, {"baseline": [90.0]}, {"a": [90.0, 91.0, 92.0]}, {"baseline": [90.0] * 3}],
)
def test_without_a_spread_nothing_is_said(values: dict[str, list[float]]) -> None:
    """Nothing finished, one seed, no baseline, or seeds that agree exactly."""
    study = make_study(("baseline", "a"))
    assert study_power(study, make_records(study, values)) is None


def test_one_seed_has_no_power() -> None:
    """Nor has a study without anything to compare."""
    study = make_study(("baseline", "a"), seeds=(0,))
    assert study_power(study, make_records(study, VALUES)) is None
    study = make_study(("baseline",))
    assert study_power(study, make_records(study, {"baseline": VALUES["baseline"]})) is None


def test_a_margin_asks_how_many_seeds_show_no_difference() -> None:
    """A second line says how many seeds an equivalence within the margin takes."""
    study = make_study(("baseline", "a", "b"), analysis=Analysis(margin=1.5))
    found = study_power(study, make_records(study, VALUES))
    assert found
    assert found.seeds_for_same == Power(found.spread, 2).pairs_for_same(1.5)
    assert found.lines()[-1] == (
        f"{found.seeds_for_same:.0f} seeds can show that a Variant without effect is within ±1.5 points"
    )


def test_a_study_that_adds_seeds_is_told_of_the_most() -> None:
    """With up to eight seeds the smallest difference is that of eight, at the level that looking six times leaves."""
    study = make_study(("baseline", "a", "b"))
    records = make_records(study, VALUES)
    grown = study_power(replace(study, sequential=Sequential(3, 8)), records)
    assert grown
    level = Looks(3, 8).nominal(0.025)
    assert level < 0.025
    assert grown.smallest == pytest.approx(Power(grown.spread, 1, level).smallest_difference(8))
    assert grown.lines()[0].startswith("up to 8 seeds can see")


def test_only_finished_results_count() -> None:
    """A failed Trial and one without the metric are none."""
    study = make_study(("baseline", "a"))
    records = make_records(study, {"baseline": [90.0, float("nan"), 92.0], "a": [91.0]})
    records["a-0"] = replace(records["a-0"], metrics={})
    assert finished_results(study, records) == {"baseline": {0: 90.0, 2: 92.0}}


def test_the_metrics_own_unit_is_told() -> None:
    """Points for %, otherwise the metric's unit; a family of one is not mentioned."""
    told = StudyPower(3, 1, 0.1, 0.523, "spread from 4 finished pairs", "ms")
    assert told.lines() == ["3 seeds can see differences of 0.52 ms (80 % power; spread from 4 finished pairs)"]


def test_a_plan_without_results_loads_nothing_heavy() -> None:
    """Neither numpy nor pandas nor scipy is imported to say that nothing is known."""
    code = (
        "import sys, ablate.power\n"
        "heavy = {'numpy', 'pandas', 'scipy', 'torch', 'mlflow'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_margin_far_below_the_spread_takes_more_than_a_thousand() -> None:
    """Then no number is named, in the text or for programs."""
    study = make_study(("baseline", "a", "b"), analysis=Analysis(margin=0.001))
    found = study_power(study, make_records(study, VALUES))
    assert found
    assert found.seeds_for_same is None
    assert found.lines()[-1] == "more than 1,000 seeds can show that a Variant without effect is within ±0.001 points"
