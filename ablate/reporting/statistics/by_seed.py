"""Contrasts of Variants that are taken within each seed, and judged over the seeds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from ablate.reporting.statistics.intervals import EQUAL, half_width, p_value

Array = npt.NDArray[np.float64]


def over_seeds(contrasts: Array, size: float, level: float = 0.95) -> pd.DataFrame:
    """Mean, Student's interval and t test against 0 of each contrast, one row each.

    ``contrasts`` has a row per seed and a column per contrast, NaN where the seed lacks one of the Trials that it
    takes; ``size`` is the largest metric behind them, which tells rounding from differences.

    Columns: `pairs` (seeds with the contrast), `estimate`, `low`, `high`, `p`. As in `PairedDifference` there is
    neither interval nor p for fewer than two seeds or where all seeds agree, but p = 1 where all are zero.
    """
    known = np.isfinite(contrasts)
    n = known.sum(axis=0)
    filled = np.where(known, contrasts, 0.0)
    mean = np.where(n > 0, filled.sum(axis=0) / np.maximum(n, 1), np.nan)
    squares = np.where(known, contrasts - mean, 0.0) ** 2
    std = np.sqrt(squares.sum(axis=0) / np.maximum(n - 1, 1))
    highest = np.where(known, contrasts, -np.inf).max(axis=0, initial=-np.inf)
    lowest = np.where(known, contrasts, np.inf).min(axis=0, initial=np.inf)
    equal = (n >= 2) & (highest - lowest <= EQUAL * size)
    half = np.where(equal, np.nan, half_width(std, n, level))
    p = np.where(equal, np.where(np.abs(mean) <= EQUAL * size, 1.0, np.nan), p_value(mean, std, n))
    return pd.DataFrame({"pairs": n, "estimate": mean, "low": mean - half, "high": mean + half, "p": p})
