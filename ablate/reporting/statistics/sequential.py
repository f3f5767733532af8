"""Paired tests of a study that adds seeds until there is a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import special

from ablate.reporting.statistics.intervals import EQUAL, half_width
from ablate.reporting.statistics.looks import Looks
from ablate.reporting.statistics.pairs import Floats, Pairs, Side


@dataclass(frozen=True, eq=False)
class SequentialTests:
    """Student's t over pairs whose number was not fixed beforehand (see `PairedTests`).

    P values are those of `Looks`: they keep their meaning however often one has looked and for whatever reason one has
    stopped, given that differences are normal and that each look took the pairs in the order of the seeds. The interval
    is the repeated confidence interval at the pairs there are now: wider than Student's, and right at every look at
    once. A group with fewer pairs than the first look has no test.
    """

    pairs: Pairs
    looks: Looks
    alpha: float = 0.05

    @cached_property
    def low(self) -> Floats:
        """Lower end of the repeated interval, (V,)."""
        return self.pairs.mean - self._half

    @cached_property
    def high(self) -> Floats:
        """Upper end, (V,)."""
        return self.pairs.mean + self._half

    @cached_property
    def p(self) -> Floats:
        """Two-sided, of no difference, adjusted for the looks so far, (V,)."""
        smallest = np.minimum(self._smallest(0.0, "above"), self._smallest(0.0, "below"))
        return np.where(self.pairs.zero, 1.0, self.looks.adjusted(np.minimum(2 * smallest, 1.0)))

    @cached_property
    def sign(self) -> Floats:
        """Of the mean difference at the look with the smallest p, which need not be the last one, (V,)."""
        above, below = self._smallest(0.0, "above"), self._smallest(0.0, "below")
        return np.where(np.isnan(above), 0.0, np.where(above <= below, 1.0, -1.0))

    def p_beyond(self, bound: float, side: Side) -> Floats:
        """One-sided against ``bound``, adjusted for the looks so far, (V,)."""
        return self.looks.adjusted(self._smallest(bound, side), sides=1)

    @cached_property
    def _half(self) -> Floats:
        level = 1 - self.looks.nominal(self.alpha)
        half = half_width(self.pairs.std, self.pairs.n, level)
        return np.where(self.pairs.equal | (self.pairs.n < self.looks.least), np.nan, half)

    @cached_property
    def _summaries(self) -> tuple[Floats, Floats]:
        """Mean and deviation of the first n pairs at each look, both (V, looks); NaN for looks that are to come."""
        values = self.pairs.values
        gap = np.isnan(values)
        # Pairs with a result first, in the order of the seeds: a failed seed is no look.
        packed = np.take_along_axis(values, np.argsort(gap, axis=1, kind="stable"), axis=1)
        means, deviations = [], []
        for n in range(self.looks.least, self.looks.most + 1):
            first = packed[:, :n]
            there = first.shape[1] == n
            mean = first.mean(axis=1) if there else np.full(len(values), np.nan)
            std = first.std(axis=1, ddof=1) if there else mean
            means.append(mean)
            deviations.append(np.where(std <= EQUAL * self.pairs.size, np.nan, std))
        return np.stack(means, axis=1), np.stack(deviations, axis=1)

    def _smallest(self, bound: float, side: Side) -> Floats:
        """The smallest one-sided p of the looks so far, (V,); NaN before the first, or without a spread."""
        mean, std = self._summaries
        n = np.arange(self.looks.least, self.looks.most + 1)
        t = (mean - bound) / (std / np.sqrt(n))
        p = special.stdtr(n - 1, -t if side == "above" else t)
        smallest = np.where(np.isnan(p), np.inf, p).min(axis=1)
        return np.where(np.isinf(smallest), np.nan, smallest)
