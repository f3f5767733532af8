"""Tests that a difference is smaller than what matters."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from ablate.reporting.statistics.pairs import Floats, PairedTests


def p_within(tests: PairedTests, margin: float) -> Floats:
    """P of the two one-sided tests (Schuirmann, J. Pharmacokinetics and Biopharmaceutics 15, 1987, 657-680), (V,).

    Small where the true difference lies within ±``margin``: the larger p of "above -margin" and "below margin". Below
    alpha exactly where the interval of level 1 - 2 alpha lies inside the margin.
    """
    return np.maximum(tests.p_beyond(-margin, "above"), tests.p_beyond(margin, "below"))


def p_within_interval(
    centre: Floats, low: Floats, high: Floats, n: npt.NDArray[np.int64], margin: float, level: float = 0.95
) -> Floats:
    """The same where all that is known is an interval of ``level``, maybe a lopsided one, that rests on ``n`` pairs.

    The tails between its ends and the margin lie between a normal's and Student's with n - 1 degrees of freedom, both
    scaled to the interval; the larger p of the two is taken. NaN where the interval is.
    """
    freedom, tail = np.maximum(n - 1, 1), (1 - level) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        # How many half-widths the centre is away from the margin, on either side.
        above, below = (centre + margin) / (centre - low), (margin - centre) / (high - centre)
    near = np.minimum(above, below)
    normal = special.ndtr(near * special.ndtri(tail))
    student = special.stdtr(freedom, -near * stats.t.isf(tail, freedom))
    larger: Floats = np.maximum(normal, student)
    return larger
