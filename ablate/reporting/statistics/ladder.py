"""A ladder: Variants of which each has one step more than the one before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ablate.reporting.statistics.by_seed import over_seeds, size_of
from ablate.reporting.statistics.families import holm
from ablate.reporting.statistics.paired import StudentTests
from ablate.reporting.statistics.pairs import Judge


@dataclass(frozen=True)
class Ladder:
    """The gain of each rung to the rung before, paired by seed and judged like a difference to the baseline.

    Columns of the result, one row per rung from the foot upwards: `mean`, `low`, `high` (the rung's own mean and its
    interval), `n` (seeds with a result), `gain`, `gain_low`, `gain_high`, `pairs`, `p`, `p_holm` (over the gains of
    this ladder). The foot has no gain. Intervals are not adjusted.

    Gains share rungs, so an unlucky rung lowers one gain and raises the next; each test is right by itself, and Holm's
    method holds however the tests depend on one another.
    """

    judge: Judge = StudentTests

    def __call__(self, values: npt.NDArray[np.float64]) -> pd.DataFrame:
        """``values`` is (seeds, rungs) with NaN where a Trial has no result; at least one rung."""
        size = size_of(values)
        own = over_seeds(values, size, self.judge).rename(columns={"estimate": "mean", "pairs": "n"}).drop(columns="p")
        gains = over_seeds(np.diff(values, axis=1), size, self.judge)
        gains = gains.rename(columns={"estimate": "gain", "low": "gain_low", "high": "gain_high"})
        gains["p_holm"] = holm(gains["p"])
        gains.index = gains.index + 1
        gains = gains.reindex(own.index)
        gains["pairs"] = gains["pairs"].fillna(0).astype(int)
        return own.join(gains)

    def total(self, values: npt.NDArray[np.float64]) -> pd.DataFrame:
        """The top rung less the foot, paired by seed: one row with the columns of `over_seeds`."""
        return over_seeds((values[:, -1] - values[:, 0])[:, None], size_of(values), self.judge)
