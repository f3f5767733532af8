"""Tests over seeds and images that are looked at again and again: their error rate, and what they agree with."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from ablate.reporting.statistics.crossed import SeedsAndImages
from ablate.reporting.statistics.looks import Looks
from ablate.reporting.statistics.pairs import Pairs
from ablate.reporting.statistics.sequential import SequentialTests
from ablate.reporting.statistics.sequential_images import SequentialSeedsAndImages
from ablate.reporting.statistics.shares import Shares

Floats = npt.NDArray[np.float64]
LOOKS = Looks(3, 8)


def wide(d_RSN: Floats) -> pd.DataFrame:
    """Outcomes of which the differences of R groups to a baseline that is zero are these; groups are `0`, `1`, ..."""
    repeats, seeds, images = d_RSN.shape
    rows = np.concatenate([np.zeros((1, seeds, images)), d_RSN]).reshape(-1, images)
    names = ["baseline", *map(str, range(repeats))]
    return pd.DataFrame(rows, pd.MultiIndex.from_product([names, range(seeds)], names=["variant", "seed"]))


def looked_at(d_RSN: Floats, looks: Looks = LOOKS) -> SequentialSeedsAndImages:
    """The tests of R comparisons."""
    return SequentialSeedsAndImages.of(wide(d_RSN), "baseline", [str(r) for r in range(len(d_RSN))], looks)


def normal(draws: np.random.Generator, of_seed: float, of_image: float, size: tuple[int, int, int]) -> Floats:
    """Differences without an effect; the rest has a deviation of 1."""
    repeats, seeds, images = size
    found = of_seed * draws.standard_normal((repeats, seeds, 1)) + draws.standard_normal(size)
    return np.asarray(found + of_image * draws.standard_normal((repeats, 1, images)), dtype=float)


def bernoulli(draws: np.random.Generator, of_seed: float, hard: float, size: tuple[int, int, int]) -> Floats:
    """Two classifiers of about 95 % right that find the same images hard, both equally good."""
    repeats, seeds, images = size
    shared = 4.6 + hard * draws.standard_normal((repeats, 1, images))

    def right() -> Floats:
        odds = (
            shared + of_seed * draws.standard_normal((repeats, seeds, 1)) + draws.standard_normal((repeats, 1, images))
        )
        return np.asarray(draws.random(size) < expit(odds), dtype=float)

    return right() - right()


@pytest.mark.parametrize(
    ("noise", "of_seed", "of_image"),
    [(normal, 0.5, 0.0), (normal, 0.0, 0.0), (normal, 0.1, 1.0), (normal, 0.0, 3.0), (bernoulli, 0.3, 2.0)],
    ids=["seeds alone", "the rest alone", "both", "images alone", "Bernoulli"],
)
def test_looking_often_does_not_find_more(noise: object, of_seed: float, of_image: float) -> None:
    """Without an effect p falls below 5 % at any look in at most 5 % of 1,500 studies, plus 2.5 standard errors; the
    unadjusted two-way p of the same looks in more.
    """
    d_RSN = noise(np.random.default_rng(11), of_seed, of_image, (1500, LOOKS.most, 150))  # type: ignore[operator]
    tests = looked_at(d_RSN)
    assert (tests.p < 0.05).mean() <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / 1500)
    assert (smallest_p(d_RSN[:300]) < 0.05).mean() > (tests.p[:300] < 0.05).mean() + 0.02


def smallest_p(d_RSN: Floats, looks: Looks = LOOKS) -> Floats:
    """The smallest p over both of `SeedsAndImages`, look by look."""
    counts = range(looks.least, min(looks.most, d_RSN.shape[1]) + 1)
    found = [SeedsAndImages("baseline")(wide(d_RSN[:, :n]))["both_p"] for n in counts]
    return np.asarray(np.min(found, axis=0), dtype=float)


def test_the_tests_are_those_of_seeds_and_images_look_by_look() -> None:
    """p is the adjusted smallest of the looks; the interval is that of the present pairs at the level of a look."""
    d_RSN = 0.2 + normal(np.random.default_rng(1), 0.2, 1.0, (12, 6, 60))
    tests = looked_at(d_RSN)
    np.testing.assert_allclose(tests.p, LOOKS.adjusted(smallest_p(d_RSN)), rtol=1e-6)
    now = SeedsAndImages("baseline", 1 - LOOKS.nominal(0.05))(wide(d_RSN))
    np.testing.assert_allclose(tests.low, now["both_low"], rtol=1e-9)
    np.testing.assert_allclose(tests.high, now["both_high"], rtol=1e-9)
    assert tests.n.tolist() == [6] * 12


shapes = st.tuples(st.integers(3, 8), st.integers(3, 12), st.integers(0, 2**32 - 1), st.floats(-0.8, 0.8))


@given(shapes)
@settings(deadline=None, max_examples=40)
def test_more_is_claimed_with_no_smaller_p(drawn: tuple[int, int, int, float]) -> None:
    """Where images are asked about as well, p is never below, and the interval never inside, that over seeds alone:
    this is why the boundary holds where images have no share.
    """
    seeds, images, key, shift = drawn
    d_SN = np.random.default_rng(key).normal(shift, 1, (seeds, images))
    means = d_SN.mean(axis=1)[None]
    over_seeds = SequentialTests(Pairs(pd.Index(["0"]), means, np.abs(means).max(axis=1), True), LOOKS)
    tests = looked_at(d_SN[None])
    assert tests.p[0] >= over_seeds.p[0] - 1e-9
    assert tests.low[0] <= over_seeds.low[0] + 1e-9
    assert tests.high[0] >= over_seeds.high[0] - 1e-9
    even = LOOKS.adjusted(0.5, sides=1)  # a wider interval brings a one-sided p nearer to this, from either side
    for side in ("above", "below"):
        least = min(over_seeds.p_beyond(0.3, side)[0], even)
        assert tests.p_beyond(0.3, side)[0] >= least - 1e-9


def test_a_one_sided_p_is_half_of_the_two_sided() -> None:
    """At a single look: on the side on which the difference lies, against a bound that is taken off the difference."""
    looks, d_RSN = Looks(5, 5), 0.6 + normal(np.random.default_rng(2), 0.1, 0.5, (6, 5, 80))
    two = SeedsAndImages("baseline")(wide(d_RSN - 0.25))["both_p"].to_numpy(float)
    np.testing.assert_allclose(looked_at(d_RSN, looks).p_beyond(0.25, "above"), looks.adjusted(two / 2, sides=1))
    np.testing.assert_allclose(looked_at(d_RSN, looks).p_beyond(0.25, "below"), 1 - two / 2, atol=5e-3)


def test_a_failed_seed_is_no_look() -> None:
    """A seed that one side lacks is left out, and the order of the others stays."""
    data = wide(1.0 + normal(np.random.default_rng(3), 0.5, 1.0, (2, 7, 40)))
    gappy = data.drop([("0", 2), ("baseline", 4)])
    tests = SequentialSeedsAndImages.of(gappy, "baseline", ["0", "1"], LOOKS)
    assert tests.n.tolist() == [5, 6]
    alone = SequentialSeedsAndImages.of(data.drop([("0", 2), ("0", 4)]), "baseline", ["0"], LOOKS)
    np.testing.assert_allclose([tests.p[0], tests.low[0]], [alone.p[0], alone.low[0]])


def test_before_the_first_look_there_is_no_test() -> None:
    """Two pairs of a study that looks at three first, and a group without outcomes, have neither interval nor p."""
    data = wide(np.random.default_rng(4).normal(size=(1, 2, 20)))
    tests = SequentialSeedsAndImages.of(data, "baseline", ["0", "missing"], LOOKS)
    assert tests.n.tolist() == [0, 0]
    assert np.isnan([tests.p, tests.low, tests.high, tests.p_beyond(0.0, "above")]).all()
    assert tests.sign.tolist() == [0.0, 0.0]


def test_where_nothing_differs_p_is_one() -> None:
    """The same outcomes on every image have p = 1 and no interval; a constant difference has no p."""
    tests = looked_at(np.stack([np.zeros((4, 30)), np.ones((4, 30))]))
    assert tests.p[0] == 1.0
    assert np.isnan([tests.p[1], *tests.low]).all()


def test_the_metrics_unit_changes_no_p() -> None:
    """In percent intervals are a hundred times as wide, p values stay, and bounds are in percent."""
    data = wide(0.3 + normal(np.random.default_rng(5), 0.2, 1.0, (3, 5, 50)))
    names = ["0", "1", "2"]
    one = SequentialSeedsAndImages.of(data, "baseline", names, LOOKS)
    hundred = SequentialSeedsAndImages.of(data, "baseline", names, LOOKS, unit=100.0)
    np.testing.assert_allclose(hundred.p, one.p, rtol=1e-6)
    np.testing.assert_allclose(hundred.low, 100 * one.low)
    np.testing.assert_allclose(hundred.p_beyond(10, "below"), one.p_beyond(0.1, "below"), rtol=1e-6)


def test_shares_add_up_to_the_standard_errors() -> None:
    """`Shares` has the squares of the standard errors of `SeedsAndImages`, and an interaction within that of seeds."""
    data = wide(normal(np.random.default_rng(6), 0.2, 1.0, (5, 4, 90)))
    names = [str(r) for r in range(5)]
    found, expected = Shares.of(data, "baseline", names, 2.0), SeedsAndImages("baseline")(data)
    np.testing.assert_allclose(found.seeds, 4 * expected["seeds_se"] ** 2)
    np.testing.assert_allclose(found.images, 4 * expected["images_se"] ** 2)
    np.testing.assert_allclose(found.mean, 2 * expected["difference"])
    assert (found.interaction <= found.seeds).all()
    first = Shares.of_first(data, "baseline", names, [4, 9], 2.0)
    np.testing.assert_allclose(first.seeds[:, 0], found.seeds)
    assert np.isnan(first.mean[:, 1]).all()
