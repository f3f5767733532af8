"""What a verdict would be if the seeds without a result had ended in one way or another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ablate.reporting.statistics.verdicts import Direction

#: How each fill is told.
WORST, BEST, STUDY = "as bad as the worst seen", "as good as the best seen", "as bad as the study's worst"


@dataclass(frozen=True)
class FailedSeeds:
    """The verdicts recomputed with a value for every Trial that ended without one.

    Three fills, each for all of them at once: the worst value of the Trial's own Variant, its best, and the worst of
    the whole study. A diverged training is no draw from the finished ones, so none of the fills is an estimate: where
    all leave the verdict as it is, it does not hang on who crashed (a worst-case analysis, as for drop-outs of trials;
    Hollis, Statistics in Medicine 21, 2002, 3823-3834). Trials that are not done yet are no failures, and a Variant
    without any result has no worst value of its own: its gaps stay gaps.
    """

    baseline: str
    direction: Direction

    def __call__(
        self, trials: pd.DataFrame, verdicts: Sequence[str], judge: Callable[[pd.DataFrame], Sequence[str]]
    ) -> list[str]:
        """A text per Variant but the baseline, in the order of ``verdicts``; empty where no seed of both has failed.

        ``trials`` is a `trial_frame`, and ``judge`` gives the verdicts of such a frame.
        """
        failed = (trials["metric"].isna() & trials["status"].isin(["failed", "finished"])).to_numpy()
        texts = [""] * len(verdicts)
        if not failed.any():
            return texts
        counts = trials["variant"][failed].value_counts()
        shared = int(counts.get(self.baseline, 0))
        others = [name for name in trials["variant"].unique() if name != self.baseline]
        fills = {told: judge(filled) for told, filled in self._filled(trials, failed).items()}
        for i, (name, actual) in enumerate(zip(others, verdicts, strict=True)):
            if number := int(counts.get(name, 0)) + shared:
                texts[i] = told_change(actual, {told: found[i] for told, found in fills.items()}, number)
        return texts

    def _filled(self, trials: pd.DataFrame, failed: npt.NDArray[np.bool_]) -> dict[str, pd.DataFrame]:
        more_is_better = self.direction == "maximize"
        seen = trials.groupby("variant", sort=False)["metric"]
        lowest, highest = seen.transform("min"), seen.transform("max")
        worst, best = (lowest, highest) if more_is_better else (highest, lowest)
        overall = trials["metric"].min() if more_is_better else trials["metric"].max()
        # A Variant without a result has nothing that could be filled in by itself, and so not by the study's either.
        of_study = worst.where(worst.isna(), overall)
        fills = {WORST: worst, BEST: best, STUDY: of_study}
        return {told: trials.assign(metric=trials["metric"].mask(failed, fill)) for told, fill in fills.items()}


def told_change(actual: str, found: dict[str, str], number: int) -> str:
    """`stays helps`, or what it becomes and when: `hurts if the failed seed was as bad as the worst seen`."""
    changed: dict[str, list[str]] = {}
    for told, verdict in found.items():
        if verdict != actual:
            changed.setdefault(verdict, []).append(told)
    if not changed:
        return f"stays {actual}"
    seeds = "seed was" if number == 1 else "seeds were"
    return "; ".join(f"{verdict} if the failed {seeds} {' or '.join(told)}" for verdict, told in changed.items())
