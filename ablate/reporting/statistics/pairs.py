"""Differences to the baseline, seed by seed, and what a test of them has to tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from ablate.reporting.statistics.intervals import EQUAL

Floats = npt.NDArray[np.float64]
Side = Literal["above", "below"]


@dataclass(frozen=True, eq=False)
class Pairs:
    """The differences of V groups to the baseline in each of S pairs, and their plain summaries."""

    names: pd.Index[Any]
    """(V,) the groups, in the data's order, without the baseline."""
    values: Floats
    """(V, S) group less baseline, in the data's order of pairs; NaN where one of both has no value."""
    size: Floats
    """(V,) the largest |value| of the group and the baseline: what rounding is relative to."""
    any_baseline: bool
    """Whether the baseline has any value."""

    @staticmethod
    def of(data: pd.DataFrame, baseline: str, value: str = "metric", by: str = "variant", pair: str = "seed") -> Pairs:
        """From long data: `by`, `pair` and `value`, which is finite or NaN.

        Raises ValueError where one group has two rows of the same pair.
        """
        wide = data.pivot(index=by, columns=pair, values=value).reindex(columns=data[pair].unique())
        names = pd.Index([name for name in data[by].unique() if name != baseline], name=by)
        own, reference = wide.loc[names].to_numpy(float), wide.loc[baseline].to_numpy(float)
        size = np.fmax(largest(np.abs(own)), largest(np.abs(reference[None]))[0])
        return Pairs(names, own - reference, size, bool(np.isfinite(reference).any()))

    @staticmethod
    def of_contrasts(values: Floats, size: float | Floats) -> Pairs:
        """Any contrasts of Trials within a seed, (S, V): gains of a ladder, shares, interactions, or plain values.

        ``size`` is the largest |metric| behind them, or (V,) of each.
        """
        groups = pd.RangeIndex(values.shape[1])
        return Pairs(groups, values.T, np.broadcast_to(np.asarray(size, dtype=float), len(groups)), any_baseline=True)

    @cached_property
    def n(self) -> npt.NDArray[np.int64]:
        """(V,) pairs with both values."""
        counts: npt.NDArray[np.int64] = self._known.sum(axis=1)
        return counts

    @cached_property
    def mean(self) -> Floats:
        """(V,) mean difference; NaN without a pair."""
        return np.where(self.n > 0, self._filled.sum(axis=1) / np.maximum(self.n, 1), np.nan)

    @cached_property
    def std(self) -> Floats:
        """(V,) standard deviation of the differences (n - 1); NaN for fewer than two pairs."""
        squares = np.where(self._known, (self._filled - self.mean[:, None]) ** 2, 0.0).sum(axis=1)
        return np.where(self.n > 1, np.sqrt(squares / np.maximum(self.n - 1, 1)), np.nan)

    @cached_property
    def equal(self) -> npt.NDArray[np.bool_]:
        """(V,) whether two or more pairs differ by the same amount, up to rounding: no spread to judge by."""
        spread = largest(self.values) + largest(-self.values)
        found: npt.NDArray[np.bool_] = (self.n > 1) & (spread <= EQUAL * self.size)
        return found

    @cached_property
    def zero(self) -> npt.NDArray[np.bool_]:
        """(V,) whether all of two or more differences are zero, up to rounding."""
        return self.equal & (np.abs(self.mean) <= EQUAL * self.size)

    def superiority(self, direction: Literal["maximize", "minimize"]) -> Floats:
        """(V,) share of the pairs in which the group is better, ties half; NaN without a pair.

        It estimates the probability that a new pair is won (McGraw and Wong, Psychological Bulletin 111, 1992, 361-365,
        who call it the common language effect size; here within pairs).
        """
        better = self._filled if direction == "maximize" else -self._filled
        tie = np.abs(better) <= EQUAL * self.size[:, None]
        won = np.where(self._known, np.where(tie, 0.5, better > 0), 0.0).sum(axis=1)
        return np.where(self.n > 0, won / np.maximum(self.n, 1), np.nan)

    @cached_property
    def _known(self) -> npt.NDArray[np.bool_]:
        return ~np.isnan(self.values)

    @cached_property
    def _filled(self) -> Floats:
        return np.where(self._known, self.values, 0.0)


class PairedTests(Protocol):
    """What a test of differences by pair tells, whatever the test is: arrays (V,), NaN where it cannot tell.

    A study with a fixed number of seeds is judged by `StudentTests`. One that adds seeds by its results needs a test
    whose error rate holds under its stopping rule, with the same four answers.
    """

    @property
    def low(self) -> Floats:
        """Lower end of the interval of the true mean difference."""

    @property
    def high(self) -> Floats:
        """Upper end."""

    @property
    def p(self) -> Floats:
        """Two-sided, of no difference."""

    @property
    def sign(self) -> Floats:
        """Of the difference that ``p`` speaks of: 1, -1, or 0 where it is neither."""

    def p_beyond(self, bound: float, side: Side) -> Floats:
        """One-sided: small where the true difference lies above, or below, ``bound``."""


#: How differences by pair are judged: `StudentTests`, or a test with its settings filled in.
Judge = Callable[[Pairs], PairedTests]


def largest(values: Floats) -> Floats:
    """(V,) of values (V, S), gaps aside; -inf where there is nothing but gaps."""
    found: Floats = np.where(np.isnan(values), -np.inf, values).max(axis=1, initial=-np.inf)
    return found
