"""Many comparisons at once: adjusted p values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats


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
