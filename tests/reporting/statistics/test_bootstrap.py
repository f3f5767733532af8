from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ablate.reporting.statistics.bootstrap import FEWEST, BootstrapMean

NAN = float("nan")


@pytest.mark.parametrize("n", [6, 7])
def test_counting_all_resamples_is_what_scipy_draws(n: int) -> None:
    """Without the expansion, ends agree with scipy's BCa of 100,000 resamples to 5 % of the interval's width."""
    values = np.random.default_rng(n).gamma(2, size=n)
    low, high = BootstrapMean(expanded=False)(values[None])
    theirs = stats.bootstrap((values,), np.mean, n_resamples=99_999, method="BCa", rng=1).confidence_interval
    tolerance = 0.05 * (theirs.high - theirs.low)
    assert (low[0], high[0]) == pytest.approx((theirs.low, theirs.high), abs=tolerance)


def test_drawing_resamples_is_what_scipy_draws() -> None:
    """From eight values on ends agree with scipy's to 8 % of the width: 5,000 resamples know a tail so well."""
    values = np.random.default_rng(5).gamma(2, size=(4, 12))
    for row, low, high in zip(values, *BootstrapMean(expanded=False)(values), strict=True):
        theirs = stats.bootstrap((row,), np.mean, n_resamples=99_999, method="BCa", rng=1).confidence_interval
        assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.08 * (theirs.high - theirs.low))


def test_the_same_data_have_the_same_interval_among_any_others() -> None:
    """Nothing depends on chance, on the other rows, or on where the gaps are."""
    draws = np.random.default_rng(0)
    for n in (6, 9):
        rows = draws.normal(size=(5, n))
        together = BootstrapMean()(rows)
        alone = BootstrapMean()(np.insert(rows[2:3], 1, NAN, axis=1))
        assert (together[0][2], together[1][2]) == (alone[0][0], alone[1][0])


def test_few_values_and_equal_ones_have_no_interval() -> None:
    """NaN below `FEWEST` values, and where all are equal."""
    few = np.random.default_rng(0).normal(size=(1, FEWEST - 1))
    for values in (few, np.full((1, 8), 0.3), np.full((1, 8), NAN)):
        low, high = BootstrapMean()(values)
        assert np.isnan([low[0], high[0]]).all()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-50, 50), min_size=6, max_size=7), st.floats(0.1, 10), st.floats(-5, 5))
def test_the_interval_moves_with_units_and_lies_within_the_data(row: list[int], scale: float, shift: float) -> None:
    """Another unit changes the ends as it changes the values (1e-9), and no end lies beyond the data."""
    values = np.array([row], dtype=float)
    low, high = BootstrapMean()(values)
    if len(set(row)) == 1:
        assert np.isnan(low[0])
        return
    assert min(row) - 1e-9 <= low[0] <= high[0] <= max(row) + 1e-9
    moved = BootstrapMean()(values * scale + shift)
    assert np.array(moved).ravel() == pytest.approx(np.array([low[0], high[0]]) * scale + shift, abs=1e-7)


def test_a_long_tail_pulls_the_interval_to_its_side() -> None:
    """Of values with a tail to the right, the upper end is further from the mean than the lower one."""
    values = np.array([[0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 5.0]])
    low, high = BootstrapMean()(values)
    assert high[0] - values.mean() > 1.5 * (values.mean() - low[0])
