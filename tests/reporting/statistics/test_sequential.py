from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ablate.reporting.statistics.families import holm
from ablate.reporting.statistics.looks import Looks
from ablate.reporting.statistics.pairs import Pairs
from ablate.reporting.statistics.sequential import SequentialTests

LOOKS = Looks(3, 12)


def pairs_of(differences: np.ndarray) -> Pairs:
    """Differences (V, S) to a baseline that is zero everywhere."""
    groups, seeds = differences.shape
    frame = pd.DataFrame(
        {
            "variant": np.repeat(["baseline", *(f"v{i}" for i in range(groups))], seeds),
            "seed": np.tile(np.arange(seeds), groups + 1),
            "metric": np.concatenate([np.zeros(seeds), differences.ravel()]),
        }
    )
    return Pairs.of(frame, "baseline")


def smallest_p(differences: np.ndarray, looks: Looks) -> np.ndarray:
    """By scipy, look by look."""
    ps = [stats.ttest_1samp(differences[:, :n], 0, axis=1).pvalue for n in range(looks.least, looks.most + 1)]
    return np.min(ps, axis=0)


@pytest.mark.parametrize("looks", [LOOKS, Looks(2, 5), Looks(5, 20)], ids=str)
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 14])
def test_looking_often_does_not_find_more(looks: Looks, alpha: float) -> None:
    """Without an effect the adjusted p falls below alpha at any look in at most alpha of 20,000 sequences, and not
    much less often; the unadjusted one does twice as often or more.
    """
    smallest = smallest_p(np.random.default_rng(1).standard_normal((20_000, looks.most)), looks)
    error = 3.5 * np.sqrt(alpha / 20_000)
    rate = float((looks.adjusted(smallest) <= alpha).mean())
    assert 0.6 * alpha - error <= rate <= alpha + error
    assert (smallest <= alpha).mean() > 2 * alpha


def test_one_look_is_students_test() -> None:
    """With nothing to look at twice the adjusted p is the p itself, to the simulation's error."""
    p = np.array([0.5, 0.1, 0.05, 0.01])
    np.testing.assert_allclose(Looks(4, 4).adjusted(p), p, rtol=0.08)


def test_the_adjustment_lies_between_none_and_bonferronis() -> None:
    """And it is monotone, from the smallest p to one."""
    p = np.geomspace(1e-9, 1, 200)
    adjusted = LOOKS.adjusted(p)
    assert (adjusted >= p).all()
    assert (adjusted <= np.minimum(10 * p, 1) + 1e-12).all()
    assert (np.diff(adjusted) >= 0).all()


def test_nominal_undoes_adjusted() -> None:
    """What is judged at the nominal level keeps alpha, one-sided and two-sided."""
    for sides in (1, 2):
        assert LOOKS.adjusted(LOOKS.nominal(0.05, sides=sides), sides=sides) == pytest.approx(0.05, rel=0.02)


def test_an_unknown_p_stays_unknown() -> None:
    """A comparison without a test has no p after any number of looks."""
    assert np.isnan(LOOKS.adjusted([np.nan])).all()


def test_the_tests_are_those_of_scipy_look_by_look() -> None:
    """The p of a group is the adjusted smallest p of `scipy.stats.ttest_1samp` over its looks."""
    differences = np.random.default_rng(2).normal(0.5, 1.0, (40, 12))
    tests = SequentialTests(pairs_of(differences), LOOKS)
    np.testing.assert_allclose(tests.p, LOOKS.adjusted(smallest_p(differences, LOOKS)), rtol=1e-9)


def test_a_failed_seed_is_no_look() -> None:
    """A gap is left out and the order of the others stays: the same as if the seed had never been."""
    differences = np.random.default_rng(3).normal(1.0, 1.0, (5, 8))
    gappy = np.insert(differences, 4, np.nan, axis=1)
    whole, with_gap = SequentialTests(pairs_of(differences), LOOKS), SequentialTests(pairs_of(gappy), LOOKS)
    np.testing.assert_allclose(whole.p, with_gap.p)
    np.testing.assert_allclose(whole.low, with_gap.low)
    np.testing.assert_allclose(whole.p_beyond(0.5, "below"), with_gap.p_beyond(0.5, "below"))


