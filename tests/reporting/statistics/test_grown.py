"""What else is said of a study whose verdicts decide how many seeds it has."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest

from ablate.reporting.statistics import UNSURE, AgainstNumber, holm
from ablate.reporting.statistics.by_seed import over_seeds
from ablate.reporting.statistics.ladder import Ladder
from ablate.reporting.statistics.looks import Looks
from ablate.reporting.statistics.pair_interactions import PairInteractions
from ablate.reporting.statistics.pairs import Pairs
from ablate.reporting.statistics.sequential import SequentialTests

LOOKS, ALPHA, STUDIES = Looks(3, 10), 0.05, 1500
JUDGE = partial(SequentialTests, looks=LOOKS, alpha=ALPHA)


@pytest.fixture(scope="module")
def grown() -> np.ndarray:
    """(studies, seeds, 4): a baseline and three Variants with noise of their own and no effect, NaN for seeds that the
    verdicts against the baseline did not ask for: one more for each open Variant, the baseline as many as any.
    """
    values = np.random.default_rng(3).standard_normal((STUDIES, LOOKS.most, 4))
    seeds = np.full((STUDIES, 4), LOOKS.least)
    for _ in range(LOOKS.least, LOOKS.most):
        now = np.where(np.arange(LOOKS.most)[None, :, None] < seeds[:, None], values, np.nan)
        differences = now[:, :, 1:] - now[:, :, :1]
        p = JUDGE(Pairs.of_contrasts(flat(differences), 4.0)).p.reshape(STUDIES, 3)
        verdict = np.array([holm(row) for row in p]) < ALPHA
        seeds[:, 1:] += ~verdict & (seeds[:, 1:] < LOOKS.most)
        seeds[:, 0] = seeds[:, 1:].max(axis=1)
    return np.where(np.arange(LOOKS.most)[None, :, None] < seeds[:, None], values, np.nan)


def at_most(rate: float, studies: int = STUDIES) -> float:
    """And three standard errors of as many studies."""
    return rate + 3 * float(np.sqrt(rate * (1 - rate) / studies))


def flat(values: np.ndarray) -> np.ndarray:
    """(studies, seeds, contrasts) as (seeds, studies * contrasts)."""
    return values.transpose(1, 0, 2).reshape(values.shape[1], -1)


def test_gains_of_a_grown_ladder_are_rarely_found_where_there_are_none(grown: np.ndarray) -> None:
    """Of 1,500 null ladders at most 5 % + 3 s.e. have a gain with an adjusted p below 0.05, and some have."""
    p = over_seeds(flat(np.diff(grown, axis=2)), 4.0, JUDGE)["p"].to_numpy().reshape(STUDIES, 3)
    wrong = np.mean([(holm(row) < ALPHA).any() for row in p])
    assert 0 < wrong <= at_most(ALPHA)


def test_a_ladder_is_judged_by_the_test_it_is_given(grown: np.ndarray) -> None:
    """Its gains, total and means are those of `over_seeds` with the same test, not Student's."""
    study = grown[0]
    rungs, total = Ladder(JUDGE)(study), Ladder(JUDGE).total(study)
    gains, means = over_seeds(np.diff(study, axis=1), 4.0, JUDGE), over_seeds(study, 4.0, JUDGE)
    np.testing.assert_allclose(rungs[["gain_low", "gain_high", "p"]].to_numpy()[1:], gains[["low", "high", "p"]])
    np.testing.assert_allclose(rungs[["low", "high"]], means[["low", "high"]])
    np.testing.assert_allclose(total["p"], over_seeds(study[:, [3]] - study[:, [0]], 4.0, JUDGE)["p"])
    assert (Ladder()(study)["p"][1:] < rungs["p"][1:]).all()


def test_intervals_of_grown_gains_and_means_hold(grown: np.ndarray) -> None:
    """Of 1,500 null studies at least 95 % - 3 s.e. have 0 in the interval of a gain, and of a mean."""
    for contrasts in (grown[:, :, [3]] - grown[:, :, [2]], grown[:, :, [3]], grown[:, :, [0]]):
        found = over_seeds(flat(contrasts), 4.0, JUDGE)
        assert ((found["low"] <= 0) & (found["high"] >= 0)).mean() >= 1 - at_most(ALPHA)


def test_interactions_of_grown_pairs_are_rarely_found_where_there_are_none(grown: np.ndarray) -> None:
    """The same of the interaction of two changes."""
    base, first, second, both = (grown[:, :, [k]] for k in range(4))
    p = over_seeds(flat(both - first - second + base), 4.0, JUDGE)["p"]
    assert 0 < np.mean(p < ALPHA) <= at_most(ALPHA)
    own = PairInteractions(JUDGE)(base[0, :, 0], first[0], second[0], both[0])
    assert own["p"].item() == p[0]


def test_published_numbers_are_rarely_doubted_without_cause(grown: np.ndarray) -> None:
    """Of 400 columns of four right numbers at most 5 % + 3 s.e. have a mean said to be better or worse."""
    against, right = AgainstNumber("maximize", judge=JUDGE), pd.Series(np.zeros(4))
    wrong = np.mean([(against(study, right)["stands"] != UNSURE).any() for study in grown[:400]])
    assert 0 < wrong <= at_most(ALPHA, 400)
