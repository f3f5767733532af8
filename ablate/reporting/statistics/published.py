"""A measured mean beside a single published number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from ablate.reporting.statistics.families import holm
from ablate.reporting.statistics.intervals import p_value
from ablate.reporting.statistics.verdicts import AGREES, BETTER, UNSURE, WORSE, Direction


@dataclass(frozen=True)
class AgainstNumber:
    """Student's one-sample test of means against numbers, and with a margin the two one-sided tests within it.

    Columns of the result: `minus` (mean less number), `minus_low`, `minus_high` (the mean's t interval, shifted),
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

    def __call__(self, summary: pd.DataFrame, number: pd.Series) -> pd.DataFrame:
        """``summary`` has `mean`, `std`, `n` and `half`, as `MeanInterval` makes them; ``number`` is aligned, with NaN.

        `half` is NaN where the mean has no spread to judge by, and then there is no test.
        """
        minus = (summary["mean"] - number).to_numpy(float)
        half, n = summary["half"].to_numpy(float), summary["n"].fillna(0).to_numpy(int)
        std = np.where(np.isnan(half), np.nan, summary["std"].to_numpy(float))
        given = number.notna().to_numpy()
        found = pd.DataFrame({"minus": minus, "minus_low": minus - half, "minus_high": minus + half}, summary.index)
        found["p_holm"], found["p_same_holm"], found["stands"] = np.nan, np.nan, ""
        if not given.any():
            return found
        p_holm = np.full(len(found), np.nan)
        p_holm[given] = holm(p_value(minus, std, n)[given])
        right = BETTER if self.direction == "maximize" else WORSE
        wrong = WORSE if self.direction == "maximize" else BETTER
        stands = np.where(p_holm < self.alpha, np.where(minus > 0, right, wrong), UNSURE)
        found["p_holm"] = p_holm
        if self.margin is not None:
            p_same = np.full(len(found), np.nan)
            with np.errstate(divide="ignore", invalid="ignore"):
                t = (self.margin - np.abs(minus)) / (std / np.sqrt(np.maximum(n, 2)))
            # The nearer bound has the larger p, which is that of both tests.
            p_same[given] = holm(special.stdtr(np.maximum(n, 2) - 1.0, -t)[given])
            stands = np.where(p_same < self.alpha, AGREES, stands)
            found["p_same_holm"] = p_same
        found["stands"] = [str(s) if known else "" for s, known in zip(stands, ~np.isnan(minus), strict=True)]
        return found
