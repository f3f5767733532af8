"""Statistics as small frozen objects: a DataFrame in, a DataFrame out.

Values that are NaN are Trials without a result. They are counted as planned and never replaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

HELPS, HURTS, UNSURE = "helps", "hurts", "not enough evidence"
#: Values closer together than this, relative to their size, count as equal: it is rounding that parts them.
EQUAL = 1e-9


@dataclass(frozen=True)
class MeanInterval:
    """Mean and two-sided t interval of each group.

    Columns of the result, indexed by group in order of appearance: `planned` (rows), `n` (rows with a value),
    `mean`, `std` (n - 1), `half`, `low`, `high`. The interval is NaN where no spread can be estimated: n < 2,
    or all values equal. Then a t interval would have width zero and claim a certainty that nobody has.
    """

    level: float = 0.95

    def __call__(self, data: pd.DataFrame, value: str = "metric", by: str = "variant") -> pd.DataFrame:
        """Summarise `data[value]`, finite or NaN, for each distinct `data[by]`."""
        groups = data.groupby(by, sort=False)[value]
        table = pd.DataFrame(
            {"planned": groups.size(), "n": groups.count(), "mean": groups.mean(), "std": groups.std()}
        )
        low, high = groups.min().to_numpy(float), groups.max().to_numpy(float)
        size = np.maximum(np.abs(low), np.abs(high))
        half = _half_width(table["std"].to_numpy(float), table["n"].to_numpy(int), self.level)
        table["half"] = np.where(high - low <= EQUAL * size, np.nan, half)
        table["low"], table["high"] = table["mean"] - table["half"], table["mean"] + table["half"]
        return table


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
        half = np.where(equal, np.nan, _half_width(std.to_numpy(float), n.to_numpy(int), self.level))
        p = np.where(equal, np.nan, _p_value(mean.to_numpy(float), std.to_numpy(float), n.to_numpy(int)))
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


def holm(p: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Holm's step-down adjusted p values (Scandinavian Journal of Statistics 6, 1979, 65-70).

    A NaN is a planned comparison without a test. It counts in the family as if its p were 1, so that no
    verdict gets stronger because another Variant failed, and it stays NaN.
    """
    values = np.asarray(p, dtype=float)
    filled = np.where(np.isnan(values), 1.0, values)
    order = np.argsort(filled, kind="stable")
    steps = np.maximum.accumulate(filled[order] * np.arange(len(filled), 0, -1))
    adjusted = np.empty_like(filled)
    adjusted[order] = np.minimum(steps, 1.0)
    return np.where(np.isnan(values), np.nan, adjusted)


def first_step(comparisons: int, pairs: int, alpha: float = 0.05) -> float:
    """The |t| that the clearest of `comparisons` must exceed for Holm's first step; `pairs` and `comparisons` >= 1.

    Where none exceeds it, no Variant has a verdict. Divided by the root of `pairs` it is the mean difference in
    standard deviations of the paired differences. NaN for a single pair.
    """
    return float(stats.t.isf(alpha / comparisons / 2, pairs - 1)) if pairs >= 2 else float("nan")


def _half_width(std: npt.NDArray[Any], n: npt.NDArray[Any], level: float) -> npt.NDArray[np.float64]:
    enough = np.maximum(n, 2)
    half = stats.t.ppf(0.5 + level / 2, enough - 1) * std / np.sqrt(enough)
    return np.where(n >= 2, half, np.nan)


def _p_value(mean: npt.NDArray[Any], std: npt.NDArray[Any], n: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    enough = np.maximum(n, 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(mean) / (std / np.sqrt(enough))
    return np.where(n >= 2, 2 * stats.t.sf(t, enough - 1), np.nan)


def _reason(pairs: int, equal: bool, any_baseline: bool) -> str:
    if not any_baseline:
        return "the baseline has no result"
    if pairs < 2:
        return "no pair of seeds" if pairs == 0 else "one pair of seeds"
    return "all pairs differ by the same amount: no spread to judge by" if equal else ""
