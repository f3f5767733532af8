"""Contrasts of Variants that are taken within each seed, and judged over the seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ablate.reporting.statistics.pairs import Floats, Judge, Pairs


def over_seeds(contrasts: Floats, size: float, judge: Judge) -> pd.DataFrame:
    """Mean, interval and test against 0 of each contrast, one row each.

    ``contrasts`` has a row per seed, in their order, and a column per contrast, NaN where the seed lacks one of the
    Trials that it takes; ``size`` is the largest metric behind them, which tells rounding from differences.

    Columns: `pairs` (seeds with the contrast), `estimate`, `low`, `high`, `p`.
    """
    pairs = Pairs.of_contrasts(contrasts, size)
    tests = judge(pairs)
    return pd.DataFrame(
        {"pairs": pairs.n, "estimate": pairs.mean, "low": tests.low, "high": tests.high, "p": tests.p}, pairs.names
    )


def size_of(*values: Floats) -> float:
    """The largest metric, which tells rounding from differences; 0 where there is none."""
    return max(float(np.nanmax(np.abs(own), initial=0.0)) for own in values)
