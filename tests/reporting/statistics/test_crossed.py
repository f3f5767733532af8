"""Intervals over seeds and images: what they cover, and what they agree with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit

from ablate.reporting.statistics import PairedDifference
from ablate.reporting.statistics.crossed import SeedsAndImages, critical

N = 450
Arrays = npt.NDArray[np.float64]


def wide(groups: dict[str, npt.NDArray[np.generic]]) -> pd.DataFrame:
    """A frame for `SeedsAndImages` from (S, N) outcomes of each group, seeds counted from 0."""
    keys = [(name, seed) for name, rows in groups.items() for seed in range(len(rows))]
    return pd.DataFrame(
        np.concatenate(list(groups.values())), pd.MultiIndex.from_tuples(keys, names=["variant", "seed"])
    )


def of_differences(d_RSN: Arrays) -> pd.DataFrame:
    """The intervals of R independent studies, given their differences."""
    zeros = np.zeros(d_RSN.shape[1:], dtype=d_RSN.dtype)
    return SeedsAndImages("baseline")(wide({"baseline": zeros, **{str(r): d for r, d in enumerate(d_RSN)}}))


def covered(found: pd.DataFrame, question: str, truth: float | Arrays) -> float:
    """Share of the intervals that hold the true difference."""
    return float(((found[f"{question}_low"] <= truth) & (truth <= found[f"{question}_high"])).mean())


def normal(seeds: int, draws: np.random.Generator, repeats: int) -> tuple[Arrays, Arrays]:
    """Differences in which seed, image and both together are normal, and each study's mean over its seeds' truths."""
    of_seed = 0.05 * draws.standard_normal((repeats, seeds, 1))
    rest = draws.standard_normal((repeats, seeds, N)) + draws.standard_normal((repeats, 1, N))
    return of_seed + rest, of_seed.mean(axis=(1, 2))


def skewed(seeds: int, draws: np.random.Generator, repeats: int) -> tuple[Arrays, Arrays]:
    """The same with exponential seeds and log-normal images."""
    of_seed = 0.05 * (draws.exponential(size=(repeats, seeds, 1)) - 1)
    of_image = (draws.lognormal(size=(repeats, 1, N)) - np.exp(0.5)) / np.sqrt(np.e * (np.e - 1))
    return of_seed + of_image + draws.exponential(size=(repeats, seeds, N)) - 1, of_seed.mean(axis=(1, 2))


def bernoulli(seeds: int, draws: np.random.Generator, repeats: int) -> tuple[Arrays, Arrays]:
    """Two classifiers of about 95 % right that find the same images hard; both equally good, whatever the seed."""
    hard = 2 * draws.standard_normal((repeats, 1, N))

    def right() -> npt.NDArray[np.bool_]:
        own = draws.standard_normal((repeats, 1, N))
        return draws.random((repeats, seeds, N)) < expit(4.6 + hard + own)

    first, second = right(), right()
    assert 0.94 < first.mean() < 0.96
    return second.astype(np.int8) - first.astype(np.int8), np.zeros(repeats)


@pytest.mark.parametrize("noise", [normal, skewed, bernoulli], ids=lambda noise: noise.__name__)
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_other_seeds_on_other_images_are_covered(seeds: int, noise: object) -> None:
    """With 3, 5 and 10 seeds the interval of both holds the true difference in 93 to 97 % of 1,500 studies."""
    d_RSN, _ = noise(seeds, np.random.default_rng(100 + seeds), 1500)  # type: ignore[operator]
    assert 0.93 <= covered(of_differences(d_RSN), "both", 0.0) <= 0.97


@pytest.mark.parametrize("noise", [normal, skewed, bernoulli], ids=lambda noise: noise.__name__)
@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_these_trainings_on_other_images_are_covered(seeds: int, noise: object) -> None:
    """With one seed, two and three the interval of images holds what these trainings would reach in 93 to 97 %."""
    d_RSN, truth_R = noise(seeds, np.random.default_rng(10 + seeds), 1500)  # type: ignore[operator]
    assert 0.93 <= covered(of_differences(d_RSN), "images", truth_R) <= 0.97


@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.05 / 14, 0.001])
@pytest.mark.parametrize("freedom", [1, 2, 4, 9, 19])
def test_critical_values_hold_at_every_mixture_of_seeds_and_images(freedom: int, alpha: float) -> None:
    """Integrated over the mean square of seeds, no share of its variance gives a coverage more than 0.04 points short.

    With two degrees of freedom and more, coverage at 95 % is nowhere above 96.5 %.
    """
    mean_square = stats.chi2.ppf((np.arange(4000) + 0.5) / 4000, freedom) / freedom
    coverage = []
    for share in np.linspace(0, 1, 41):
        known = np.full_like(mean_square, 1 - share)
        degrees = np.full_like(mean_square, freedom)
        half = critical(np.full_like(mean_square, alpha), share * mean_square, known, degrees)
        coverage.append(float(np.mean(1 - 2 * stats.norm.sf(half))))
    assert min(coverage) >= 1 - alpha - 4e-4
    assert freedom == 1 or alpha != 0.05 or max(coverage) <= 0.965


differences = st.tuples(st.integers(1, 5), st.integers(2, 12), st.integers(0, 2**32 - 1), st.floats(-0.8, 0.8)).map(
    lambda given: np.random.default_rng(given[2]).integers(-2, 3, given[:2]) * 1.0 + given[3]
)


@given(differences)
@settings(deadline=None)
def test_p_values_say_what_intervals_say(d_SN: Arrays) -> None:
    """p is below 0.05 exactly where the interval does not hold 0, and there is a p where there is an interval."""
    row = of_differences(d_SN[None]).iloc[0]
    for question in ("images", "both"):
        low, high, p = (float(row[f"{question}_{name}"]) for name in ("low", "high", "p"))
        if np.isfinite(low):
            assert (p < 0.05) == (low > 0 or high < 0)
            assert 0 <= p <= 1


@given(differences, st.floats(0.1, 100))
@settings(deadline=None)
def test_units_and_sides_change_nothing_else(d_SN: Arrays, unit: float) -> None:
    """Intervals scale with the unit, turn over with the sides, and p values stay; to 1e-6 of the width."""
    one, other = of_differences(d_SN[None]).iloc[0], of_differences(-unit * d_SN[None]).iloc[0]
    for question in ("images", "both"):
        assert other[f"{question}_low"] == pytest.approx(
            -unit * one[f"{question}_high"], rel=1e-6, abs=1e-6, nan_ok=True
        )
        assert other[f"{question}_p"] == pytest.approx(one[f"{question}_p"], rel=1e-5, abs=1e-12, nan_ok=True)


@given(differences)
@settings(deadline=None)
def test_more_is_claimed_with_no_shorter_interval(d_SN: Arrays) -> None:
    """An interval for other seeds and images is never shorter than Student's for other seeds on these images."""
    found = of_differences(d_SN[None]).iloc[0]
    tidy = pd.DataFrame({"variant": "a", "seed": range(len(d_SN)), "metric": d_SN.mean(axis=1)})
    base = tidy.assign(variant="baseline", metric=0.0)
    student = PairedDifference("baseline", "maximize")(pd.concat([base, tidy])).iloc[0]
    if np.isfinite(student["difference_low"]):
        assert found["both_low"] <= student["difference_low"] + 1e-9
        assert found["both_high"] >= student["difference_high"] - 1e-9


