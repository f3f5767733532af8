from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from scipy import stats

from ablate.reporting.statistics.crossed import SeedsAndImages
from ablate.reporting.statistics.equivalence import p_within_interval
from ablate.reporting.statistics.looks import Looks
from ablate.reporting.statistics.needed_images import FurtherOfBoth, PowerOverImages, further_of_growing
from ablate.reporting.statistics.power import Power
from ablate.reporting.statistics.sequential_images import SequentialSeedsAndImages
from ablate.reporting.statistics.shares import Shares

Floats = npt.NDArray[np.float64]
#: Images of the simulations, and studies.
N, STUDIES = 400, 800


def shares(mean: float, of_seed: float, of_image: float, rest: float, pairs: int) -> Shares:
    """The shares of the variance of a mean over ``pairs`` seeds and N images, given the three deviations."""
    interaction = rest**2 / N / pairs
    given = (pairs, N, mean, of_seed**2 / pairs + interaction, of_image**2 / N, interaction)
    count, images, centre, of_seeds, of_images, of_both = (np.array([float(value)]) for value in given)
    return Shares(count, images, centre, of_seeds, of_images, of_both, np.array([False]))


def decided(d_RSN: Floats, level: float, margin: float | None = None) -> float:
    """Share of the studies of such differences that the test over seeds and images decides."""
    repeats, seeds, images = d_RSN.shape
    rows = np.concatenate([np.zeros((1, seeds, images)), d_RSN]).reshape(-1, images)
    index = pd.MultiIndex.from_product([range(repeats + 1), range(seeds)], names=["variant", "seed"])
    found = SeedsAndImages(0)(pd.DataFrame(rows, index))  # type: ignore[arg-type]
    clear = found["both_p"].to_numpy(float) < level
    if margin is not None:
        mean, low, high = (found[name].to_numpy(float) for name in ("difference", "both_low", "both_high"))
        clear |= p_within_interval(mean, low, high, np.full(repeats, seeds), margin) < level
    return float(clear.mean())


def standard(draws: np.random.Generator, count: int) -> Floats:
    """Values of mean 0 and deviation 1 to the last digit."""
    values = draws.standard_normal(count)
    return np.asarray((values - values.mean()) / values.std(ddof=1), dtype=float)


def on_these_images(mean: float, of_seed: float, of_image: float, rest: float, seeds: int) -> Floats:
    """Differences (STUDIES, seeds, N) of new seeds on the same images, whose mean is just that."""
    draws = np.random.default_rng(seeds)
    image = of_image * standard(draws, N)
    own = of_seed * draws.standard_normal((STUDIES, seeds, 1))
    return mean + own + image + rest * draws.standard_normal((STUDIES, seeds, N))


@pytest.mark.parametrize(
    ("mean", "deviations", "pairs", "level", "margin"),
    [
        (0.2, (0.1, 1.0, 1.0), 3, 0.05, None),
        (0.4, (0.3, 1.0, 0.5), 3, 0.05 / 6, None),
        (0.0, (0.1, 1.0, 1.0), 3, 0.05, 0.2),
    ],
)
def test_so_many_seeds_decide_on_the_same_images(
    mean: float, deviations: tuple[float, float, float], pairs: int, level: float, margin: float | None
) -> None:
    """The number told decides in 80 % or more of simulated studies, and one less in less than that; 5 % for chance."""
    power = PowerOverImages(round(0.05 / level), margin=margin)
    found = power.further(shares(mean, *deviations, pairs))
    n = pairs + int(found.seeds[0])
    assert np.isnan(found.images[0])
    assert decided(on_these_images(mean, *deviations, n), level, margin) >= 0.75
    assert decided(on_these_images(mean, *deviations, n - 1), level, margin) < 0.85


def test_so_many_images_decide_where_no_seeds_would() -> None:
    """With the same five trainings, the number told decides in 80 % of simulated sets of images, 5 % for chance."""
    mean, deviations, pairs = 0.09, (0.02, 1.0, 1.0), 5
    found = PowerOverImages().further(shares(mean, *deviations, pairs))
    assert np.isnan(found.seeds[0])
    images = int(found.images[0])
    assert images > N
    draws = np.random.default_rng(1)
    own = (deviations[0] * standard(draws, pairs))[:, None]
    image = deviations[1] * draws.standard_normal((STUDIES, 1, images))
    rest = deviations[2] * draws.standard_normal((STUDIES, pairs, images))
    assert 0.75 <= decided(mean + own + image + rest, 0.05) <= 0.85


def test_seeds_and_images_decide_together_where_neither_would() -> None:
    """Both numbers are told, and new seeds on new images decide in 80 % of simulated studies, 5 % for chance."""
    mean, deviations, pairs = 0.09, (0.1, 1.0, 0.5), 3
    found = PowerOverImages().further(shares(mean, *deviations, pairs))
    n, images = pairs + int(found.seeds[0]), int(found.images[0])
    draws = np.random.default_rng(2)
    own = deviations[0] * draws.standard_normal((200, n, 1)) + deviations[1] * draws.standard_normal((200, 1, images))
    d_RSN = mean + own + deviations[2] * draws.standard_normal((200, n, images))
    assert 0.72 <= decided(d_RSN, 0.05) <= 0.9


