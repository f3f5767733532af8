"""Two changes, each alone and both together: what they do beyond the sum of both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ablate.reporting.statistics.by_seed import over_seeds, size_of
from ablate.reporting.statistics.families import holm
from ablate.reporting.statistics.paired import StudentTests
from ablate.reporting.statistics.pairs import Judge, Pairs


@dataclass(frozen=True)
class PairInteractions:
    """Interaction of two changes within each seed, together - first alone - second alone + baseline, judged over seeds.

    Columns of the result, one row per pair of changes: `alone_first`, `alone_second`, `together` (differences to the
    baseline, over the seeds that have all four results, so that they add up), `interaction`, `low`, `high`, `pairs`
    (those seeds), `p`, `p_holm` (over the pairs).
    """

    judge: Judge = StudentTests

    def __call__(
        self,
        baseline: npt.NDArray[np.float64],
        first: npt.NDArray[np.float64],
        second: npt.NDArray[np.float64],
        together: npt.NDArray[np.float64],
    ) -> pd.DataFrame:
        """``baseline`` is (seeds,), the others (seeds, pairs); NaN where a Trial has no result."""
        base = baseline[:, None]
        size = size_of(base, first, second, together)
        interaction = together - first - second + base
        complete = np.isfinite(interaction)
        own = {
            name: Pairs.of_contrasts(np.where(complete, values - base, np.nan), size).mean
            for name, values in (("alone_first", first), ("alone_second", second), ("together", together))
        }
        found = over_seeds(interaction, size, self.judge).rename(columns={"estimate": "interaction"})
        found["p_holm"] = holm(found["p"])
        columns = ["interaction", "low", "high", "pairs", "p", "p_holm"]
        return pd.concat([pd.DataFrame(own), found[columns]], axis=1)
