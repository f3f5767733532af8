"""The BCa bootstrap interval of a mean, for many groups at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations
from math import comb, lgamma

import numpy as np
import numpy.typing as npt
from scipy import special, stats

Floats = npt.NDArray[np.float64]

#: Fewer values than this have no interval: it would hold the truth too seldom (`BootstrapMean` says how often).
FEWEST = 6
#: Up to so many values every resample is counted; beyond, so many are drawn, the same for every group.
COUNTED, DRAWN = 7, 5000
_SEED = 20260101
#: Groups whose resamples are in memory together, 20 MB an array.
AT_ONCE = 500


@dataclass(frozen=True)
class BootstrapMean:
    """Bias-corrected and accelerated interval (Efron, JASA 82, 1987, 171-185) of the mean of few values.

    With few values the BCa interval is too short, for the deviation of a resample is that of n and not of n - 1 degrees
    of freedom, and its quantiles are normal ones. With ``expanded`` the normal quantile is therefore replaced by
    sqrt(n / (n - 1)) times Student's, as Hesterberg does for the percentile interval (American Statistician 69, 2015,
    371-386). Of 40,000 samples each, 95 % intervals then hold the true mean in so many percent:

        n                                      3   4   5   6   7   8  10
        normal values                         75  88  92  93  94  94  94
        normal values, as Efron's             73  80  84  86  88  89  90
        differences of two exponential ones   75  87  91  91  91  92  92
        exponential values                    70  82  88  91  91  92  93    (Student's t: 88 to 90)

    No weights can repair n < 5: all resamples lie between the smallest and the largest value, which miss the median in
    25 % (n = 3) and 12.5 % (n = 4) of samples. So an interval is given from `FEWEST` values on, where it holds 93 % for
    normal ones, and is NaN before. It is here to show lopsidedness; verdicts rest on Student's interval
    (`StudentTests` says how often that one holds the truth).

    Up to seven values all resamples are counted, each with its multinomial probability, so nothing is drawn. Beyond,
    5,000 are drawn from a fixed seed: the same data have the same interval.
    """

    level: float = 0.95
    expanded: bool = True

    def __call__(self, values: Floats) -> tuple[Floats, Floats]:
        """Lower and upper ends (V,) for rows of ``values`` (V, S), which may have gaps of NaN.

        NaN for rows of fewer than `FEWEST` values, or of equal ones.
        """
        low, high = np.full(len(values), np.nan), np.full(len(values), np.nan)
        known = ~np.isnan(values)
        counts = known.sum(axis=1)
        for n in np.unique(counts[counts >= FEWEST]):
            rows = np.flatnonzero(counts == n)
            for some in np.array_split(rows, -(-len(rows) // AT_ONCE)):
                dense = values[some][known[some]].reshape(len(some), n)
                low[some], high[some] = self._of(dense)
        return low, high

    def _of(self, values: Floats) -> tuple[Floats, Floats]:
        count, n = values.shape
        centre = values.mean(axis=1)
        apart = values - centre[:, None]
        square = (apart**2).sum(axis=1)
        spread = np.ptp(values, axis=1) > 1e-9 * np.abs(values).max(axis=1)
        weights, chances = _resamples(n)
        means = apart @ weights.T
        order = np.argsort(means, axis=1)
        means, below = np.take_along_axis(means, order, axis=1), np.cumsum(chances[order], axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            acceleration = (apart**3).sum(axis=1) / (6 * square**1.5)  # the jackknife's, of a mean
        tolerance = 1e-12 * np.abs(means).max(axis=1, keepdims=True)
        less = ((means < -tolerance) * chances[order]).sum(axis=1)
        ties = ((np.abs(means) <= tolerance) * chances[order]).sum(axis=1)
        bias = special.ndtri(np.clip(less + ties / 2, 1e-9, 1 - 1e-9))
        ends = []
        for sign in (-1.0, 1.0):
            z = bias + sign * self._quantile(n)
            with np.errstate(divide="ignore", invalid="ignore"):
                room = 1 - acceleration * z
                share = np.where(room > 0, special.ndtr(bias + z / room), float(sign > 0))
            place = np.minimum((below < share[:, None] - 1e-12).sum(axis=1), means.shape[1] - 1)
            ends.append(np.where(spread, centre + means[np.arange(count), place], np.nan))
        return ends[0], ends[1]

    def _quantile(self, n: int) -> float:
        tail = (1 - self.level) / 2
        if not self.expanded:
            return float(-special.ndtri(tail))
        return float(np.sqrt(n / (n - 1)) * stats.t.isf(tail, n - 1))


@cache
def _resamples(n: int) -> tuple[Floats, Floats]:
    """Weights of the values in each resample (B, n), rows of sum 1, and each resample's probability (B,)."""
    if n > COUNTED:
        drawn = np.random.default_rng(_SEED).multinomial(n, np.full(n, 1 / n), DRAWN)
        return drawn / n, np.full(DRAWN, 1 / DRAWN)
    # Stars and bars: each way to share n draws among n values.
    bars = np.array(list(combinations(range(2 * n - 1), n - 1))).reshape(comb(2 * n - 1, n - 1), n - 1)
    edges = np.hstack([np.full((len(bars), 1), -1), bars, np.full((len(bars), 1), 2 * n - 1)])
    shares = np.diff(edges, axis=1) - 1
    logs = lgamma(n + 1) - special.gammaln(shares + 1).sum(axis=1) - n * np.log(n)
    return shares / n, np.exp(logs)
