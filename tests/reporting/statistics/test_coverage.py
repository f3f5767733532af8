"""How often intervals hold the truth, and verdicts are wrong, where the truth is known: quick; at length in
tests/benchmarks/coverage.py."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ablate.reporting.statistics import BootstrapMean, Pairs, StudentTests, holm
from ablate.reporting.statistics.equivalence import p_within

#: Ways to draw the metric's noise, of mean 0 and deviation about 1.
NOISE = {
    "normal": lambda draws, size: draws.normal(size=size),
    "exponential": lambda draws, size: draws.exponential(size=size) - 1,
    "left-skewed": lambda draws, size: 2 - draws.gamma(4, 0.5, size=size),
}


def pairs_of(values: np.ndarray) -> Pairs:
    """From values (V + 1, S), the first row of which is the baseline."""
    rows = {"variant": np.repeat(np.arange(len(values)), values.shape[1]), "metric": values.ravel()}
    return Pairs.of(pd.DataFrame({**rows, "seed": np.tile(np.arange(values.shape[1]), len(values))}), baseline=0)  # type: ignore[arg-type]


def differences_of(draws: np.random.Generator, noise: str, count: int, n: int, effect: float) -> Pairs:
    """``count`` independent comparisons: each Variant with a baseline of its own, both with the same noise."""
    both = NOISE[noise](draws, (2, count, n))
    values = effect + both[0] - both[1]
    return pairs_of(np.vstack([np.zeros(n), values]))


@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize("noise", NOISE)
def test_t_intervals_of_differences_hold_the_truth(noise: str, n: int) -> None:
    """Of 6,000 differences of values with the same noise, normal or skewed, 93 to 97 % of 95 % intervals do."""
    tests = StudentTests(differences_of(np.random.default_rng(n), noise, 6000, n, 0.7))
    assert 0.93 <= ((tests.low <= 0.7) & (tests.high >= 0.7)).mean() <= 0.97


@pytest.mark.parametrize(("n", "least"), [(6, 0.92), (10, 0.93)])
def test_bca_intervals_hold_the_truth_as_often_as_is_stated(n: int, least: float) -> None:
    """Of 3,000 normal differences: about 93 % with six pairs and 94 % with ten, 1 % for chance."""
    values = np.random.default_rng(n).normal(0.7, 1, (3000, n))
    low, high = BootstrapMean()(values)
    assert least <= ((low <= 0.7) & (high >= 0.7)).mean() <= 0.97


def test_t_intervals_of_lopsided_differences_hold_the_truth_less_often() -> None:
    """A limit that is told: only the Variant is exponential, and 87 to 93 % of 95 % intervals hold the truth."""
    for n in (3, 10):
        values = np.random.default_rng(n).exponential(size=(6000, n)) - 1
        tests = StudentTests(pairs_of(np.vstack([np.zeros(n), values])))
        assert 0.87 <= ((tests.low <= 0) & (tests.high >= 0)).mean() <= 0.93


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("n", [3, 5])
def test_null_studies_rarely_have_a_wrong_verdict(noise: str, n: int) -> None:
    """Of 1,500 studies of 8 Variants without effect that share one baseline, at most 5 % + 3 s.e. (6.7 %)."""
    draws, wrong = np.random.default_rng(17), 0
    luck = draws.normal(size=(1500, 1, n))
    values = luck + NOISE[noise](draws, (1500, 9, n))
    tests = StudentTests(pairs_of(np.vstack([np.zeros((1, n)), (values[:, 1:] - values[:, :1]).reshape(-1, n)])))
    wrong = sum((holm(p) < 0.05).any() for p in tests.p.reshape(1500, 8))
    assert wrong / 1500 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1500)


def test_studies_at_the_margin_are_rarely_called_the_same() -> None:
    """Of 1,500 studies of 8 Variants at the margin, sharing a baseline, at most 5 % + 3 s.e. name one the same."""
    draws = np.random.default_rng(18)
    values = 0.1 * draws.normal(size=(1500, 9, 4))
    margin = np.where(np.arange(8) % 2, 0.5, -0.5)[None, :, None]
    apart = (values[:, 1:] + margin - values[:, :1]).reshape(-1, 4)
    p = p_within(StudentTests(pairs_of(np.vstack([np.zeros((1, 4)), apart]))), 0.5).reshape(1500, 8)
    assert sum((holm(row) < 0.05).any() for row in p) / 1500 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1500)