def test_before_the_first_look_there_is_no_test() -> None:
    """Two pairs of a study that looks at three first have neither interval nor p."""
    tests = SequentialTests(pairs_of(np.array([[1.0, 2.0]])), LOOKS)
    assert np.isnan([*tests.p, *tests.low, *tests.high, *tests.p_beyond(0.0, "above")]).all()


def test_equal_differences_have_no_spread_to_judge_by() -> None:
    """No p where all pairs agree but on zero, where it is one."""
    tests = SequentialTests(pairs_of(np.array([[1.0] * 4, [0.0] * 4])), LOOKS)
    assert np.isnan(tests.p[0])
    assert tests.p[1] == 1.0


def test_the_repeated_interval_covers_at_every_look_at_once() -> None:
    """In 95 % of 10,000 sequences it holds the true difference at all of its ten looks (within 2.5 standard errors, and
    the share that the simulation's own error adds).
    """
    truth = 0.7
    differences = np.random.default_rng(4).normal(truth, 1.3, (10_000, 12))
    covered = np.ones(10_000, dtype=bool)
    for n in range(3, 13):
        tests = SequentialTests(pairs_of(differences[:, :n]), LOOKS)
        covered &= (tests.low <= truth) & (truth <= tests.high)
    assert 0.9445 <= covered.mean() <= 0.958


def stopped(truth: np.ndarray, spread: float, margin: float, seed: int, studies: int) -> tuple[float, float, float]:
    """Studies of len(truth) comparisons with one baseline, seeds added one at a time to those without a verdict, by
    Holm's method over all. Returns the share of studies with a false "differs", that with a false "no difference", and
    the share of Trials saved.
    """
    generator = np.random.default_rng(seed)
    false_differs = false_same = trials = 0
    for _ in range(studies):
        baseline = generator.normal(0, spread, LOOKS.most)
        values = truth[:, None] + generator.normal(0, spread, (len(truth), LOOKS.most)) - baseline
        now = np.full(len(truth), LOOKS.least)
        while True:
            seen = np.where(np.arange(LOOKS.most) < now[:, None], values, np.nan)
            tests = SequentialTests(pairs_of(seen), LOOKS)
            differs = holm(tests.p) < 0.05
            same = holm(np.maximum(tests.p_beyond(-margin, "above"), tests.p_beyond(margin, "below"))) < 0.05
            open_ = ~(differs | same) & (now < LOOKS.most)
            if not open_.any():
                break
            now[open_] += 1
        false_differs += bool((differs & (truth == 0)).any())
        false_same += bool((same & (np.abs(truth) >= margin)).any())
        trials += int(now.sum() + now.max())
    whole = studies * (len(truth) + 1) * LOOKS.most
    return false_differs / studies, false_same / studies, 1 - trials / whole


@pytest.mark.slow
def test_a_study_without_effects_keeps_its_error_rate_under_stopping() -> None:
    """Of 250 null studies of five comparisons that share a baseline and stop when decided, at most 5 % (plus 2.5
    standard errors) name any effect.
    """
    wrong, _, _ = stopped(np.zeros(5), 1.0, 0.2, seed=5, studies=250)
    assert wrong <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / 250)


@pytest.mark.slow
def test_differences_at_the_margin_are_rarely_called_none() -> None:
    """Of 200 studies of which every true difference is the margin, at most 5 % (plus 2.5 standard errors) call any of
    them no difference; and where some effects are large, stopping saves Trials.
    """
    _, wrong, _ = stopped(np.array([1.0, -1.0, 1.0]), 0.5, 1.0, seed=6, studies=200)
    assert wrong <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / 200)
    _, _, saved = stopped(np.array([5.0, -5.0, 0.0, 0.0]), 0.5, 2.0, seed=7, studies=40)
    assert saved > 0.3
