"""Shapley shares: what each Factor contributes to the difference that all changes make together."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ablate.reporting.statistics.by_seed import over_seeds, size_of
from ablate.reporting.statistics.paired import StudentTests
from ablate.reporting.statistics.pairs import Judge

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ShapleyShares:
    """Shares of a fully crossed study, exact over all subsets of its Factors, with intervals over seeds.

    A subset's value is the metric with the Factors of the subset changed and all others at their reference. A Factor's
    share is what changing it adds, averaged over all orders in which the Factors can be changed (Shapley, "A value for
    n-person games", 1953). Shares are symmetric, linear, zero for a Factor that changes nothing anywhere, and add up to
    the difference between everything changed and the baseline.

    A Factor of several Levels has a share for each: its Level is the change, and where another Factor is changed, the
    subset's value is the mean over that Factor's own Levels. The mean of a Factor's shares over its Levels, summed over
    Factors, is then the mean difference of the Variants in which every Factor is changed.

    The result has one row per Factor and Level in order: `factor` and `level` (their places, from 0 and from 1), and
    the columns of `over_seeds`: `pairs`, `estimate`, `low`, `high`, `p`. Only seeds with all results count.
    """

    judge: Judge = StudentTests

    def __call__(self, table: Array) -> pd.DataFrame:
        """``table`` is (seeds, Levels of the first Factor, Levels of the second, ...), the reference at place 0."""
        places = [(f, k) for f in range(table.ndim - 1) for k in range(1, table.shape[f + 1])]
        shares = np.stack([share(_two_levels(table, f, k), f) for f, k in places], axis=1)
        # A share does not take the other Levels of its own Factor, but only shares of the same seeds add up.
        shares[~_complete(table)] = np.nan
        found = over_seeds(shares, size_of(table), self.judge)
        found.insert(0, "level", [k for _, k in places])
        found.insert(0, "factor", [f for f, _ in places])
        return found

    def total(self, table: Array) -> pd.DataFrame:
        """Everything changed less the baseline: one row with the columns of `over_seeds`."""
        seeds = _two_levels(table).reshape(len(table), -1)
        total = np.where(_complete(table), seeds[:, -1] - seeds[:, 0], np.nan)
        return over_seeds(total[:, None], size_of(table), self.judge)


def share(values: Array, player: int) -> Array:
    """One Factor's share for each seed; ``values`` is (seeds, 2, 2, ...), place 1 of an axis is the change.

    NaN for a seed that lacks a value. With k Factors it takes all 2^k values, in O(2^k).
    """
    factors = values.ndim - 1
    without, changed = np.take(values, 0, axis=player + 1), np.take(values, 1, axis=player + 1)
    others = np.indices((2,) * (factors - 1)).sum(axis=0) if factors > 1 else np.zeros((), dtype=int)
    weights = np.array([1 / (factors * math.comb(factors - 1, s)) for s in range(factors)])[others]
    added = (changed - without).reshape(len(values), -1)
    return np.asarray(added @ weights.reshape(-1))


def _two_levels(table: Array, player: int | None = None, level: int = 1) -> Array:
    """Each axis reduced to reference and change: of ``player`` one Level, of others the mean of all that change."""
    for axis in range(1, table.ndim):
        rest = np.take(table, [level] if axis - 1 == player else range(1, table.shape[axis]), axis=axis)
        table = np.concatenate([np.take(table, [0], axis=axis), rest.mean(axis=axis, keepdims=True)], axis=axis)
    return table


def _complete(table: Array) -> npt.NDArray[np.bool_]:
    """(seeds,) whether a seed has all results."""
    return np.asarray(np.isfinite(table).reshape(len(table), -1).all(axis=1))
