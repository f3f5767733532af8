from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ablate.reporting import judging
from ablate.reporting.frame import trial_frame
from ablate.reporting.statistics import HELPS, HURTS, SAME, UNSURE, PairedDifference
from ablate.study.study import Analysis, PublishedColumn, Sequential, Study

NAN = float("nan")
USUAL = Analysis()
#: Luck of five seeds, and small noise of a Variant's own.
LUCK, NOISE = np.array([0.0, 0.8, -0.5, 0.3, -0.9]), np.array([0.02, -0.03, 0.01, 0.04, -0.02])


def judged(
    fake: SimpleNamespace, values: dict[str, list[float]], analysis: Analysis = USUAL, **fields: object
) -> pd.DataFrame:
    seeds = range(len(values["baseline"]))
    study: Study = fake.study(tuple(values), tuple(seeds), analysis=analysis, **fields)
    return judging.differences(study, trial_frame(study, fake.records(study, values)))


def series(*effects: float, n: int = 5) -> list[list[float]]:
    """Values of a Variant for each effect, noise turned about so that no two are alike."""
    return [list(90 + LUCK[:n] + e + np.roll(NOISE, i)[:n]) for i, e in enumerate(effects)]


def values(*effects: float, n: int = 5) -> dict[str, list[float]]:
    return {"baseline": list(90 + LUCK[:n]), **dict(zip("abcdefgh", series(*effects, n=n), strict=False))}


def test_all_columns_are_there(fake: SimpleNamespace) -> None:
    """Those of `PairedDifference`, `NUMBERS` and `TEXTS`, a row per Variant in the study's order."""
    found = judged(fake, values(1.0, -1.0))
    plain = PairedDifference("baseline", "maximize")
    expected = plain(pd.DataFrame({"variant": ["baseline", "a"], "seed": 0, "metric": 1.0})).columns
    assert list(found.columns) == [*expected, *judging.NUMBERS, *judging.TEXTS]
    assert list(found.index) == ["a", "b"]


def test_without_a_margin_nothing_is_the_same(fake: SimpleNamespace) -> None:
    """A tiny difference stays open, whatever its interval; no equivalence test is made."""
    found = judged(fake, values(2.0, -2.0, 0.0))
    assert list(found["verdict"]) == [HELPS, HURTS, UNSURE]
    assert found["p_same"].isna().all()


def test_with_a_margin_small_differences_are_the_same(fake: SimpleNamespace) -> None:
    """Beyond it helps and hurts; within it no difference, also where the difference is certain, and that is said."""
    found = judged(fake, values(2.0, -2.0, 0.0, 0.3), Analysis(margin=0.5))
    assert list(found["verdict"]) == [HELPS, HURTS, SAME, SAME]
    assert list(found["reason"]) == ["", "", "", "differs from zero, but by less than ±0.5"]
    assert found.loc["d", "p_holm"] < 0.05


def test_alpha_is_the_studys(fake: SimpleNamespace) -> None:
    """At a smaller alpha intervals are wider, and what was a verdict is open."""
    data = {"baseline": [90.0, 91.0, 92.0], "a": [90.9, 92.1, 92.8]}
    strict, usual = judged(fake, data, Analysis(alpha=0.001)), judged(fake, data)
    assert (usual.loc["a", "verdict"], strict.loc["a", "verdict"]) == (HELPS, UNSURE)
    assert strict.loc["a", "difference_half"] > usual.loc["a", "difference_half"]


def test_an_open_verdict_says_how_many_seeds_would_settle_it(fake: SimpleNamespace) -> None:
    """A number only where the verdict is open and there is a spread; a smaller difference needs more."""
    data = {
        "baseline": [90.0, 90.5, 91.0],
        "clear": [95.0, 95.51, 96.02],
        "near": [90.9, 90.8, 92.2],
        "far": [90.5, 90.1, 91.8],
        "equal": [90.0, 90.5, 91.0],
    }
    needed = judged(fake, data)["seeds_needed"]
    assert np.isnan(needed["clear"])
    assert np.isnan(needed["equal"])
    assert 1 <= needed["near"] < needed["far"]


