"""How many more seeds, or images, settle what is judged for other seeds on other images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from ablate.reporting.statistics.crossed import critical
from ablate.reporting.statistics.looks import Looks
from ablate.reporting.statistics.needed import FURTHEST, boundaries
from ablate.reporting.statistics.pairs import Floats
from ablate.reporting.statistics.power import fewest
from ablate.reporting.statistics.shares import Shares

#: Nobody collects more than so many times the images there are.
MOST_TIMES = 1_000
#: The mean square of seeds is drawn at so many equally likely places of its distribution.
_PLACES = 60
#: Steps to a doubling of the images: their number is told to 0.3 %.
_STEPS = 256


class FurtherOfBoth(NamedTuple):
    """What would probably settle each of V comparisons: (V,), NaN where it does not come into it.

    With ``seeds`` alone, so many more on the same images; with ``images`` alone, so many instead of those there are,
    for the same trainings; with both, neither does by itself, and the two together do; with none, nobody knows.
    """

    seeds: Floats
    images: Floats


@dataclass(frozen=True)
class PowerOverImages:
    """Of tests by `SeedsAndImages` at ``alpha`` / ``comparisons``, the first step of Holm's method.

    ``power`` is the chance at which a difference counts as seen. Differences by seed are taken for normal ones, and
    the images' share of the variance for known; the mean square of seeds has its chi-squared distribution.
    Where a study looks again and again, ``alpha`` is what its boundary leaves a single look.
    """

    comparisons: int = 1
    alpha: float = 0.05
    power: float = 0.8
    margin: float | None = None

    def smallest_difference(self, pairs: float, seeds: float, images: float) -> float:
        """The smallest true difference that is seen; NaN for fewer than two pairs or without any variance.

        ``seeds`` and ``images`` are the variances of the mean that are due to each, at this number of pairs, which may
        be `numpy.inf` where ``seeds`` is 0: then the images alone are left.
        """
        whole = seeds + images
        if pairs < 2 or not whole > 0:
            return float("nan")
        if np.isinf(pairs):
            tail = stats.norm.isf(self._level / 2)
            return float((tail + stats.norm.ppf(self.power)) * np.sqrt(whole))
        only = replace(self, margin=None)
        of_seeds, of_images, n = np.array([seeds]), np.array([images]), np.array([pairs])

        def chance(difference: float) -> float:
            return float(only._decided(np.array([difference]), of_seeds + of_images, of_seeds, of_images, n)[0])

        low, high = 0.0, float(np.sqrt(whole))
        while chance(high) < self.power:
            low, high = high, 2 * high
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (low, middle) if chance(middle) >= self.power else (middle, high)
        return high

    def pairs_for_same(self, seeds: float, images: float) -> float:
        """The fewest pairs that show a Variant without effect to be within ±``margin``; NaN beyond `MOST`.

        ``seeds`` is the share of the variance that seeds have with one pair.
        """

        def chance(n: Floats) -> Floats:
            of_seeds, of_images = seeds / n, np.full(len(n), images)
            return self._decided(np.zeros(len(n)), of_seeds + of_images, of_seeds, of_images, n)

        return float("nan") if self.margin is None else float(fewest(chance, 1, self.power)[0])

    def further(self, shares: Shares) -> FurtherOfBoth:
        """Of each comparison with two pairs or more; a decided one is not told from an open one.

        Estimate and shares of the variance are taken as they are. What stays at hand is held fixed: more seeds are
        asked about the same images, whose luck they share and whose share of the variance they leave as it is; more
        images are shown to the same trainings. Where images keep the interval from deciding with any number of seeds,
        and the seeds there are keep it from deciding with any number of images, both are told: twice the images that
        would do with seeds without end, and the seeds that are then enough.
        """
        seeds, images = np.full(len(shares.mean), np.nan), np.full(len(shares.mean), np.nan)
        usable = np.flatnonzero((shares.pairs > 1) & ~shares.still & (shares.seeds + shares.images > 0))
        of = _Situation(*(np.asarray(values, dtype=float)[usable] for values in _arrays(shares)))
        seeds[usable] = fewest(partial(self._with_seeds, of), of.pairs, self.power) - of.pairs
        stuck = np.isnan(seeds[usable])
        usable, of = usable[stuck], of.only(stuck)
        times = self._fewest_times(partial(self._with_images, of), len(usable))
        images[usable] = np.ceil(of.total * times)
        # Neither does by itself.
        stuck = np.isnan(times)
        usable, of = usable[stuck], of.only(stuck)
        both = 2 * self._fewest_times(partial(self._with_all_seeds, of), len(usable))
        stuck = np.isfinite(both)
        usable, of, both = usable[stuck], of.only(stuck), both[stuck]
        seeds[usable] = fewest(lambda n: self._with_both(of, n, both), of.pairs, self.power) - of.pairs
        images[usable] = np.where(np.isnan(seeds[usable]), np.nan, np.ceil(of.total * both))
        return FurtherOfBoth(seeds, images)

    @property
    def _level(self) -> float:
        return self.alpha / self.comparisons

    def _with_seeds(self, of: _Situation, n: Floats) -> Floats:
        """The chance of a verdict with n pairs on the same images."""
        of_seeds = of.seeds * of.pairs / n
        return self._decided(of.mean, of_seeds, of_seeds, of.images, n)

    def _with_images(self, of: _Situation, times: Floats) -> Floats:
        """The same with so many times the images and the same trainings: what the seeds vary by is known already."""
        of_seeds = of.seeds - of.interaction + of.interaction / times
        of_images = of.images / times
        varies = of_images + of.interaction / times
        return self._decided(of.mean, varies, of_seeds, of_images, of.pairs, known=True)

    def _with_both(self, of: _Situation, n: Floats, times: Floats) -> Floats:
        """The same with n new pairs on so many times the images."""
        of_seeds = (of.seeds - of.interaction + of.interaction / times) * of.pairs / n
        return self._decided(of.mean, of_seeds + of.images / times, of_seeds, of.images / times, n)

    def _with_all_seeds(self, of: _Situation, times: Floats) -> Floats:
        """The same with seeds without end on so many times the images."""
        of_images = of.images / times
        none, many = np.zeros_like(of.mean), np.full_like(of.mean, 1e9)
        return self._decided(of.mean, of_images, none, of_images, many, known=True)

    def _decided(
        self, mean: Floats, varies: Floats, seeds: Floats, images: Floats, pairs: Floats, *, known: bool = False
    ) -> Floats:
        """Chance that a mean which is normal about ``mean`` with variance ``varies`` is decided, (V,).

        ``seeds`` and ``images`` are the shares of the variance that the interval is made of; the former is estimated
        with pairs - 1 degrees of freedom, unless it is ``known``.
        """
        freedom = np.maximum(np.asarray(pairs, dtype=float) - 1, 1.0)
        places = (np.arange(_PLACES) + 0.5) / _PLACES
        df = freedom[:, None]
        square = 1.0 if known else 2 * special.gammaincinv(df / 2, places) / df
        of_seeds, of_images, df = np.broadcast_arrays(seeds[:, None] * square, images[:, None], df)
        std = np.sqrt(np.maximum(varies, np.finfo(float).tiny))[:, None]

        def half(level: float) -> Floats:
            return critical(np.full(of_seeds.shape, level), of_seeds, of_images, df)

        beyond, middle = half(self._level), np.abs(mean)[:, None]
        found = special.ndtr((middle - beyond) / std) + special.ndtr((-middle - beyond) / std)
        if self.margin is not None:
            # As `p_within_interval` has it: tails beyond the interval of level 1 - alpha are normal ones or Student's.
            normal = special.ndtri(self._level) / special.ndtri(self.alpha / 2)
            student = special.stdtrit(df, self._level) / special.stdtrit(df, self.alpha / 2)
            inside = self.margin - np.maximum(normal, student) * half(self.alpha)
            within = special.ndtr((inside - middle) / std) - special.ndtr((-inside - middle) / std)
            found = np.maximum(found.mean(axis=1, keepdims=True), np.maximum(within, 0.0).mean(axis=1, keepdims=True))
        return np.asarray(found.mean(axis=1), dtype=float)

    def _fewest_times(self, chance: Callable[[Floats], Floats], count: int) -> Floats:
        """The smallest factor above one on the images, up to `MOST_TIMES`; NaN beyond. It grows with the chance."""
        low, high = np.zeros(count), np.full(count, np.log2(MOST_TIMES))
        reached = chance(2**high) >= self.power
        for _ in range(int(np.ceil(np.log2(high[0] * _STEPS))) if count else 0):
            middle = (low + high) / 2
            enough = chance(2**middle) >= self.power
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return np.where(reached, 2**high, np.nan)


def further_of_growing(
    shares: Shares,
    looks: Looks,
    level: float,
    margin: float | None = None,
    lost: npt.NDArray[np.int64] | None = None,
) -> tuple[FurtherOfBoth, Floats]:
    """The same for a study that looks with every seed, ``level`` being that of one comparison over all looks; and the
    maximum that it would have to name, NaN where its own leaves room enough. ``lost`` (V,) are seeds that have ended
    without a pair: they count against the maximum, and are no look.

    By the chance at the last of the looks alone, so the numbers are a little too large. A larger maximum is another
    boundary: see `needed.FurtherSeeds` for what is assumed of it.
    """
    found = PowerOverImages(1, looks.nominal(level), margin=margin).further(shares)
    most = np.full(len(shares.mean), np.nan)
    used = shares.pairs + (0 if lost is None else lost)
    for row in np.flatnonzero(used + found.seeds > looks.most):
        own = shares.only(np.array([row]))
        planned, largest, wanted = float(used[row]), looks.most, float(used[row] + found.seeds[row])
        # A larger maximum has a smaller level, which may take more seeds again.
        while largest < wanted <= FURTHEST:
            largest = int(wanted)
            alpha = float(boundaries(looks.least, level, 2)[largest])
            again = PowerOverImages(1, alpha, margin=margin).further(own)
            found.images[row], wanted = again.images[0], planned + float(again.seeds[0])
        told = wanted <= largest
        found.seeds[row], most[row] = (largest - planned, largest) if told else (np.nan, np.nan)
        found.images[row] = found.images[row] if told or np.isnan(wanted) else np.nan
    return found, most


class _Situation(NamedTuple):
    """The comparisons that something can be said of, (V,) each, as in `Shares`; ``total`` are its images."""

    pairs: Floats
    total: Floats
    mean: Floats
    seeds: Floats
    images: Floats
    interaction: Floats

    def only(self, rows: npt.NDArray[np.bool_]) -> _Situation:
        """Some of the comparisons."""
        return _Situation(*(values[rows] for values in self))


def _arrays(shares: Shares) -> tuple[Floats, ...]:
    return shares.pairs, shares.count, shares.mean, shares.seeds, shares.images, shares.interaction
