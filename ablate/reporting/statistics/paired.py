"""Differences to the baseline, paired by seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from ablate.reporting.statistics.families import holm
from ablate.reporting.statistics.intervals import EQUAL, half_width, p_value
from ablate.reporting.statistics.verdicts import HELPS, HURTS, UNSURE


@dataclass(frozen=True)
class PairedDifference:
    """Difference of each group to the baseline, paired (by seed), with Student's paired t test.

    Columns of the result, indexed by group without the baseline: `pairs`, `difference`, `difference_half`,
    `difference_low`, `difference_high` (unadjusted interval), `p` (two-sided), `p_holm` (over all groups of
    the data), `verdict` and `reason` (why there is no test, where there is none).

    The verdict is `helps` or `hurts` where `p_holm` < `alpha`, by the metric's direction, otherwise
    `not enough evidence`. With fewer than two pairs, or where all differences are equal, there is neither
    interval nor p; only differences that are all zero have p = 1.
    """

    baseline: str
    direction: Literal["maximize", "minimize"]
    level: float = 0.95
    alpha: float = 0.05

    def pairs(self, data: pd.DataFrame, value: str = "metric", by: str = "variant", pair: str = "seed") -> pd.DataFrame:
        """The single differences, long: `by`, `pair`, `difference`; only pairs with both values.

        Raises ValueError where one group has two rows of the same pair.
        """
        wide = data.pivot(index=pair, columns=by, values=value)
        order = [name for name in data[by].unique() if name != self.baseline]
        delta = wide[order].sub(wide[self.baseline], axis=0)
        return delta.melt(ignore_index=False, value_name="difference").dropna().reset_index()[[by, pair, "difference"]]

    def __call__(
        self, data: pd.DataFrame, value: str = "metric", by: str = "variant", pair: str = "seed"
    ) -> pd.DataFrame:
        """Compare every distinct `data[by]` with the baseline; `data[value]` is finite or NaN."""
        order = [name for name in data[by].unique() if name != self.baseline]
        groups = self.pairs(data, value, by, pair).groupby(by)["difference"]
        empty = pd.Index(order, name=by)
        n = groups.count().reindex(empty, fill_value=0)
        mean, std = groups.mean().reindex(empty), groups.std().reindex(empty)
        spread = (groups.max() - groups.min()).reindex(empty).to_numpy(float)
        size = data[value].abs().groupby(data[by]).max()
        scale = np.fmax(size.reindex(empty).to_numpy(float), float(size.get(self.baseline, np.nan)))
        equal = (n.to_numpy(int) >= 2) & (spread <= EQUAL * scale)
        half = np.where(equal, np.nan, half_width(std.to_numpy(float), n.to_numpy(int), self.level))
        p = np.where(equal, np.nan, p_value(mean.to_numpy(float), std.to_numpy(float), n.to_numpy(int)))
        p = np.where(equal & (np.abs(mean.to_numpy(float)) <= EQUAL * scale), 1.0, p)
        table = pd.DataFrame({"pairs": n, "difference": mean, "difference_half": half}, index=empty)
        table["difference_low"], table["difference_high"] = mean - half, mean + half
        table["p"], table["p_holm"] = p, holm(p)
        table["verdict"] = [self._verdict(d, q) for d, q in zip(mean, table["p_holm"], strict=True)]
        any_baseline = bool(data.loc[data[by] == self.baseline, value].notna().any())
        table["reason"] = [_reason(k, e, any_baseline) for k, e in zip(n, equal, strict=True)]
        return table

    def _verdict(self, difference: float, p_holm: float) -> str:
        if not p_holm < self.alpha:
            return UNSURE
        return HELPS if (difference > 0) == (self.direction == "maximize") else HURTS


def _reason(pairs: int, equal: bool, any_baseline: bool) -> str:
    if not any_baseline:
        return "the baseline has no result"
    if pairs < 2:
        return "no pair of seeds" if pairs == 0 else "one pair of seeds"
    return "all pairs differ by the same amount: no spread to judge by" if equal else ""
