"""Draws are functions of what they are for: uniform, independent, and the same on every machine."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ablate.draws import _mix, derive, uniform

IMAGES = np.arange(20_000)


def test_the_generator_is_splitmix64() -> None:
    """Its first outputs for seed 1234567, as published with the reference implementations."""
    with np.errstate(over="ignore"):
        states = np.uint64(1234567) + np.arange(1, 6, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        assert _mix(states).tolist() == [
            6457827717110365317,
            3203168211198807973,
            9817491932198370423,
            4593380528125082431,
            16408922859458223821,
        ]


def test_draws_are_the_same_on_every_machine() -> None:
    """Golden values: a change of these changes every training."""
    assert derive(3, "mixup", 7) == 7697868908913659038
    found = uniform(3, "mixup", 7, np.array([0, 41]), 2)
    np.testing.assert_array_equal(
        found, [[0.4365155830491725, 0.3359866650106309], [0.9837754109545814, 0.84725640760307]]
    )


def test_draws_are_uniform() -> None:
    """Kolmogorov-Smirnov on 40,000 draws, and every value in [0, 1); fixed seed, so that p is fixed too."""
    draws = uniform(0, "test", 0, IMAGES, 2)
    assert draws.shape == (len(IMAGES), 2)
    assert draws.min() >= 0.0
    assert draws.max() < 1.0
    assert stats.kstest(draws.ravel(), "uniform").pvalue > 0.01


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1])


@pytest.mark.parametrize(
    "other",
    [
        uniform(1, "test", 0, IMAGES, 1)[:, 0],
        uniform(0, "tests", 0, IMAGES, 1)[:, 0],
        uniform(0, "test", 1, IMAGES, 1)[:, 0],
        uniform(0, "test", 0, IMAGES + 1, 1)[:, 0],
        uniform(0, "test", 0, IMAGES, 2)[:, 1],
    ],
    ids=["seed", "purpose", "step", "image", "column"],
)
def test_draws_for_different_things_are_independent(other: np.ndarray) -> None:
    """Uncorrelated within four standard errors (4 / sqrt(20,000) = .028), in value and in square."""
    one = uniform(0, "test", 0, IMAGES, 1)[:, 0]
    assert abs(_correlation(one, other)) < 0.028
    assert abs(_correlation((one - 0.5) ** 2, (other - 0.5) ** 2)) < 0.028


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=20), st.integers(0, 5), st.randoms(use_true_random=False))
def test_an_image_draws_the_same_in_every_batch(images: list[int], step: int, random: object) -> None:
    """Row by row the draws are those of the image alone, whatever stands beside it and in whatever order."""
    together = uniform(4, "test", step, np.array(images), 3)
    for row, image in zip(together, images, strict=True):
        np.testing.assert_array_equal(row, uniform(4, "test", step, np.array([image]), 3)[0])


def test_more_draws_leave_the_first_as_they_are() -> None:
    """Asking for another number per image changes no number before it."""
    np.testing.assert_array_equal(uniform(0, "a", 0, IMAGES, 2), uniform(0, "a", 0, IMAGES, 5)[:, :2])


def test_seeds_are_of_63_bits_and_differ() -> None:
    """Good for torch's generators, which take no more, and unlike each other for every argument."""
    seeds = {derive(s, p, n) for s in range(20) for p in ("init", "order") for n in range(20)}
    assert len(seeds) == 800
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive(1, "init") != derive(1, "init", 0)
