"""Means and Student's intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

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
        half = half_width(table["std"].to_numpy(float), table["n"].to_numpy(int), self.level)
        table["half"] = np.where(high - low <= EQUAL * size, np.nan, half)
        table["low"], table["high"] = table["mean"] - table["half"], table["mean"] + table["half"]
        return table


def half_width(std: npt.NDArray[Any], n: npt.NDArray[Any], level: float) -> npt.NDArray[np.float64]:
    """Half of the width of Student's interval for means of ``n`` values with deviation ``std``; NaN for n < 2."""
    enough = np.maximum(n, 2)
    half = stats.t.ppf(0.5 + level / 2, enough - 1) * std / np.sqrt(enough)
    return np.where(n >= 2, half, np.nan)


def p_value(mean: npt.NDArray[Any], std: npt.NDArray[Any], n: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Of Student's two-sided test of ``mean`` against 0; NaN for n < 2."""
    enough = np.maximum(n, 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(mean) / (std / np.sqrt(enough))
    return np.where(n >= 2, 2 * stats.t.sf(t, enough - 1), np.nan)