def test_controls_and_failures_are_in_the_family(fake: SimpleNamespace) -> None:
    """A Variant without a result costs the others as much as one with."""
    data = {"baseline": [90.0, 91.0, 92.0], "a": [90.9, 92.1, 92.8]}
    alone, beside = judged(fake, data), judged(fake, {**data, "b": [NAN] * 3})
    assert beside.loc["a", "p_holm"] == pytest.approx(2 * alone.loc["a", "p_holm"])
    assert (beside.loc["b", "verdict"], beside.loc["b", "reason"]) == (UNSURE, "no pair of seeds")


def test_a_crash_is_told_with_what_it_could_change(fake: SimpleNamespace) -> None:
    """A verdict that hangs on the failed seed says so; an open one stays so; without a failure there is no text."""
    data = {
        "baseline": [90.0, 91.0, 89.0, 90.5],
        "a": [91.0, 92.2, 90.1, NAN],
        "b": [86.0, 96.0, 93.0, NAN],
        "c": [95.0, 96.1, 94.0, 95.5],
    }
    found = judged(fake, data)
    assert list(found["verdict"]) == [HELPS, UNSURE, HELPS]
    assert list(found["sensitivity"]) == [
        "not enough evidence if the failed seed was as bad as the worst seen or as bad as the study's worst",
        "stays not enough evidence",
        "",
    ]


def test_a_crash_may_matter_only_at_the_studys_worst(fake: SimpleNamespace) -> None:
    """With a difference of many spreads the worst value seen of the Variant itself changes nothing."""
    data = {"baseline": [90.0, 90.1, 90.2, 90.1], "a": [95.0, 95.2, 95.1, NAN]}
    text = "not enough evidence if the failed seed was as bad as the study's worst"
    assert judged(fake, data).loc["a", "sensitivity"] == text


def test_a_crash_of_the_baseline_concerns_all(fake: SimpleNamespace) -> None:
    """Its missing seed is filled, too, so that every Variant's pair is back."""
    data = {"baseline": [90.0, 91.0, 89.0, NAN], "a": [95.0, 96.1, 94.0, 96.0], "b": [90.1, 91.3, 88.5, 91.0]}
    assert list(judged(fake, data)["sensitivity"]) == ["stays helps", "stays not enough evidence"]


def test_trials_that_are_not_done_are_no_crashes(fake: SimpleNamespace) -> None:
    """Half-way through a study nothing is said of sensitivity."""
    study = fake.study(("baseline", "a"), (0, 1, 2))
    records = fake.records(study, {"baseline": [90.0, 91.0, 92.0], "a": [95.0, 96.1]})
    assert judging.differences(study, trial_frame(study, records)).loc["a", "sensitivity"] == ""


def images(p: dict[str, float], low: float = -1.0, high: float = 3.0, pairs: int | None = None) -> pd.DataFrame:
    """What `image_intervals` would say: the same interval for each Variant, and these p values, on so many pairs of
    seeds (all of them for None).
    """
    rows = {name: [low, high, low, high, value, pairs] for name, value in p.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=[*judging.IMAGES, "pairs"])


def over_images(
    fake: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    data: dict[str, list[float]],
    found: pd.DataFrame,
    analysis: Analysis,
    **fields: object,
) -> pd.DataFrame:
    found = found.fillna({"pairs": len(data["baseline"])})
    monkeypatch.setattr(judging.by_image, "image_intervals", lambda study, examples: found)
    monkeypatch.setattr(judging, "still_needed", lambda *_: {})
    study = fake.study(tuple(data), tuple(range(len(data["baseline"]))), analysis=analysis, **fields)
    trials = trial_frame(study, fake.records(study, data))
    return judging.differences(study, trials, SimpleNamespace(outcome=data))  # type: ignore[arg-type]


