from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from ablate.reporting.statistics.equivalence import p_within
from ablate.reporting.statistics.looks import Looks
from ablate.reporting.statistics.needed import FURTHEST, FurtherSeeds, boundaries
from ablate.reporting.statistics.pairs import Pairs
from ablate.reporting.statistics.sequential import SequentialTests

Floats = npt.NDArray[np.float64]
LOOKS = Looks(3, 10)


def pairs_of(differences: Floats) -> Pairs:
    """Differences (V, S)."""
    names = pd.Index([f"v{row}" for row in range(len(differences))])
    return Pairs(names, differences, np.nanmax(np.abs(differences), axis=1), True)


def with_moments(n: int, mean: float, std: float, seed: int = 0) -> Floats:
    """n values of just this mean and deviation."""
    values = np.random.default_rng(seed).standard_normal(n)
    values = (values - values.mean()) / values.std(ddof=1)
    return np.asarray(mean + std * values, dtype=float)


def decided(values: Floats, further: int, looks: Looks, level: float, margin: float | None) -> float:
    """Of 6,000 ways in which the values may go on for so many pairs, the share that the repeated test decides."""
    draws = np.random.default_rng(99).normal(values.mean(), values.std(ddof=1), (6000, further))
    tests = SequentialTests(pairs_of(np.hstack([np.tile(values, (6000, 1)), draws])), looks)
    found = tests.p < level
    if margin is not None:
        found |= p_within(tests, margin) < level
    return float(found.mean())


@pytest.mark.parametrize(
    ("n", "mean", "level", "margin"),
    [
        (3, 1.2, 0.05, None),
        (4, 1.6, 0.05 / 6, None),
        (5, 1.1, 0.05, None),
        (5, 0.1, 0.05, 1.5),
        (4, 2.5, 0.05 / 14, 3.5),
    ],
)
def test_so_many_seeds_decide_with_a_chance_of_80_percent(
    n: int, mean: float, level: float, margin: float | None
) -> None:
    """Continued by the very test of the study, the number told decides in 80 % or more (3 % for both simulations), and
    one pair fewer in less than that.
    """
    values = with_moments(n, mean, 1.0)
    found = FurtherSeeds(LOOKS, level, margin)(pairs_of(values[None]))
    further = int(found.seeds[0])
    assert np.isnan(found.most[0])
    assert 1 <= further <= LOOKS.most - n
    assert decided(values, further, LOOKS, level, margin) >= 0.77
    assert decided(values, further - 1, LOOKS, level, margin) < 0.83


@pytest.mark.parametrize(("n", "mean", "margin"), [(6, 0.6, None), (10, 0.1, 0.9)])
def test_a_larger_maximum_decides_by_its_own_boundary(n: int, mean: float, margin: float | None) -> None:
    """Where the maximum is reached or too small, the one told decides in 80 % or more (4 % for the simulations and the
    boundary), with all of its looks, and a maximum of two less in less than that.
    """
    values, level = with_moments(n, mean, 1.0), 0.05 / 4
    found = FurtherSeeds(LOOKS, level, margin)(pairs_of(values[None]))
    most = int(found.most[0])
    assert LOOKS.most < most <= FURTHEST
    assert found.seeds[0] == most - n
    assert decided(values, most - n, Looks(3, most), level, margin) >= 0.76
    assert decided(values, most - n - 2, Looks(3, most - 2), level, margin) < 0.84


def test_where_nothing_helps_nothing_is_told() -> None:
    """A difference of nothing, one pair, no spread: NaN; the same for one that takes more than is looked for."""
    rows = np.full((4, 6), np.nan)
    rows[0], rows[1, 0], rows[2] = with_moments(6, 0.0, 1.0), 1.0, 2.0
    rows[3] = with_moments(6, 0.05, 1.0)
    found = FurtherSeeds(LOOKS, 0.05)(pairs_of(rows))
    assert np.isnan(found.seeds).all()
    assert np.isnan(found.most).all()


def test_what_one_comparison_needs_does_not_depend_on_the_others() -> None:
    """Many at once give what each gives alone, and gaps are no pairs."""
    rows = np.full((5, 8), np.nan)
    for row, n in enumerate((3, 4, 5, 6, 8)):
        rows[row, :n] = with_moments(n, 1.0 + 0.2 * row, 1.0, row)
    needs = FurtherSeeds(LOOKS, 0.05 / 5, 2.5)
    together = needs(pairs_of(rows))
    for row in range(5):
        alone = needs(pairs_of(rows[row : row + 1][:, ~np.isnan(rows[row])]))
        np.testing.assert_array_equal([together.seeds[row], together.most[row]], [alone.seeds[0], alone.most[0]])


def test_before_the_first_look_nothing_is_decided() -> None:
    """Two pairs of a study that looks at five first need three more, however clear the difference is."""
    found = FurtherSeeds(Looks(5, 10), 0.05)(pairs_of(with_moments(2, 50.0, 1.0)[None]))
    assert found.seeds[0] == 3


def test_a_clearer_difference_needs_no_more() -> None:
    """Seeds needed never grow with the difference, over the study's own maximum and beyond it."""
    rows = np.array([with_moments(5, mean, 1.0) for mean in np.linspace(0.3, 4, 15)])
    needed = FurtherSeeds(LOOKS, 0.05)(pairs_of(rows)).seeds
    known = needed[np.isfinite(needed)]
    assert len(known) >= 12
    assert (np.diff(known) <= 0).all()


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("level", [0.05, 0.05 / 14])
def test_boundaries_of_all_maxima_at_once_are_those_of_each(level: float, sides: int) -> None:
    """The level of a look is within 25 % of that of `Looks` (20,000 sequences there, 200,000 here), which moves the
    critical t by less than 3 %.
    """
    for most in (10, 30):
        exact = Looks(3, most).nominal(level, sides=sides)
        assert boundaries(3, level, sides)[most] == pytest.approx(exact, rel=0.25)


def test_a_failed_seed_counts_against_the_maximum() -> None:
    """One that has ended without a pair leaves one seed less; where none is left, a larger maximum is told, which has
    room for it.
    """
    values = with_moments(4, 1.6, 1.0)
    needs, pairs = FurtherSeeds(Looks(3, 6), 0.05), pairs_of(values[None])
    whole = needs(pairs, np.array([0]))
    assert whole.seeds[0] <= 2
    assert np.isnan(whole.most[0])
    full = needs(pairs, np.array([2]))
    assert full.most[0] > 6
    assert full.seeds[0] == full.most[0] - 2 - 4
