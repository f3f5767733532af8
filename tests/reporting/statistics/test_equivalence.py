from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.weightstats import ttost_paired

from ablate.reporting.statistics import Pairs, StudentTests
from ablate.reporting.statistics.equivalence import p_within, p_within_interval


def pairs_of(values: np.ndarray) -> Pairs:
    """Pairs whose differences are the rows of `values` (V, S)."""
    rows = [("baseline", seed, 0.0) for seed in range(values.shape[1])]
    rows += [(f"v{i}", seed, x) for i, row in enumerate(values) for seed, x in enumerate(row)]
    return Pairs.of(pd.DataFrame(rows, columns=["variant", "seed", "metric"]), "baseline")


@pytest.mark.parametrize("n", [2, 3, 8])
def test_the_two_one_sided_tests_are_statsmodels(n: int) -> None:
    """P agrees with `ttost_paired` to 1e-9, inside the margin, beyond it and lopsided."""
    values = np.random.default_rng(n).normal([[0.0], [0.4], [-0.4], [3.0], [-3.0]], 0.3, (5, n))
    found = p_within(StudentTests(pairs_of(values)), 0.7)
    for row, p in zip(values, found, strict=True):
        assert p == pytest.approx(ttost_paired(row, np.zeros(n), -0.7, 0.7)[0], abs=1e-9)


def test_equivalence_is_the_shorter_interval_within_the_margin() -> None:
    """P is below 5 % exactly where the 90 % interval lies inside the margin."""
    pairs = pairs_of(np.random.default_rng(3).normal(0, 0.5, (500, 4)))
    shorter = StudentTests(pairs, level=0.9)
    inside = (shorter.low > -0.6) & (shorter.high < 0.6)
    assert 50 < inside.sum() < 450
    assert np.array_equal(p_within(shorter, 0.6) < 0.05, inside)


@pytest.mark.parametrize("difference", [0.5, -0.5])
def test_a_difference_at_the_margin_is_rarely_called_the_same(difference: float) -> None:
    """Of 20,000 Variants whose true difference is the margin, at most 5 % + 3 s.e. (5.5 %) pass."""
    for n in (3, 5):
        pairs = pairs_of(np.random.default_rng(n).normal(difference, 0.1, (20_000, n)))
        error = (p_within(StudentTests(pairs), 0.5) < 0.05).mean()
        assert 0.04 < error <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 20_000)


@pytest.mark.parametrize("n", [2, 3, 10])
def test_an_intervals_p_is_never_below_the_tests_own(n: int) -> None:
    """Of a t interval the p that is read off it is at least Student's, and the same where a side ends at the margin."""
    pairs = pairs_of(np.random.default_rng(n).normal(0, 0.5, (300, n)))
    tests = StudentTests(pairs)
    p = p_within_interval(pairs.mean, tests.low, tests.high, pairs.n, 0.6)
    assert (p >= p_within(tests, 0.6) - 1e-12).all()
    end = np.maximum(-tests.low, tests.high)[:1]
    at_the_end = p_within_interval(pairs.mean[:1], tests.low[:1], tests.high[:1], pairs.n[:1], float(end[0]))
    assert at_the_end == pytest.approx(0.025, abs=1e-12)


def test_without_an_interval_there_is_no_p() -> None:
    """NaN stays NaN, and so does a test without a spread."""
    nothing = np.array([np.nan])
    assert np.isnan(p_within_interval(np.array([0.1]), nothing, nothing, np.array([3]), 0.5)).all()
    assert np.isnan(p_within(StudentTests(pairs_of(np.array([[0.1, 0.1], [0.1, np.nan]]))), 0.5)).all()