def test_verdicts_over_images_rest_on_both(fake: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A difference that is certain over seeds is open where other images could undo it, if the study asks for both."""
    data = values(2.0, 2.0)
    both = Analysis(over="seeds_and_images")
    found = over_images(fake, monkeypatch, data, images({"a": 0.3, "b": 0.001}), both)
    assert list(found["verdict"]) == [UNSURE, HELPS]
    assert found["p_holm"].tolist() == pytest.approx([0.3, 0.002])
    assert found["p"].max() < 0.001
    assert found["seeds_needed"].isna().all()
    by_seeds = over_images(fake, monkeypatch, data, images({"a": 0.3, "b": 0.001}), Analysis())
    assert list(by_seeds["verdict"]) == [HELPS, HELPS]
    assert by_seeds["both_p"].tolist() == [0.3, 0.001]


def test_a_variant_without_images_has_no_verdict_over_them(
    fake: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its p over seeds does not stand in for the one that is asked for, and the reason is given."""
    analysis = Analysis(over="seeds_and_images")
    found = over_images(fake, monkeypatch, values(2.0, 2.0), images({"b": 0.001}), analysis)
    assert found.loc["a", ["verdict", "reason"]].tolist() == [UNSURE, "no outcomes by image"]


def test_images_of_some_seeds_only_judge_nothing(fake: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interval that rests on fewer pairs than the difference beside it is not shown, and gives no verdict."""
    analysis = Analysis(over="seeds_and_images")
    found = over_images(fake, monkeypatch, values(2.0), images({"a": 0.001}, pairs=2), analysis)
    n = found.loc["a", "pairs"]
    assert found.loc["a", ["verdict", "reason"]].tolist() == [UNSURE, f"outcomes by image for 2 of {n} pairs"]
    assert found.loc["a", list(judging.IMAGES)].isna().all()


def test_images_that_do_not_tell_the_metric_leave_the_verdict_to_the_seeds(fake: SimpleNamespace) -> None:
    """Files without an array of the metric are as good as none: judged over seeds, and every row says so."""
    study = fake.study(("baseline", "a"), tuple(range(5)), analysis=Analysis(over="seeds_and_images"))
    data = {name: row[:5] for name, row in values(2.0).items()}
    trials = trial_frame(study, fake.records(study, data))
    found = judging.differences(study, trials, SimpleNamespace(outcome={}))  # type: ignore[arg-type]
    assert found.loc["a", ["verdict", "reason"]].tolist() == [HELPS, "judged over seeds alone: no outcomes by image"]


def test_without_any_images_it_is_said_that_seeds_alone_judge(fake: SimpleNamespace) -> None:
    """A study that asks for both and has no outcomes here is judged over seeds, and every row says so."""
    found = judged(fake, values(2.0), Analysis(over="seeds_and_images"))
    assert found.loc["a", ["verdict", "reason"]].tolist() == [HELPS, "judged over seeds alone: no outcomes by image"]


def test_a_margin_over_images_needs_the_wider_interval_within_it(
    fake: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No difference over seeds alone; with images only where their interval lies within the margin as well."""
    analysis = Analysis(margin=0.5, over="seeds_and_images")
    wide = over_images(fake, monkeypatch, values(0.0), images({"a": 0.9}, -0.7, 0.7), analysis)
    narrow = over_images(fake, monkeypatch, values(0.0), images({"a": 0.9}, -0.2, 0.2), analysis)
    assert (wide.loc["a", "verdict"], narrow.loc["a", "verdict"]) == (UNSURE, SAME)


def test_one_seed_never_helps(fake: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a single seed the images' interval is there, and the reason says what it speaks of."""
    found = over_images(fake, monkeypatch, values(5.0, n=1), images({"a": NAN}, 4.0, 6.0), Analysis())
    assert found.loc["a", "verdict"] == UNSURE
    assert found.loc["a", "reason"] == (
        "one pair of seeds: no verdict over seeds; the interval over images speaks of these trainings only"
    )


def test_a_study_that_adds_seeds_is_judged_by_a_test_that_allows_it(fake: SimpleNamespace) -> None:
    """The same results have a larger p and a wider interval where their number was not fixed beforehand."""
    data = {"baseline": [90.0, 91.0, 92.0, 90.5], "a": [90.9, 92.1, 92.8, 91.6]}
    fixed, sequential = judged(fake, data), judged(fake, data, sequential=Sequential(3, 6))
    assert sequential.loc["a", "p"] > fixed.loc["a", "p"]
    assert sequential.loc["a", "difference_half"] > fixed.loc["a", "difference_half"]
    early = judged(fake, {name: row[:2] for name, row in data.items()}, sequential=Sequential(3, 6))
    assert early.loc["a", ["verdict", "reason"]].tolist() == [UNSURE, "2 pairs of seeds: the first look is at 3"]


def test_a_verdict_of_an_earlier_look_has_the_direction_of_that_look(fake: SimpleNamespace) -> None:
    """Three seeds were far above the baseline, three later ones as far below: what the early look found is told as
    found then, with a word on where the mean is now.
    """
    early = [90.99, 91.01, 91.0]
    data = {"baseline": [90.0] * 6, "a": [*early, 80.0, 79.0, 81.0]}
    found = judged(fake, data, sequential=Sequential(3, 6))
    assert found.loc["a", "difference"] < 0
    assert found.loc["a", "verdict"] == HELPS
    assert found.loc["a", "reason"].startswith("by an earlier look")


def test_a_study_of_the_baseline_alone_has_no_rows(fake: SimpleNamespace) -> None:
    """And all columns."""
    found = judged(fake, {"baseline": [90.0, 91.0]}, Analysis(margin=1.0))
    assert found.empty
    assert {"verdict", *judging.NUMBERS, *judging.TEXTS} <= set(found.columns)


def test_published_numbers_are_judged_column_by_column(fake: SimpleNamespace) -> None:
    """Each column has its own verdicts, empty where it has no number."""
    columns = (PublishedColumn("one", {"baseline": 90.0, "a": 95.0}, "T1"), PublishedColumn("two", {"a": 92.0}, "T2"))
    study = fake.study(("baseline", "a"), (0, 1, 2), published=columns, analysis=Analysis(margin=0.5))
    data = {"baseline": [90.05, 90.1, 90.15], "a": [92.05, 92.1, 92.15]}
    trials = trial_frame(study, fake.records(study, data))
    numbers = pd.DataFrame({"one": [90.0, 95.0], "two": [NAN, 92.0]}, index=["baseline", "a"])
    found = judging.against_published(study, trials, numbers)
    half = 0.05 / np.sqrt(3) * stats.t.isf(0.025, 2)
    assert list(found["stands.one"]) == ["agrees", "worse"]
    assert list(found["stands.two"]) == ["", "agrees"]
    assert found["minus_low.one"].tolist() == pytest.approx([0.1 - half, -2.9 - half])
    assert list(judging.against_published(study, trials, numbers[[]]).columns) == []


def test_a_study_that_adds_seeds_says_means_with_intervals_that_allow_it(fake: SimpleNamespace) -> None:
    """Means and what stands beside published numbers have the interval of the repeated looks, wider than Student's;
    mean, deviation and n are the plain ones.
    """
    data = {"baseline": [90.0, 91.0, 92.0, 90.5], "a": [90.9, 92.1, 92.8, 91.6]}
    fixed, grown = (fake.study(("baseline", "a"), range(4), sequential=limits) for limits in (None, Sequential(3, 6)))
    trials = trial_frame(fixed, fake.records(fixed, data))
    plain, wider = judging.means(fixed, trials), judging.means(grown, trials)
    assert (wider["half"] > 1.3 * plain["half"]).all()
    pd.testing.assert_frame_equal(plain[["planned", "n", "mean", "std"]], wider[["planned", "n", "mean", "std"]])
    numbers = pd.DataFrame({"one": [90.0, 90.0]}, index=["baseline", "a"])
    beside = judging.against_published(grown, trials, numbers)
    np.testing.assert_allclose(beside["minus_low.one"], wider["low"] - 90.0)
    np.testing.assert_allclose(beside["minus_high.one"], wider["high"] - 90.0)
