"""What so many seeds can see, and how many a difference needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import optimize, special, stats

Floats = npt.NDArray[np.float64]
#: More seeds than this nobody trains: beyond it, the answer is that nobody knows.
MOST = 1000
#: Whether so many pairs settle it, by V numbers of pairs.
_Chance = Callable[[npt.NDArray[Any]], Floats]


@dataclass(frozen=True)
class Power:
    """Of paired t tests among ``comparisons``, at the first step of Holm's method: the level is alpha / comparisons.

    That is what the clearest of all comparisons must pass, and all of them while nothing else is found, so a study
    never has less power than this. ``spread`` is the standard deviation of one pair's difference, in the metric's unit;
    ``power`` is the chance at which a difference counts as seen. Differences are taken for normal ones (Cohen,
    Statistical Power Analysis, 2nd ed. 1988, ch. 2, by the exact noncentral t distribution).
    """

    spread: float
    comparisons: int = 1
    alpha: float = 0.05
    power: float = 0.8

    def of(self, difference: npt.ArrayLike, pairs: npt.ArrayLike) -> Floats:
        """The chance of a significant test where the truth is ``difference``; both broadcast."""
        return power_of_difference(difference, self.spread, pairs, self.alpha / self.comparisons)

    def smallest_difference(self, pairs: int) -> float:
        """The smallest true difference that so many pairs show with the chance ``power``; NaN for fewer than two."""
        if pairs < 2:
            return float("nan")
        level = self.alpha / self.comparisons

        def missing(noncentrality: float) -> float:
            return float(power_of_difference(noncentrality, np.sqrt(pairs), pairs, level)) - self.power

        high = 4.0
        while missing(high) < 0:
            high *= 2
        return float(optimize.brentq(missing, 0.0, high, xtol=1e-9)) * self.spread / float(np.sqrt(pairs))

    def pairs(self, difference: float) -> float:
        """The fewest pairs that show ``difference`` with the chance ``power``; NaN beyond `MOST`."""
        return float(fewest_pairs([difference], [self.spread], self.alpha / self.comparisons, None, self.power)[0])

    def pairs_for_same(self, margin: float, difference: float = 0.0) -> float:
        """The fewest pairs that show "no difference within ±``margin``" where the truth is ``difference``."""
        level = self.alpha / self.comparisons
        return float(fewest(lambda n: power_of_same(difference, self.spread, n, margin, level), 1, self.power)[0])

    def curve(self, pairs: npt.ArrayLike, differences: npt.ArrayLike) -> pd.DataFrame:
        """`pairs`, `difference`, `power`: a row for every combination."""
        n, d = np.meshgrid(np.asarray(pairs, dtype=int), np.asarray(differences, dtype=float), indexing="ij")
        columns = {"pairs": n.ravel(), "difference": d.ravel(), "power": self.of(d, n).ravel()}
        return pd.DataFrame(columns)


def power_of_difference(difference: npt.ArrayLike, spread: npt.ArrayLike, pairs: npt.ArrayLike, level: float) -> Floats:
    """Chance that a two-sided paired t test at ``level`` is significant; all broadcast, 0 for fewer than two pairs."""
    n = np.asarray(pairs, dtype=float)
    enough = np.maximum(n, 2.0)
    noncentrality = np.abs(np.asarray(difference, dtype=float)) / np.asarray(spread, dtype=float) * np.sqrt(enough)
    critical = stats.t.isf(level / 2, enough - 1)
    right = 1 - noncentral_t(critical, enough - 1, noncentrality)
    wrong = noncentral_t(-critical, enough - 1, noncentrality)
    return np.where(n >= 2, right + wrong, 0.0)


def power_of_same(
    difference: npt.ArrayLike, spread: npt.ArrayLike, pairs: npt.ArrayLike, margin: float, level: float
) -> Floats:
    """Chance that both one-sided tests at ``level`` put the difference within ±``margin``; all broadcast.

    Phillips' sum of the two (J. Pharmacokinetics and Biopharmaceutics 18, 1990, 137-144) by noncentral t distributions:
    exact where the spread that a sample shows leaves room for both, otherwise too small, never too large.
    """
    n = np.asarray(pairs, dtype=float)
    enough = np.maximum(n, 2.0)
    away = np.abs(np.asarray(difference, dtype=float))
    unit = np.asarray(spread, dtype=float) / np.sqrt(enough)
    critical = stats.t.isf(level, enough - 1)
    inside = np.maximum(margin - away, 0.0) / unit
    both = noncentral_t(critical, enough - 1, (margin + away) / unit) + noncentral_t(critical, enough - 1, inside)
    return np.where((n >= 2) & (away < margin), np.maximum(1 - both, 0.0), 0.0)


def noncentral_t(t: npt.ArrayLike, freedom: npt.ArrayLike, noncentrality: npt.ArrayLike) -> Floats:
    """Distribution function of the noncentral t; all broadcast.

    Far in a tail, below 1e-15 or as close to 1, scipy's says NaN; there it is 0 or 1.
    """
    found = special.nctdtr(freedom, noncentrality, t)
    return np.where(np.isnan(found), np.asarray(t) > np.asarray(noncentrality), found)


def fewest_pairs(
    difference: npt.ArrayLike,
    spread: npt.ArrayLike,
    level: float,
    margin: float | None = None,
    power: float = 0.8,
    *,
    above: npt.ArrayLike = 1,
) -> Floats:
    """The fewest pairs, more than ``above``, that probably settle each of V differences; NaN beyond `MOST` more.

    Settled is what the t test finds at ``level``, or, with a ``margin``, what the two one-sided tests put within it;
    the easier of the two counts. ``difference`` and ``spread`` are (V,), the latter above zero.
    """
    d, s = np.asarray(difference, dtype=float), np.asarray(spread, dtype=float)

    def chance(n: npt.NDArray[Any]) -> Floats:
        found = power_of_difference(d, s, n, level)
        return found if margin is None else np.maximum(found, power_of_same(d, s, n, margin, level))

    return fewest(chance, np.broadcast_to(np.asarray(above, dtype=int), d.shape), power)


def fewest(chance: _Chance, above: npt.ArrayLike, power: float) -> Floats:
    """By bisection: every chance grows with the number of pairs."""
    low = np.atleast_1d(np.asarray(above, dtype=int)).copy()
    high = low + MOST
    reached = chance(high) >= power
    while (gap := high - low).max(initial=0) > 1:
        middle = low + gap // 2
        # One that is found already stays as it is while others are looked for.
        enough, looking = chance(middle) >= power, gap > 1
        high, low = np.where(looking & enough, middle, high), np.where(looking & ~enough, middle, low)
    return np.where(reached, high, np.nan)


def spread_of_pairs(spreads: npt.ArrayLike, pairs: npt.ArrayLike) -> float:
    """The typical standard deviation of one pair's difference, from those of several Variants; NaN for none.

    The median over Variants with two pairs or more of s² / (median of its distribution): half of them have a smaller
    one. The mean would be that of the one Variant which trains badly, of which nobody asks for small differences.
    """
    s, n = np.asarray(spreads, dtype=float), np.asarray(pairs, dtype=float)
    s, freedom = s[n >= 2], n[n >= 2] - 1
    if not len(s):
        return float("nan")
    return float(np.sqrt(np.median(s**2 * freedom / stats.chi2.ppf(0.5, freedom))))


def spread_without_pairs(spread: float) -> float:
    """The same from the deviation of the baseline's own seeds: sqrt(2) times that.

    It takes every Variant for as noisy as the baseline and no luck for shared: conservative, since a Variant of the
    same seed shares what it can of init, order and augmentation with its baseline.
    """
    return float(np.sqrt(2) * spread)
