from __future__ import annotations

import itertools
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ablate.reporting.statistics import StudentTests
from ablate.reporting.statistics.shapley import ShapleyShares, share

VALUES = st.floats(-100, 100, width=32)


def games(factors: int) -> st.SearchStrategy[np.ndarray]:
    return arrays(np.float64, (3, *(2,) * factors), elements=VALUES)


def test_a_share_is_the_mean_over_all_orders() -> None:
    """Equal to the definition: what a Factor adds, averaged over every order of changing three of them."""
    table = np.random.default_rng(0).normal(0, 1, (2, 2, 2, 2))
    for player in range(3):
        added = []
        for order in itertools.permutations(range(3)):
            before = [1 if order.index(f) < order.index(player) else 0 for f in range(3)]
            after = [1 if f == player else place for f, place in enumerate(before)]
            added.append(table[(slice(None), *after)] - table[(slice(None), *before)])
        np.testing.assert_allclose(share(table, player), np.mean(added, axis=0), atol=1e-12)


@settings(deadline=None)
@given(table=st.integers(1, 5).flatmap(games))
def test_shares_add_up(table: np.ndarray) -> None:
    """Efficiency: the shares of all Factors sum to everything changed less the baseline, by seed and in the mean."""
    k = table.ndim - 1
    whole = table.reshape(3, -1)[:, -1] - table.reshape(3, -1)[:, 0]
    np.testing.assert_allclose(sum(share(table, f) for f in range(k)), whole, atol=1e-9)
    shares = ShapleyShares()
    assert shares(table)["estimate"].sum() == pytest.approx(shares.total(table)["estimate"].item(), abs=1e-9)


@settings(deadline=None)
@given(table=games(3))
def test_equal_factors_have_equal_shares(table: np.ndarray) -> None:
    """Symmetry: where two Factors can be swapped, their shares are equal."""
    both = table + np.swapaxes(table, 1, 2)
    np.testing.assert_allclose(share(both, 0), share(both, 1), atol=1e-9)


@settings(deadline=None)
@given(table=games(2), own=VALUES)
def test_a_factor_that_only_adds_has_what_it_adds(table: np.ndarray, own: float) -> None:
    """Dummy: a Factor that changes the metric by the same amount everywhere has that share."""
    wider = np.stack([table, table + own], axis=-1)
    np.testing.assert_allclose(share(wider, 2), own, atol=1e-9)
    np.testing.assert_allclose(share(wider, 0), share(table, 0), atol=1e-9)


@settings(deadline=None)
@given(first=games(3), second=games(3), times=st.floats(-3, 3))
def test_shares_are_linear(first: np.ndarray, second: np.ndarray, times: float) -> None:
    """Additivity: the share of a sum is the sum of the shares."""
    whole = share(first + times * second, 1)
    np.testing.assert_allclose(whole, share(first, 1) + times * share(second, 1), atol=1e-7)


@settings(deadline=None)
@given(table=arrays(np.float64, (2, 3, 2, 4), elements=VALUES))
def test_shares_of_several_levels_add_up_in_the_mean(table: np.ndarray) -> None:
    """Each Factor's mean share over its Levels, summed, is the mean of everything changed less the baseline."""
    found = ShapleyShares()(table)
    assert len(found) == 2 + 1 + 3
    whole = table[:, 1:, 1:, 1:].mean() - table[:, 0, 0, 0].mean()
    assert found.groupby("factor")["estimate"].mean().sum() == pytest.approx(whole, abs=1e-9)


def test_a_seed_without_every_result_is_left_out() -> None:
    """One missing combination takes its seed out of all shares, and the count says so."""
    table = np.random.default_rng(1).normal(0, 1, (3, 2, 2))
    full = ShapleyShares()(table[1:])
    table[0, 1, 0] = np.nan
    found = ShapleyShares()(table)
    assert set(found["pairs"]) == {2}
    np.testing.assert_allclose(found["estimate"], full["estimate"], atol=1e-12)
    assert ShapleyShares().total(table)["pairs"].item() == 2


def test_the_interval_is_a_t_interval_over_seeds() -> None:
    """Of a game with one Factor it is that of the paired difference, as scipy has it."""
    stats = pytest.importorskip("scipy.stats")
    table = np.random.default_rng(2).normal(0, 1, (5, 2))
    found = ShapleyShares(partial(StudentTests, level=0.9))(table).iloc[0]
    theirs = stats.ttest_1samp(table[:, 1] - table[:, 0], 0).confidence_interval(0.9)
    assert (found["low"], found["high"]) == pytest.approx((theirs.low, theirs.high), rel=1e-9)


def test_twelve_factors_are_exact() -> None:
    """4,096 combinations still add up."""
    table = np.random.default_rng(3).normal(0, 1, (2, *(2,) * 12))
    shares = ShapleyShares()
    assert shares(table)["estimate"].sum() == pytest.approx(shares.total(table)["estimate"].item(), abs=1e-9)


def test_shares_of_several_levels_add_up_where_a_trial_has_failed() -> None:
    """A share of one Level does not take the others of its Factor, but all are of the same seeds as the total."""
    table = np.random.default_rng(2).normal(0, 1, (4, 3, 2))
    table[1, 2, 0] = np.nan
    shares = ShapleyShares()
    found, total = shares(table), shares.total(table)
    assert set(found["pairs"]) == {3} == set(total["pairs"])
    assert found.groupby("factor")["estimate"].mean().sum() == pytest.approx(
        np.delete(table, 1, axis=0)[:, 1:, 1].mean() - np.delete(table, 1, axis=0)[:, 0, 0].mean(), abs=1e-9
    )
