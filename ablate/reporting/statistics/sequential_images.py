"""Tests over seeds and test images of a study that adds seeds until there is a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from ablate.reporting.statistics.crossed import critical, p_value
from ablate.reporting.statistics.looks import Looks
from ablate.reporting.statistics.pairs import Floats, Side
from ablate.reporting.statistics.repeated import RepeatedTests
from ablate.reporting.statistics.shares import Shares


@dataclass(frozen=True, eq=False)
class SequentialSeedsAndImages(RepeatedTests):
    """The test of `SeedsAndImages` for other seeds on other images, looked at with every seed (see `PairedTests`).

    Each look judges the mean of the first n pairs by the two-way analysis of variance; the smallest p of all looks is
    adjusted by `Looks`, the boundary of the test over seeds alone, and the interval is that of the present pairs at the
    level which this boundary leaves a single look. A group with fewer pairs than the first look has no test.

    Why that boundary holds. An interval of `critical` is never shorter than Student's over the same seeds, so where
    images have no share a look is decided only where Student's test decides, and `Looks` is exact for that, whatever
    the spread. The more of the variance is the images', the more do the looks resemble each other, for the images stay
    the same: where they are all of it there is but one look, judged at a smaller level than it would need. What lies
    between is simulated in tests/benchmarks/coverage_images.py: at 5 %, error rates fall from 5 % where images have no
    share to 1 to 2 % where they have most of it. Without the adjustment they are 5 to 16 %.
    """

    shares: Shares
    """(V, looks): of the first n pairs at each look, NaN for looks that are to come."""
    looks: Looks
    alpha: float = 0.05

    @staticmethod
    def of(
        data: pd.DataFrame, baseline: str, names: Sequence[str], looks: Looks, alpha: float = 0.05, unit: float = 1.0
    ) -> SequentialSeedsAndImages:
        """Of the groups ``names``, each with its rows in the order in which seeds are added.

        ``data`` is that of `SeedsAndImages`, ``unit`` what an outcome counts in the metric's unit (100 for percent).
        """
        counts = range(looks.least, looks.most + 1)
        return SequentialSeedsAndImages(Shares.of_first(data, baseline, names, counts, unit), looks, alpha)

    @cached_property
    def n(self) -> npt.NDArray[np.int64]:
        """(V,) pairs with outcomes by image at the newest look; 0 before the first."""
        found: npt.NDArray[np.int64] = self.shares.pairs.max(axis=1, initial=0).astype(np.int64)
        return found

    @cached_property
    def _mean(self) -> Floats:
        return self._now(self.shares.mean)

    @cached_property
    def _zero(self) -> npt.NDArray[np.bool_]:
        found: npt.NDArray[np.bool_] = (self._now(self.shares.still) == 1) & (self._mean == 0)
        return found

    @cached_property
    def _half(self) -> Floats:
        shares = self.shares
        level = np.full(len(shares.mean), self.looks.nominal(self.alpha))
        return critical(level, self._now(shares.seeds), self._now(shares.images), self._now(shares.pairs) - 1)

    def _now(self, values: npt.NDArray[np.generic]) -> Floats:
        """(V,) of (V, looks), at the newest look."""
        newest = np.argmax(self.shares.pairs, axis=1)
        found = np.take_along_axis(values.astype(float), newest[:, None], axis=1)[:, 0]
        return np.where(self.n > 0, found, np.nan)

    def _smallest(self, bound: float, side: Side) -> Floats:
        shares = self.shares
        away = (shares.mean - bound if side == "above" else bound - shares.mean).ravel()
        of_looks = (shares.seeds.ravel(), shares.images.ravel(), shares.pairs.ravel() - 1)
        half = p_value(away, *of_looks) / 2
        p = np.where(away > 0, half, 1 - half).reshape(shares.mean.shape)
        smallest = np.where(np.isnan(p), np.inf, p).min(axis=1)
        return np.where(np.isinf(smallest), np.nan, smallest)
