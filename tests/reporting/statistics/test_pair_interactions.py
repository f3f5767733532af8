from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from ablate.reporting.statistics import StudentTests, holm
from ablate.reporting.statistics.by_seed import over_seeds
from ablate.reporting.statistics.pair_interactions import PairInteractions

VALUES = st.floats(-100, 100, width=32)


def test_an_interaction_is_a_t_test_of_the_contrast() -> None:
    """Mean, interval and p equal scipy's one-sample test of together - first - second + baseline; Holm over pairs."""
    rng = np.random.default_rng(0)
    base, (first, second, both) = rng.normal(0, 1, 6), rng.normal(0, 1, (3, 6, 4))
    found = PairInteractions(partial(StudentTests, level=0.9))(base, first, second, both)
    contrast = both - first - second + base[:, None]
    theirs = stats.ttest_1samp(contrast, 0)
    ends = theirs.confidence_interval(0.9)
    np.testing.assert_allclose(found["interaction"], contrast.mean(axis=0))
    np.testing.assert_allclose(found["p"], theirs.pvalue)
    np.testing.assert_allclose(found["low"], ends.low)
    np.testing.assert_allclose(found["p_holm"], holm(theirs.pvalue))


@settings(deadline=None)
@given(
    base=arrays(np.float64, 4, elements=VALUES),
    others=arrays(np.float64, (3, 4, 2), elements=VALUES),
    lost=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 1)), max_size=5),
)
def test_columns_add_up(base: np.ndarray, others: np.ndarray, lost: list[tuple[int, int, int]]) -> None:
    """Together less both alone is the interaction, whichever Trials failed: all are over the same seeds."""
    for place in lost:
        others[place] = np.nan
    found = PairInteractions()(base, *others)
    known = found["pairs"] > 0
    sums = found["together"] - found["alone_first"] - found["alone_second"]
    np.testing.assert_allclose(sums[known], found["interaction"][known], atol=1e-8)
    assert found["interaction"][~known].isna().all()


def test_effects_that_add_up_do_not_interact() -> None:
    """Exactly additive results have p = 1, and no interval that would claim certainty."""
    base = np.array([90.0, 91.0, 92.5])
    found = PairInteractions()(base, base[:, None] + 1, base[:, None] - 2, base[:, None] - 1).iloc[0]
    assert found["interaction"] == pytest.approx(0.0, abs=1e-12)
    assert found["p"] == 1.0
    assert np.isnan(found["low"])


def test_the_family_holds_though_pairs_share_trials() -> None:
    """Over 10,000 null studies of four changes, whose six pairs share Trials, at most 5 % (+ 2 s.e.) err."""
    rng, studies = np.random.default_rng(4), 10_000
    a, b = np.triu_indices(4, 1)
    base, alone, both = (rng.normal(0, 1, (5, studies, k)) for k in (1, 4, 6))
    contrasts = both - alone[..., a] - alone[..., b] + base
    p = over_seeds(contrasts.reshape(5, -1), 5.0, StudentTests)["p"].to_numpy().reshape(studies, 6)
    wrong = (6 * p.min(axis=1) < 0.05).mean()  # Holm's first step
    assert wrong <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / studies)
