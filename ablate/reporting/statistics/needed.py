"""How many more seeds a study that grows needs before its repeated test probably decides."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from ablate.reporting.statistics.looks import Looks
from ablate.reporting.statistics.pairs import Floats, Pairs

#: No maximum beyond this is looked for.
FURTHEST = 100
#: Futures of one comparison, which tell the chance of a verdict to 1.3 points, and sequences without an effect, which
#: tell the boundaries of maxima that are not the study's own.
_FUTURES, _SEQUENCES = 1_000, 20_000
_Mask = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


class Further(NamedTuple):
    """What would probably settle each of V comparisons, (V,); NaN where nothing up to `FURTHEST` pairs would."""

    seeds: Floats
    """Pairs beyond those there are."""
    most: Floats
    """The maximum that the study would have to name for that; NaN where its own leaves room enough."""


@dataclass(frozen=True)
class FurtherSeeds:
    """Further pairs after which the tests of `SequentialTests` have decided with the chance ``power``.

    The present pairs are kept as they are and continued by normal ones with their mean and deviation, as in stochastic
    curtailment under the current trend (Lan and Wittes, Biometrics 44, 1988, 579-585); what counts is that any look so
    far has decided: by the two-sided test of no difference, or by both one-sided tests against ``margin``. ``level`` is
    that of one comparison over all looks: alpha / comparisons at the first step of Holm's method.

    Where the study's maximum is too small, or reached, ``most`` says which larger one would do. That is another
    boundary: each look is then judged at the smaller level that the larger maximum leaves it, the looks so far among
    them. The error rate is that of a study which named this maximum beforehand: one that is raised because a verdict is
    open has been chosen by the results, and its error rate is somewhat larger.
    """

    looks: Looks
    level: float
    margin: float | None = None
    power: float = 0.8

    def __call__(self, pairs: Pairs, lost: npt.NDArray[np.int64] | None = None) -> Further:
        """Of each comparison with two pairs or more and a spread; a decided one is not told from an open one.

        ``lost`` (V,) are seeds that have ended without a pair: they count against the maximum, and are no look.
        """
        seeds, most = np.full(len(pairs.n), np.nan), np.full(len(pairs.n), np.nan)
        gone = np.zeros(len(pairs.n), dtype=np.int64) if lost is None else lost
        for row in np.flatnonzero((pairs.n > 1) & ~pairs.equal):
            values = pairs.values[row]
            seeds[row], most[row] = self._of(values[~np.isnan(values)], int(gone[row]))
        return Further(seeds, most)

    def _of(self, values: Floats, lost: int) -> tuple[float, float]:
        """Further pairs and, where it takes another one, the maximum."""
        n, own = len(values), self.looks.most
        room = own - lost - n
        if room > 0:
            decided = self._decided(_Continued(values, own), self.looks)[:room]
            if enough := np.flatnonzero(decided >= self.power).tolist():
                return float(enough[0] + 1), np.nan
        low, high = max(n + lost, own), FURTHEST
        if low >= high:
            return np.nan, np.nan
        futures = _Continued(values, high)
        if self._chance(futures, high, lost) < self.power:
            return np.nan, np.nan
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._chance(futures, middle, lost) >= self.power else (middle, high)
        return float(high - lost - n), float(high)

    def _chance(self, futures: _Continued, most: int, lost: int) -> float:
        return float(self._decided(futures, Looks(self.looks.least, most))[-1 - lost])

    def _decided(self, futures: _Continued, looks: Looks) -> Floats:
        """Share of the futures that have decided, by the number of further pairs: (looks.most - n,)."""
        own = looks == self.looks
        two = looks.nominal(self.level) if own else float(boundaries(looks.least, self.level, 2)[looks.most])
        decided = futures.beyond(0.0, 1, two / 2, looks) | futures.beyond(0.0, -1, two / 2, looks)
        if self.margin is not None:
            one = looks.nominal(self.level, sides=1) if own else boundaries(looks.least, self.level, 1)[looks.most]
            above = futures.beyond(-self.margin, 1, float(one), looks)
            decided |= above & futures.beyond(self.margin, -1, float(one), looks)
        return np.asarray(decided.mean(axis=0), dtype=float)


class _Continued:
    """Pairs (n,) and many ways in which they may go on, up to ``most``."""

    def __init__(self, values: Floats, most: int) -> None:
        self._n = len(values)
        self._past = values
        mean, std = values.mean(), values.std(ddof=1)
        # The same draws for every comparison: what one needs does not depend on which others there are.
        drawn = std * np.random.default_rng([20, 1]).standard_normal((FURTHEST, _FUTURES))[: most - self._n].T
        count = np.arange(self._n + 1, most + 1)
        total, squares = drawn.cumsum(axis=1), (drawn**2).cumsum(axis=1) + (self._n - 1) * std**2
        self._mean = mean + total / count
        self._error = np.sqrt(np.maximum(squares - total**2 / count, 0.0) / (count - 1) / count)

    def beyond(self, bound: float, side: int, level: float, looks: Looks) -> _Mask:
        """Whether a look so far has shown, one-sided at ``level``, that the mean lies above (1) or below (-1) it.

        (futures, looks.most - n): in each future, by the number of further pairs. What a look in the past has shown is
        shown in all of them.
        """
        count = np.arange(self._n + 1, looks.most + 1)
        critical = np.where(count >= looks.least, stats.t.isf(level, count - 1), np.inf)
        ahead = len(count)
        found: _Mask = side * (self._mean[:, :ahead] - bound) > critical * self._error[:, :ahead]
        for n in range(looks.least, min(self._n, looks.most) + 1):
            first = self._past[:n]
            error = first.std(ddof=1) / np.sqrt(n)
            if side * (first.mean() - bound) > stats.t.isf(level, n - 1) * error > 0:
                return np.ones_like(found)
        return np.logical_or.accumulate(found, axis=1)


@lru_cache(maxsize=8)
def boundaries(least: int, level: float, sides: int) -> Floats:
    """As `Looks.nominal`, for every maximum up to `FURTHEST` at once: indexed by it, (FURTHEST + 1,).

    By fewer sequences than there: to 12 % of the level where it is 5 % / 14, and closer where it is more.
    """
    n = np.arange(least, FURTHEST + 1)
    values = np.random.default_rng([least, FURTHEST, 21]).standard_normal((_SEQUENCES, FURTHEST))
    total, squares = values.cumsum(axis=1)[:, n - 1], (values**2).cumsum(axis=1)[:, n - 1]
    t = total / np.sqrt(n * np.maximum(squares - total**2 / n, 0.0) / (n - 1))
    tail = special.stdtr(n - 1, -np.abs(t) if sides == 2 else -t) * sides
    smallest = np.minimum.accumulate(tail, axis=1)
    found = np.full(FURTHEST + 1, np.nan)
    found[least:] = np.maximum(np.quantile(smallest, level, axis=0), level / (n - least + 1))
    return found
