from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats
from statsmodels.stats.power import TTestPower

from ablate.reporting.statistics.power import (
    Power,
    fewest_pairs,
    noncentral_t,
    power_of_same,
    spread_of_pairs,
    spread_without_pairs,
)


@pytest.mark.parametrize("pairs", [2, 3, 5, 20])
@pytest.mark.parametrize("difference", [0.1, 0.8, 1.2])
def test_power_is_statsmodels(pairs: int, difference: float) -> None:
    """Of two-sided paired tests at 5 % and at 5 % of ten, to 1e-6."""
    for comparisons in (1, 10):
        theirs = TTestPower().power(difference, pairs, 0.05 / comparisons)
        assert Power(1.0, comparisons).of(difference, pairs) == pytest.approx(theirs, abs=1e-6)


def test_the_curve_is_what_simulation_finds() -> None:
    """The share of significant tests among 20,000 lies within 4 standard errors of each point of the curve."""
    curve = Power(spread=0.5, comparisons=3).curve([3, 5, 10], [0.0, 0.4, 1.0, 2.0])
    assert list(curve.columns) == ["pairs", "difference", "power"]
    draws = np.random.default_rng(0)
    for row in curve.itertuples():
        p = stats.ttest_1samp(draws.normal(row.difference, 0.5, (20_000, row.pairs)), 0, axis=1).pvalue
        error = math.sqrt(max(row.power * (1 - row.power), 1e-4) / 20_000)
        assert (p < 0.05 / 3).mean() == pytest.approx(row.power, abs=4 * error)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 60), st.integers(1, 200), st.floats(0.01, 100))
def test_the_smallest_difference_needs_just_these_pairs(pairs: int, comparisons: int, spread: float) -> None:
    """Smallest difference and number of pairs are each other's inverse, whatever the spread."""
    power = Power(spread, comparisons)
    smallest = power.smallest_difference(pairs)
    assert power.of(smallest, pairs) == pytest.approx(0.8, abs=1e-6)
    assert power.pairs(smallest * (1 + 1e-6)) == pairs


def test_one_pair_sees_nothing() -> None:
    """Without a spread of its own, a single pair has no power; a difference of nothing is never seen."""
    assert math.isnan(Power(1.0).smallest_difference(1))
    assert Power(1.0).of(100.0, 1) == 0.0
    assert math.isnan(Power(1.0).pairs(0.0))


@pytest.mark.parametrize(("pairs", "difference"), [(5, 0.0), (10, 0.0), (10, 0.3), (4, 0.5)])
def test_the_power_to_show_no_difference_is_what_simulation_finds(pairs: int, difference: float) -> None:
    """Of 40,000 samples as many pass both one-sided tests as stated, within 4 standard errors, or up to 1 % more."""
    values = np.random.default_rng(1).normal(difference, 0.5, (40_000, pairs))
    error, mean = values.std(axis=1, ddof=1) / np.sqrt(pairs), values.mean(axis=1)
    passed = (np.abs(mean) + stats.t.isf(0.05, pairs - 1) * error < 1.0).mean()
    stated = float(power_of_same(difference, 0.5, pairs, 1.0, 0.05))
    allowed = 4 * math.sqrt(passed * (1 - passed) / 40_000)
    assert passed - 0.01 - allowed <= stated <= passed + allowed


def test_as_many_pairs_as_stated_settle_a_difference() -> None:
    """One pair fewer has less power than 80 %; with a margin the easier way to a verdict counts."""
    by_test, either = fewest_pairs([0.5], [1.0], 0.05), fewest_pairs([0.5], [1.0], 0.05, 1.5)
    assert Power(1.0).of(0.5, by_test[0]) >= 0.8 > Power(1.0).of(0.5, by_test[0] - 1)
    assert either[0] < by_test[0]
    assert power_of_same(0.5, 1.0, either[0], 1.5, 0.05) >= 0.8 > power_of_same(0.5, 1.0, either[0] - 1, 1.5, 0.05)
    assert Power(1.0).pairs_for_same(1.5, 0.5) == either[0]


def test_more_than_a_thousand_pairs_is_nobody_knows() -> None:
    """NaN for a difference that only thousands could show, and for nothing without a margin."""
    assert np.isnan(fewest_pairs([0.001, 0.0], [1.0, 1.0], 0.05)).all()


def test_far_tails_are_zero_or_one() -> None:
    """Where scipy says NaN the answer is 0 or 1, as an integral over the sample's deviation finds (1e-9)."""
    nodes, weights = np.polynomial.legendre.leggauss(400)
    freedoms, noncentralities, ts = [4, 30, 499, 2000], np.geomspace(0.01, 40, 60), [-20.0, -3.0, 3.0, 50.0]
    grid = [(freedom, noncentrality, t) for freedom in freedoms for noncentrality in noncentralities for t in ts]
    missing = [point for point in grid if np.isnan(special.nctdtr(*point))]
    assert missing, "scipy has learnt it: noncentral_t needs no exception any more"
    for freedom, noncentrality, t in missing:
        deviation = np.sqrt(stats.chi2.ppf((nodes + 1) / 2, freedom) / freedom)
        expected = (stats.norm.cdf(t * deviation - noncentrality) * weights / 2).sum()
        assert noncentral_t(t, freedom, noncentrality) == pytest.approx(expected, abs=1e-9)


def test_the_typical_spread_is_not_that_of_the_one_bad_variant() -> None:
    """Eleven Variants of spread 0.3 and one of 30 give about 0.3 (15 %); one pair says nothing."""
    draws = np.random.default_rng(4)
    spreads = [float(np.std(draws.normal(0, s, 9), ddof=1)) for s in [0.3] * 11 + [30.0]]
    assert spread_of_pairs([*spreads, math.nan], [9] * 12 + [1]) == pytest.approx(0.3, rel=0.15)
    assert math.isnan(spread_of_pairs([math.nan], [1]))


def test_the_typical_spread_is_right_in_the_middle() -> None:
    """Half of 4,000 estimates from three pairs are below the truth and half above (47 to 53 %)."""
    values = np.random.default_rng(5).normal(0, 2.0, (4000, 3))
    below = np.mean([spread_of_pairs([s], [3]) < 2.0 for s in values.std(axis=1, ddof=1)])
    assert 0.47 <= below <= 0.53


def test_without_pairs_no_luck_is_taken_for_shared() -> None:
    """The difference of two independent values has sqrt(2) times their deviation."""
    assert spread_without_pairs(0.3) == pytest.approx(0.3 * math.sqrt(2))


def test_what_one_difference_needs_does_not_depend_on_the_others() -> None:
    """Many at once give what each gives alone, and always more than there are."""
    generator = np.random.default_rng(8)
    difference, spread = generator.uniform(0, 12, 60), generator.uniform(0.2, 3, 60)
    above = generator.integers(2, 9, 60)
    together = fewest_pairs(difference, spread, 0.05 / 7, 1.0, above=above)
    alone = [
        float(fewest_pairs([d], [s], 0.05 / 7, 1.0, above=[n])[0])
        for d, s, n in zip(difference, spread, above, strict=True)
    ]
    np.testing.assert_array_equal(together, alone)
    assert (together[np.isfinite(together)] > above[np.isfinite(together)]).all()
