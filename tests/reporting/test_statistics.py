from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from ablate.reporting.statistics import HELPS, HURTS, UNSURE, MeanInterval, PairedDifference, first_step, holm

NAN = float("nan")


def frame(**values: list[float]) -> pd.DataFrame:
    """One row per Variant and seed, seeds counted from 0."""
    rows = [(name, seed, value) for name, row in values.items() for seed, value in enumerate(row)]
    return pd.DataFrame(rows, columns=["variant", "seed", "metric"])


def compare(direction: str = "maximize", **values: list[float]) -> pd.DataFrame:
    return PairedDifference("baseline", direction)(frame(**values))  # type: ignore[arg-type]


def test_the_mean_interval_is_scipys_t_interval() -> None:
    """Mean and ends agree with scipy's own interval to 1e-12, relative."""
    values = [91.2, 92.9, 90.4, 93.3, 91.0]
    row = MeanInterval()(frame(a=values)).loc["a"]
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert (row["mean"], row["low"], row["high"]) == pytest.approx((np.mean(values), low, high), rel=1e-12)


def test_two_seeds_have_the_closed_form_interval() -> None:
    """With n = 2 the half-width is tan(0.475 pi) |a - b| / 2, the t distribution then being Cauchy's (1e-12)."""
    row = MeanInterval()(frame(a=[1.0, 3.0])).loc["a"]
    assert row["half"] == pytest.approx(np.tan(0.475 * np.pi) * 2.0 / 2, rel=1e-12)


def test_a_failed_seed_lowers_n_and_nothing_else() -> None:
    """A NaN counts as planned; mean and interval are those of the seeds that are there."""
    with_failure = MeanInterval()(frame(a=[1.0, NAN, 2.0, 4.0])).loc["a"]
    without = MeanInterval()(frame(a=[1.0, 2.0, 4.0])).loc["a"]
    assert (with_failure["planned"], with_failure["n"]) == (4, 3)
    assert with_failure[["mean", "low", "high"]].equals(without[["mean", "low", "high"]].rename("a"))


@pytest.mark.parametrize("values", [[5.0], [5.0, NAN], [5.0, 5.0, 5.0], [0.1 + 0.2, 0.3, 0.3], [NAN, NAN]])
def test_there_is_no_interval_without_spread(values: list[float]) -> None:
    """One seed, or seeds that agree up to rounding, give no interval rather than one of width zero."""
    assert MeanInterval()(frame(a=values)).loc["a", ["low", "high", "half"]].isna().all()


def test_groups_keep_their_order() -> None:
    """Rows come in the order in which groups appear, not sorted."""
    assert list(MeanInterval()(frame(z=[1.0], a=[1.0], m=[1.0])).index) == ["z", "a", "m"]


@pytest.mark.parametrize(("n", "effect"), [(3, 0.0), (5, 0.0), (3, 40.0)])
def test_the_intervals_cover_the_truth_as_often_as_they_say(n: int, effect: float) -> None:
    """Of 4,000 intervals from normal draws, 93 to 97 % hold the truth (nominal 95 %): mean and difference."""
    draws = np.random.default_rng(n).normal(effect, 2.0, (4000, n))
    data = frame(**{str(i): list(row) for i, row in enumerate(draws)})
    table = MeanInterval()(data)
    assert 0.93 <= ((table["low"] <= effect) & (effect <= table["high"])).mean() <= 0.97
    # Against a baseline of zeros the differences are the draws themselves.
    paired = PairedDifference("baseline", "maximize")(pd.concat([frame(baseline=[0.0] * n), data]))
    assert 0.93 <= ((paired["difference_low"] <= effect) & (effect <= paired["difference_high"])).mean() <= 0.97


def test_studies_without_any_effect_rarely_get_a_verdict() -> None:
    """Of 300 null studies of 10 Variants x 3 seeds at most 5 % + 3 s.e. (8.8 %) contain a false verdict."""
    draws = np.random.default_rng(11)
    wrong = 0
    for _ in range(300):
        luck = draws.normal(0, 1, 3)
        values = {name: list(luck + draws.normal(0, 1, 3)) for name in ["baseline", *map(str, range(10))]}
        wrong += bool((compare(**values)["verdict"] != UNSURE).any())
    assert wrong / 300 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)


def test_a_clear_effect_gets_its_verdict() -> None:
    """A difference of 20 spreads among ten comparisons of five seeds is found, each time of 50."""
    draws = np.random.default_rng(12)
    for _ in range(50):
        values = {name: list(draws.normal(0, 1, 5)) for name in ["baseline", *map(str, range(9))]}
        values["good"] = [v + 40 + e for v, e in zip(values["baseline"], draws.normal(0, 1, 5), strict=True)]
        assert compare(**values).loc["good", "verdict"] == HELPS


