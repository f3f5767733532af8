"""How large a difference is, in standard deviations of itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class HedgesG:
    """Mean paired difference in standard deviations of the paired differences, less its bias: Hedges' g_z.

    g = J(n - 1) mean / std, with J(m) = Γ(m/2) / (sqrt(m/2) Γ((m - 1)/2)) (Hedges, J. Educational Statistics 6, 1981,
    107-128, eq. 6e), which makes it unbiased for normal differences. The interval inverts the noncentral t distribution
    (Steiger and Fouladi, in: What if there were no significance tests?, 1997, 221-257), so it excludes zero exactly
    where the t test of the same level does; it is one of the true ratio, and J is no part of it.

    This is a ratio to the spread of a *difference between Trials of one seed*: a fine training has large ones without
    any practical weight, and it is not Cohen's d of independent groups. NaN for fewer than three pairs, where J is 0.
    """

    level: float = 0.95

    def __call__(self, mean: Floats, std: Floats, n: npt.NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
        """G and the ends of its interval, each (V,); NaN where ``std`` is zero or NaN."""
        usable = (n >= 3) & (std > 0)
        pairs, spread = np.where(usable, n, 3), np.where(usable, std, 1.0)
        freedom, ratio = pairs - 1.0, np.where(usable, mean, 0.0) / spread
        t, tail = np.abs(ratio) * np.sqrt(pairs), (1 - self.level) / 2
        # Solved for |t| and mirrored: the noncentral distribution is computed best on that side.
        near = special.nctdtrinc(freedom, 1 - tail, t) / np.sqrt(pairs)
        far = special.nctdtrinc(freedom, tail, t) / np.sqrt(pairs)
        low, high = np.where(ratio < 0, -far, near), np.where(ratio < 0, -near, far)
        return tuple(np.where(usable, found, np.nan) for found in (small_sample(freedom) * ratio, low, high))  # type: ignore[return-value]


def small_sample(freedom: npt.ArrayLike) -> Floats:
    """J of Hedges (1981): what the ratio of mean to deviation is too large by, on average, with so many degrees."""
    m = np.asarray(freedom, dtype=float)
    found: Floats = np.exp(special.gammaln(m / 2) - np.log(m / 2) / 2 - special.gammaln((m - 1) / 2))
    return found
