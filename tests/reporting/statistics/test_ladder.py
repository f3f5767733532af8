from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from ablate.reporting.statistics import StudentTests, holm
from ablate.reporting.statistics.ladder import Ladder

NAN = float("nan")


def test_gains_are_paired_t_tests() -> None:
    """Each gain, interval and p equal scipy's for the two rungs; p is Holm's over the gains alone."""
    values = np.random.default_rng(0).normal(90, 1, (5, 4))
    rungs = Ladder(partial(StudentTests, level=0.9))(values)
    for k in range(1, 4):
        theirs = stats.ttest_rel(values[:, k], values[:, k - 1])
        ends = theirs.confidence_interval(0.9)
        found = rungs.iloc[k]
        assert found["p"] == pytest.approx(theirs.pvalue, rel=1e-9)
        assert (found["gain_low"], found["gain_high"]) == pytest.approx((ends.low, ends.high), rel=1e-9)
    np.testing.assert_allclose(rungs["p_holm"].iloc[1:], holm(rungs["p"].iloc[1:]))
    assert np.isnan(rungs["gain"].iloc[0])


@settings(deadline=None)
@given(values=arrays(np.float64, (3, 5), elements=st.floats(-100, 100, width=32)))
def test_gains_add_up_to_the_total(values: np.ndarray) -> None:
    """With every result there, the gains sum to the top less the foot."""
    ladder = Ladder()
    assert ladder(values)["gain"].sum() == pytest.approx(ladder.total(values)["estimate"].item(), abs=1e-9)


def test_a_rung_without_results_leaves_its_gains_open() -> None:
    """Both gains that need it are missing, count in the family, and the total still stands."""
    values = np.random.default_rng(1).normal(90, 0.1, (4, 4)) + np.array([0, 1, 2, 3])
    values[:, 2] = NAN
    ladder = Ladder()
    rungs = ladder(values)
    assert list(rungs["pairs"]) == [0, 4, 0, 0]
    assert rungs["p_holm"].iloc[1] == pytest.approx(min(1.0, 3 * rungs["p"].iloc[1]))
    assert np.isfinite(ladder.total(values)["p"].item())


def test_a_failed_seed_leaves_the_pair() -> None:
    """A gain is over the seeds that both rungs have, a mean over those that the rung has."""
    rungs = Ladder()(np.array([[1.0, 2.0], [2.0, 4.0], [NAN, 9.0]]))
    assert rungs["gain"].iloc[1] == pytest.approx(1.5)
    assert rungs["mean"].iloc[1] == pytest.approx(5.0)
    assert (rungs["n"].iloc[1], rungs["pairs"].iloc[1]) == (3, 2)


@pytest.mark.parametrize(("step", "p"), [(0.0, 1.0), (0.5, NAN)])
def test_equal_gains_have_no_interval(step: float, p: float) -> None:
    """Where all seeds agree exactly there is no spread to judge by; only no gain at all has p = 1."""
    rungs = Ladder()(np.array([[90.0, 90.0 + step], [91.0, 91.0 + step]]))
    assert np.isnan(rungs["gain_low"].iloc[1])
    assert rungs["p"].iloc[1] == pytest.approx(p, nan_ok=True)


@pytest.mark.parametrize("seeds", [1, 0])
def test_too_few_seeds_have_no_interval(seeds: int) -> None:
    """One seed gives gains without an interval; none gives nothing, and no warning."""
    rungs = Ladder()(np.arange(3.0)[None].repeat(seeds, axis=0))
    assert rungs["gain_low"].isna().all()
    assert rungs["gain"].notna().sum() == 2 * seeds