def test_the_difference_is_scipys_paired_test() -> None:
    """Mean, interval and p agree with `ttest_rel` to 1e-10, relative."""
    a, b = [1.0, 2.0, 4.0, 3.5], [1.4, 2.9, 4.1, 4.6]
    row = compare(baseline=a, b=b).loc["b"]
    expected = stats.ttest_rel(b, a)
    interval = expected.confidence_interval(0.95)
    assert row["p"] == pytest.approx(expected.pvalue, rel=1e-10)
    assert (row["difference_low"], row["difference_high"]) == pytest.approx(tuple(interval), rel=1e-10)


def test_pairs_are_made_by_seed_and_not_by_position() -> None:
    """Rows in another order, and a seed missing on one side, leave only differences within a seed."""
    data = frame(baseline=[1.0, 10.0, 100.0], b=[2.0, NAN, 103.0]).iloc[::-1]
    row = PairedDifference("baseline", "maximize")(data).loc["b"]
    assert (row["pairs"], row["difference"]) == (2, 2.0)


def test_two_rows_of_one_seed_are_refused() -> None:
    """A pair that is not unique is an error, never an average."""
    data = pd.concat([frame(baseline=[1.0], b=[2.0]), frame(b=[3.0])])
    with pytest.raises(ValueError, match="duplicate"):
        PairedDifference("baseline", "maximize")(data)


@pytest.mark.parametrize(("direction", "verdict"), [("maximize", HURTS), ("minimize", HELPS)])
def test_the_verdict_follows_the_direction(direction: str, verdict: str) -> None:
    """A value reliably below the baseline hurts where more is better, and helps where less is."""
    assert compare(direction, baseline=[5.0, 6.0, 7.0], b=[1.0, 2.001, 3.002]).loc["b", "verdict"] == verdict


def test_the_verdict_uses_the_adjusted_p() -> None:
    """A p of about 0.04 is a verdict alone, and none among three comparisons."""
    baseline, b = [0.0, 0.0, 0.0], [1.0, 1.5, 0.75]
    alone = compare(baseline=baseline, b=b)
    among = compare(baseline=baseline, b=b, c=[1.0, -1.0, 0.1], d=[2.0, -2.0, 0.1])
    assert alone.loc["b", "p"] < 0.05
    assert (alone.loc["b", "verdict"], among.loc["b", "verdict"]) == (HELPS, UNSURE)


@pytest.mark.parametrize(
    ("baseline", "b", "reason"),
    [
        ([1.0, 2.0], [9.0, NAN], "one pair of seeds"),
        ([1.0, NAN], [NAN, 9.0], "no pair of seeds"),
        ([NAN, NAN], [9.0, 9.1], "the baseline has no result"),
        ([1.0, 2.0, 3.0], [2.1, 3.1, 4.1], "all pairs differ by the same amount: no spread to judge by"),
    ],
)
def test_no_spread_no_verdict(baseline: list[float], b: list[float], reason: str) -> None:
    """Where there is nothing to judge by, there is neither interval nor p, and the reason is given."""
    row = compare(baseline=baseline, b=b).loc["b"]
    assert row[["difference_low", "difference_high", "p", "p_holm"]].isna().all()
    assert (row["verdict"], row["reason"]) == (UNSURE, reason)


def test_identical_results_have_p_one() -> None:
    """A Variant that changes nothing at all is certainly not significant."""
    row = compare(baseline=[1.0, 2.0], b=[1.0, 2.0]).loc["b"]
    assert (row["difference"], row["p"], row["verdict"]) == (0.0, 1.0, UNSURE)


def test_only_the_baseline_gives_an_empty_table() -> None:
    """A study of one Variant has no comparisons, and that is no error."""
    assert compare(baseline=[1.0, 2.0]).empty


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_agrees_with_statsmodels(p: list[float]) -> None:
    """To 1e-12 for any p values."""
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1], abs=1e-12)


def test_a_comparison_without_a_test_stays_in_the_family() -> None:
    """NaN counts like p = 1, so that failing Variants never make the others significant."""
    assert holm([0.01, NAN, 0.02]) == pytest.approx([0.03, NAN, 0.04], nan_ok=True)


@pytest.mark.parametrize(("comparisons", "pairs"), [(1, 2), (1, 10), (13, 3), (14, 3), (5, 8)])
def test_the_first_step_parts_verdicts_from_none(comparisons: int, pairs: int) -> None:
    """A mean difference just above the stated number of standard deviations passes Holm's first step, one below not."""
    needed = first_step(comparisons, pairs) / np.sqrt(pairs)
    noise = np.random.default_rng(0).normal(size=pairs)
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    for factor, passes in ((1.001, True), (0.999, False)):
        p = stats.ttest_1samp(noise + factor * needed, 0).pvalue
        assert (holm([p, *[1.0] * (comparisons - 1)])[0] < 0.05) == passes


def test_one_pair_has_no_first_step() -> None:
    """Without a spread there is no t."""
    assert np.isnan(first_step(3, 1))
