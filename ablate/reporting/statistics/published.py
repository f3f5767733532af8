"""A measured mean beside a single published number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ablate.reporting.statistics.equivalence import p_within
from ablate.reporting.statistics.families import holm
from ablate.reporting.statistics.paired import StudentTests
from ablate.reporting.statistics.pairs import Floats, Judge, Pairs, largest
from ablate.reporting.statistics.verdicts import AGREES, BETTER, UNSURE, WORSE, Direction


@dataclass(frozen=True)
class AgainstNumber:
    """Means against numbers, by a one-sample test, and with a margin the two one-sided tests within it.

    Columns of the result: `minus` (mean less number), `minus_low`, `minus_high` (the mean's interval, shifted),
    `p_holm`, `p_same_holm` (NaN without a margin) and `stands`: `agrees` (within the margin), `better` or `worse` (not
    the number, by the metric's direction), `not enough evidence`; empty where one of both is missing. Each kind of test
    is adjusted over the rows that have a number.

    What a published number itself owes to luck, to the seeds behind it and to its rounding, is unknown and in none of
    these: the interval and the verdicts speak of the measured mean against the number *as printed*. So `better` and
    `worse` say that this training does not reproduce the number, not that its authors were wrong.
    """

    direction: Direction
    margin: float | None = None
    alpha: float = 0.05
    judge: Judge = StudentTests

    def __call__(self, values: Floats, number: pd.Series[float]) -> pd.DataFrame:
        """``values`` is (seeds, groups), NaN without a result; ``number`` has an entry for each group, or NaN.

        A group whose values are all equal has no spread to judge by, and no test.
        """
        given = number.notna().to_numpy()
        minus = Pairs.of_contrasts(values - number.to_numpy(float), largest(np.abs(values.T)))
        tests = self.judge(minus)
        found = pd.DataFrame({"minus": minus.mean, "minus_low": tests.low, "minus_high": tests.high}, number.index)
        found["p_holm"], found["p_same_holm"], found["stands"] = np.nan, np.nan, ""
        if not given.any():
            return found
        p_holm = _among(tests.p, given)
        right = BETTER if self.direction == "maximize" else WORSE
        wrong = WORSE if self.direction == "maximize" else BETTER
        stands = np.where(p_holm < self.alpha, np.where(tests.sign > 0, right, wrong), UNSURE)
        found["p_holm"] = p_holm
        if self.margin is not None:
            found["p_same_holm"] = p_same = _among(p_within(tests, self.margin), given)
            stands = np.where(p_same < self.alpha, AGREES, stands)
        found["stands"] = [str(s) if known else "" for s, known in zip(stands, ~np.isnan(minus.mean), strict=True)]
        return found


def _among(p: Floats, given: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Floats:
    """Holm's method over the rows that are given; NaN for the others."""
    adjusted = np.full(len(p), np.nan)
    adjusted[given] = holm(p[given])
    return adjusted
