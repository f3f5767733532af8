from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

from ablate.reporting.statistics import HedgesG
from ablate.reporting.statistics.effect_size import small_sample


def test_the_correction_is_hedges_table() -> None:
    """J of 2, 4, 10 and 50 degrees of freedom: 0.5642, 0.7979, 0.9228 and 0.9849 (Hedges 1981, Table 1; 1e-4)."""
    assert small_sample([2, 4, 10, 50]) == pytest.approx([0.5642, 0.7979, 0.9228, 0.9849], abs=1e-4)


def test_g_is_unbiased() -> None:
    """The mean of 200,000 estimates from four normal differences is the true 0.8, within 4 standard errors."""
    values = np.random.default_rng(0).normal(0.8, 1.0, (200_000, 4))
    g = small_sample(3) * values.mean(axis=1) / values.std(axis=1, ddof=1)
    assert g.mean() == pytest.approx(0.8, abs=4 * g.std() / np.sqrt(len(g)))
    found, _, _ = HedgesG()(values.mean(axis=1)[:5], values.std(axis=1, ddof=1)[:5], np.full(5, 4))
    assert found == pytest.approx(g[:5], rel=1e-12)


@pytest.mark.parametrize(("mean", "n"), [(0.1, 3), (1.0, 3), (-2.0, 5), (0.0, 10), (5.0, 8)])
def test_the_interval_inverts_the_noncentral_t(mean: float, n: int) -> None:
    """At either end the observed t has a chance of 2.5 % to be passed, by an integral that is made here (1e-6)."""
    _, low, high = HedgesG()(np.array([mean]), np.array([1.0]), np.array([n]))
    for end, expected in ((low[0], 0.975), (high[0], 0.025)):
        # P(T <= t) = E over the chi distribution of the sample's deviation s of Phi(t s - nc).
        def inside(s: float, nc: float = end * np.sqrt(n)) -> float:
            return stats.norm.cdf(mean * np.sqrt(n) * s - nc) * stats.chi.pdf(s, n - 1, scale=1 / np.sqrt(n - 1))

        assert integrate.quad(inside, 0, 10, limit=200)[0] == pytest.approx(expected, abs=1e-6)


def test_the_interval_excludes_zero_where_the_t_test_does() -> None:
    """Of 300 samples with and without an effect, in each case."""
    values = np.random.default_rng(1).normal(1.0, 1.0, (300, 5))
    _, low, high = HedgesG()(values.mean(axis=1), values.std(axis=1, ddof=1), np.full(300, 5))
    significant = stats.ttest_1samp(values, 0, axis=1).pvalue < 0.05
    assert 50 < significant.sum() < 250
    assert np.array_equal((low > 0) | (high < 0), significant)


def test_the_interval_covers_the_true_ratio() -> None:
    """Of 4,000 samples of three differences, 94 to 96 % of intervals hold the true 1.2 (exact for normal ones)."""
    values = np.random.default_rng(2).normal(1.2, 1.0, (4000, 3))
    _, low, high = HedgesG()(values.mean(axis=1), values.std(axis=1, ddof=1), np.full(4000, 3))
    assert 0.94 <= ((low <= 1.2) & (high >= 1.2)).mean() <= 0.96


@pytest.mark.parametrize(("std", "n"), [(1.0, 2), (0.0, 5), (np.nan, 1)])
def test_too_few_pairs_or_no_spread_have_no_effect_size(std: float, n: int) -> None:
    """NaN for two pairs, whose unbiased ratio does not exist, and without a spread."""
    assert np.isnan(HedgesG()(np.array([1.0]), np.array([std]), np.array([n]))).all()