@pytest.mark.parametrize("pairs", [3, 5, 10])
@pytest.mark.parametrize("comparisons", [1, 8])
def test_without_a_share_of_the_images_power_is_that_of_students_test(pairs: int, comparisons: int) -> None:
    """The smallest difference is the one that the noncentral t distribution gives, to 0.5 %."""
    found = PowerOverImages(comparisons).smallest_difference(pairs, 0.7**2 / pairs, 0.0)
    assert found == pytest.approx(Power(0.7, comparisons).smallest_difference(pairs), rel=5e-3)


def test_images_alone_are_a_normal_test() -> None:
    """Without end of seeds it is (z + z') standard errors; and so many more images are needed as its square says."""
    reach = stats.norm.isf(0.025) + stats.norm.ppf(0.8)
    assert PowerOverImages().smallest_difference(np.inf, 0.0, 0.04) == pytest.approx(0.2 * reach)
    found = PowerOverImages().further(shares(0.05, 0.0, 1.0, 1e-3, 4))
    assert np.isnan(found.seeds[0])
    assert found.images[0] == pytest.approx((reach / 0.05) ** 2, rel=0.01)


def test_seeds_cannot_settle_what_images_keep_open() -> None:
    """Just below z standard errors of the images no number of seeds is told, just above one is, without images."""
    limit = stats.norm.isf(0.025) / np.sqrt(N)
    below, above = (PowerOverImages().further(shares(limit * x, 0.05, 1.0, 0.5, 5)) for x in (0.97, 1.1))
    assert np.isnan(below.seeds[0]) or np.isfinite(below.images[0])
    assert np.isfinite(below.images[0])
    assert np.isfinite(above.seeds[0])
    assert np.isnan(above.images[0])


def test_of_what_cannot_be_told_nothing_is() -> None:
    """No difference and no margin, one pair, or nothing that varies: NaN for both."""
    told: list[FurtherOfBoth] = [PowerOverImages().further(shares(0.0, 0.1, 1.0, 1.0, 3))]
    one = shares(0.3, 0.1, 1.0, 1.0, 1)
    told.append(PowerOverImages().further(one))
    told.append(PowerOverImages().further(shares(0.3, 0.0, 0.0, 0.0, 3)))
    told.append(PowerOverImages().further(shares(0.0, 0.1, 0.0, 0.0, 3)))
    assert np.isnan([[found.seeds[0], found.images[0]] for found in told]).all()


def test_pairs_for_the_same_are_students_without_images() -> None:
    """And with images that vary more than the margin allows there is no number."""
    assert PowerOverImages(2, margin=1.0).pairs_for_same(0.7**2, 0.0) == pytest.approx(
        Power(0.7, 2).pairs_for_same(1.0), abs=1
    )
    assert np.isnan(PowerOverImages(2, margin=1.0).pairs_for_same(0.7**2, 0.5**2))
    assert np.isnan(PowerOverImages(2).pairs_for_same(0.7**2, 0.0))


@pytest.mark.parametrize(("mean", "reaches"), [(0.3, True), (0.2, False)])
def test_a_study_that_grows_decides_with_so_many_seeds(mean: float, reaches: bool) -> None:
    """By its own repeated test, on the same images, in 80 % of simulated studies or more (6 % for chance); where its
    maximum is too small, with the one that is told.
    """
    looks, deviations, level = Looks(3, 10), (0.15, 1.0, 1.0), 0.05
    found, most = further_of_growing(shares(mean, *deviations, 3), looks, level)
    n = 3 + int(found.seeds[0])
    assert np.isnan(most[0]) if reaches else most[0] == n > looks.most
    d_RSN = on_these_images(mean, *deviations, n)[:250]
    rows = np.concatenate([np.zeros((1, *d_RSN.shape[1:])), d_RSN]).reshape(-1, N)
    names = [str(r) for r in range(len(d_RSN) + 1)]
    data = pd.DataFrame(rows, pd.MultiIndex.from_product([names, range(n)], names=["variant", "seed"]))
    looks = looks if reaches else Looks(3, n)
    assert (SequentialSeedsAndImages.of(data, "0", names[1:], looks).p < level).mean() >= 0.74


def test_a_maximum_that_is_too_small_does_not_hide_the_images() -> None:
    """Where images keep a growing study open, images are told and no seeds."""
    found, most = further_of_growing(shares(0.09, 0.02, 1.0, 0.5, 8), Looks(3, 10), 0.05)
    assert np.isnan([found.seeds[0], most[0]]).all()
    assert found.images[0] > N
