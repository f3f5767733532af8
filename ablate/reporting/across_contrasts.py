"""The difference between two studies in one quantity, each known by its seeds: paired where they share seeds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

#: Values closer together than this, relative to their size, count as equal: it is rounding that parts them.
_EQUAL = 1e-9
PAIRED, WELCH = "paired by seed", "Welch"


class Contrast(NamedTuple):
    """Second study less first; NaN where nothing can be said, and then `reason` says why."""

    estimate: float
    low: float
    high: float
    p: float
    """Two-sided, not adjusted."""
    pairs: int
    """Seeds in which both studies have the quantity."""
    test: str
    """`PAIRED` or `WELCH`; empty where there is neither interval nor p."""
    reason: str


def contrast(first: pd.Series[float], second: pd.Series[float], level: float = 0.95) -> Contrast:
    """Compare a quantity of two studies, each a Series by seed without NaN.

    Over the seeds that both have, a paired t test of their differences: where the studies share luck (data order,
    initial weights) it has less noise than two samples have, and where they do not it is still right, with fewer
    degrees of freedom. Where no seed is in both, Welch's t test (Biometrika 34, 1947, 28-35), whose two samples
    are then independent. A single common seed allows neither.
    """
    common = first.index.intersection(second.index)
    if len(common) == 0 and len(first) and len(second):
        return _welch(first, second, level)
    delta = (second[common] - first[common]).to_numpy(float)
    estimate = float(delta.mean()) if len(delta) else float("nan")
    if len(delta) < 2:
        missing = "no result in " + ("both studies" if len(first) == len(second) == 0 else "one of the studies")
        return _untested(estimate, len(delta), "one pair of seeds" if len(delta) else missing)
    scale = max(np.abs(first[common]).max(), np.abs(second[common]).max())
    if delta.max() - delta.min() <= _EQUAL * scale:
        zero = abs(estimate) <= _EQUAL * scale
        reason = "no difference in any seed" if zero else "all pairs differ by the same amount"
        return _untested(estimate, len(delta), reason)
    found = stats.ttest_1samp(delta, 0.0)
    low, high = found.confidence_interval(level)
    return Contrast(estimate, float(low), float(high), float(found.pvalue), len(delta), PAIRED, "")


def _welch(first: pd.Series[float], second: pd.Series[float], level: float) -> Contrast:
    estimate = float(second.mean() - first.mean())
    if min(len(first), len(second)) < 2:
        return _untested(estimate, 0, "no seed in common, and fewer than two in one of the studies")
    scale = max(first.abs().max(), second.abs().max())
    if max(np.ptp(first.to_numpy(float)), np.ptp(second.to_numpy(float))) <= _EQUAL * scale:
        return _untested(estimate, 0, "no spread to judge by")
    found = stats.ttest_ind(second.to_numpy(float), first.to_numpy(float), equal_var=False)
    low, high = found.confidence_interval(level)
    return Contrast(estimate, float(low), float(high), float(found.pvalue), 0, WELCH, "")


def _untested(estimate: float, pairs: int, reason: str) -> Contrast:
    nothing = float("nan")
    return Contrast(estimate, nothing, nothing, nothing, pairs, "", reason)
