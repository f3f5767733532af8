"""Paired tests of a study that adds seeds until there is a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import special

from ablate.reporting.statistics.intervals import EQUAL, half_width
from ablate.reporting.statistics.looks import Looks
from ablate.reporting.statistics.pairs import Floats, Pairs, Side
from ablate.reporting.statistics.repeated import RepeatedTests


@dataclass(frozen=True, eq=False)
class SequentialTests(RepeatedTests):
    """Student's t over pairs whose number was not fixed beforehand (see `PairedTests`).

    P values are those of `Looks`: they keep their meaning however often one has looked and for whatever reason one has
    stopped, given that differences are normal and that each look took the pairs in the order of the seeds. The interval
    is the repeated confidence interval at the pairs there are now: wider than Student's, and right at every look at
    once. A group with fewer pairs than the first look has no test.
    """

    pairs: Pairs
    looks: Looks
    alpha: float = 0.05

    @property
    def _mean(self) -> Floats:
        return self.pairs.mean

    @property
    def _zero(self) -> npt.NDArray[np.bool_]:
        return self.pairs.zero

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
        mean, std = self._summaries
        n = np.arange(self.looks.least, self.looks.most + 1)
        t = (mean - bound) / (std / np.sqrt(n))
        p = special.stdtr(n - 1, -t if side == "above" else t)
        smallest = np.where(np.isnan(p), np.inf, p).min(axis=1)
        return np.where(np.isinf(smallest), np.nan, smallest)