@pytest.mark.parametrize("losses", [0, 2, 10])
def test_two_single_classifiers_are_judged_as_by_mcnemar(losses: int) -> None:
    """With one seed a difference is clear from as many wins on as by the mid-p McNemar test, or one more or less."""

    def first_clear(p_of: Callable[[int], float]) -> int:
        return next(wins for wins in range(losses, 60) if p_of(wins) < 0.05)

    def by_images(wins: int) -> float:
        d_N = np.zeros(N)
        d_N[:wins], d_N[wins : wins + losses] = 1, -1
        return float(of_differences(d_N[None, None])["images_p"].iloc[0])

    def mid_p(wins: int) -> float:
        return float(2 * stats.binom.cdf(losses, wins + losses, 0.5) - stats.binom.pmf(losses, wins + losses, 0.5))

    assert abs(first_clear(by_images) - first_clear(mid_p)) <= (1 if losses else 0)


def test_images_are_resampled_in_closed_form() -> None:
    """The interval of images is that of a bootstrap over images, to 4 % of its width."""
    draws = np.random.default_rng(0)
    d_SN = draws.normal(0.1, 1, (3, N)) + draws.standard_normal(N)
    row = of_differences(d_SN[None]).iloc[0]
    again = d_SN.mean(axis=0)[draws.integers(N, size=(8000, N))].mean(axis=1)
    low, high = np.quantile(again, [0.025, 0.975])
    width = row["images_high"] - row["images_low"]
    assert row["images_low"] == pytest.approx(low, abs=0.04 * width)
    assert row["images_high"] == pytest.approx(high, abs=0.04 * width)


def test_where_nothing_differs_there_is_no_interval() -> None:
    """Outcomes that are all the same have p = 1 and no interval; a single seed says nothing of other seeds."""
    same = np.random.default_rng(0).random((2, N)) < 0.9
    found = SeedsAndImages("baseline")(wide({"baseline": same, "twin": same, "one": same[:1]}))
    assert found.loc["twin", ["images_p", "both_p"]].tolist() == [1.0, 1.0]
    assert found.loc["one", "images_p"] == 1.0
    assert np.isnan(found.loc["one", "both_p"])
    assert found[["images_low", "both_low"]].isna().all(axis=None)


def test_seeds_that_agree_by_luck_do_not_silence_the_images() -> None:
    """Where all seeds differ by the same mean but not on the same images there is still an interval."""
    d_SN = np.zeros((2, N))
    d_SN[0, :4], d_SN[1, 2:6] = 1, 1
    row = of_differences(d_SN[None]).iloc[0]
    assert row["both_low"] < 4 / N < row["both_high"]


def test_only_seeds_on_both_sides_count() -> None:
    """A seed that failed on one side is left out; a Variant without a common seed has a row without numbers."""
    draws = np.random.default_rng(1)
    data = wide({"baseline": draws.random((3, 50)), "a": draws.random((3, 50)), "b": draws.random((3, 50))})
    some = data.drop([("baseline", 0), ("b", 1), ("b", 2)])
    found = SeedsAndImages("baseline")(some)
    assert found["pairs"].tolist() == [2, 0]
    expected = (data.loc["a"] - data.loc["baseline"]).loc[[1, 2]].to_numpy().mean()
    assert found.loc["a", "difference"] == pytest.approx(expected, rel=1e-12)
    assert found.loc["b"].drop(["pairs", "images"]).isna().all()


def test_a_seed_twice_is_refused() -> None:
    """Two rows of one Variant and seed are an error, and not a pair more."""
    data = wide({"baseline": np.zeros((2, 4))})
    with pytest.raises(ValueError, match="two rows of the same group and seed"):
        SeedsAndImages("baseline")(pd.concat([data, data]))
