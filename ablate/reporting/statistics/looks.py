"""P values of results that were looked at again and again while they grew.

Whoever adds seeds until a test is significant will find significance. Here each look at n = least, ..., most pairs
gives a p value of Student's test, the smallest so far is kept, and what is reported is the probability that the
smallest of *all* looks falls so low where there is no effect. That holds whenever and for whatever reason one stops,
because the smallest of the looks that were taken is never below the smallest of all. So p values of many comparisons,
each of which stopped when it pleased and perhaps because of the others, can be put into Holm's procedure like any
others.

The distribution of the smallest p value does not depend on mean or spread (normal differences), only on the looks, and
is simulated once with a fixed seed. It is Pocock's boundary (Biometrika 64, 1977, 191-199) on the scale of p values
for a spread that is not known, and `Looks.nominal` makes of it the repeated confidence intervals of Jennison and
Turnbull (JRSS B 51, 1989, 305-361).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import stats

Array = npt.NDArray[np.float64]
_SIMULATIONS, _AT_ONCE = 200_000, 20_000


@dataclass(frozen=True)
class Looks:
    """Looks at ``least``, ``least`` + 1, ..., ``most`` pairs; 2 <= ``least`` <= ``most``."""

    least: int
    most: int

    def adjusted(self, smallest: npt.ArrayLike, *, sides: int = 2) -> Array:
        """The p value that a smallest p of all looks so far is worth; NaN stays NaN.

        ``sides`` says whether the looks' own p values were two-sided or one-sided. Two standard errors of the
        simulation are added, and nothing is above Bonferroni's bound, the number of looks times the smallest.
        """
        values = np.asarray(smallest, dtype=float)
        drawn = _smallest(self, sides)
        below = np.searchsorted(drawn, np.nan_to_num(values, nan=1.0), side="right")
        simulated = (below + 2 * np.sqrt(below + 1)) / len(drawn)
        bound = np.minimum(values * (self.most - self.least + 1), 1.0)
        return np.where(np.isnan(values), np.nan, np.maximum(np.minimum(simulated, bound), values))

    def nominal(self, alpha: float, *, sides: int = 2) -> float:
        """The level at which each look may be judged so that all of them together keep ``alpha``.

        The t interval at one minus this level covers at every look at once with probability 1 - ``alpha``.
        """
        low, high = alpha / (self.most - self.least + 1), alpha
        for _ in range(60):
            middle = np.sqrt(low * high)
            low, high = (middle, high) if float(self.adjusted(middle, sides=sides)) <= alpha else (low, middle)
        return float(low)


@lru_cache(maxsize=8)
def _smallest(looks: Looks, sides: int) -> Array:
    """Sorted smallest p values of simulated sequences without an effect."""
    generator = np.random.default_rng([looks.least, looks.most, 20])
    n = np.arange(looks.least, looks.most + 1)
    drawn = []
    for _ in range(_SIMULATIONS // _AT_ONCE):
        values = generator.standard_normal((_AT_ONCE, looks.most))
        total, squares = values.cumsum(axis=1)[:, n - 1], (values**2).cumsum(axis=1)[:, n - 1]
        t = total / np.sqrt(n * np.maximum(squares - total**2 / n, 0.0) / (n - 1))
        drawn.append(_smallest_p(np.abs(t) if sides == 2 else t, n))
    return np.sort(np.concatenate(drawn)) * (2 if sides == 2 else 1)


def _smallest_p(t: Array, n: npt.NDArray[np.int_]) -> Array:
    """One-sided p value of the most extreme look in each row of ``t``, (rows, looks)."""
    # Student's tail is slow for millions of values; its logarithm is all but straight on a fine grid.
    grid = np.linspace(0.0, np.arcsinh(1e4), 4_000)
    at = np.arcsinh(np.abs(t))
    smallest = np.full(len(t), np.inf)
    for column, pairs in enumerate(n):
        tail = np.exp(np.interp(at[:, column], grid, stats.t.logsf(np.sinh(grid), pairs - 1)))
        smallest = np.minimum(smallest, np.where(t[:, column] >= 0, tail, 1.0 - tail))
    return smallest
