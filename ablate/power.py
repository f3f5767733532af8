"""What a study's seeds can see, told before they are trained: from the spread of what has finished already."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import stdev

from ablate.study.study import Study
from ablate.tracking.record import Record

#: What else a plan says of, where the study has fewer: a step to each about halves the smallest difference.
MORE_SEEDS = (5, 10)


@dataclass(frozen=True)
class StudyPower:
    """How small a difference the study's seeds show with a chance of 80 %, among all its comparisons."""

    seeds: int
    """Of each Variant; where seeds are added by results, the most that it can get."""
    comparisons: int
    spread: float
    """Standard deviation of one pair's difference, in the metric's unit."""
    smallest: float
    """The smallest true difference that is seen, in the metric's unit."""
    basis: str
    """What the spread rests on."""
    unit: str
    margin: float | None = None
    more: tuple[tuple[int, float], ...] = ()
    """The same for other numbers of seeds, larger ones: (seeds, smallest difference)."""
    sequential: bool = False
    """Whether seeds are added by results; what looking again and again costs is in the numbers."""
    seeds_for_same: int | None = None
    """With a margin: seeds for a Variant of no effect to be found within it; None where more than a thousand."""

    def lines(self) -> list[str]:
        """What a plan says of it."""
        unit = {"%": " points", "": ""}.get(self.unit, f" {self.unit}")
        among = f" among {self.comparisons} comparisons" if self.comparisons > 1 else ""
        seen = f"differences of {self.smallest:.2g}{unit}{among}"
        seeds = f"up to {self.seeds}" if self.sequential else f"{self.seeds}"
        told = [f"{seeds} seeds can see {seen} (80 % power; {self.basis})"]
        if self.more:
            told.append("; ".join(f"{n} would see {smallest:.2g}{unit}" for n, smallest in self.more))
        if self.margin is not None:
            number = "more than 1,000" if self.seeds_for_same is None else str(self.seeds_for_same)
            told.append(f"{number} seeds can show that a Variant without effect is within ±{self.margin:g}{unit}")
        return told


def study_power(study: Study, records: Mapping[str, Record]) -> StudyPower | None:
    """What the study's seeds can see; None with one seed, nothing to compare, or too little finished to know a spread.

    The spread is the typical one of the paired differences that have finished, of Variants with two pairs or more.
    Before there are any, it is sqrt(2) times that of two or more seeds of the baseline, which may come from another
    study: conservative, since it takes no luck for shared between a Variant and the baseline of its seed.
    """
    seeds = study.sequential.most if study.sequential else len(study.seeds)
    comparisons = _comparisons(study)
    results = finished_results(study, records)
    baseline = results.get(study.baseline.name, {})
    if seeds < 2 or comparisons < 1 or len(baseline) < 2:
        return None
    # Late: scipy and pandas are slow to import, and most plans are made before anything has finished.
    from ablate.reporting.statistics.power import Power, spread_of_pairs, spread_without_pairs

    differences = [
        [value - baseline[seed] for seed, value in found.items() if seed in baseline]
        for name, found in results.items()
        if name != study.baseline.name
    ]
    usable = [row for row in differences if len(row) >= 2]
    if usable:
        spread = spread_of_pairs([stdev(row) for row in usable], [len(row) for row in usable])
        basis = f"spread from {sum(map(len, usable))} finished pairs"
    else:
        spread = spread_without_pairs(stdev(baseline.values()))
        basis = f"spread from {len(baseline)} seeds of the baseline alone, taking no luck for shared"
    if not spread > 0:
        return None
    power, margin = Power(spread, comparisons, _alpha(study, comparisons)), study.analysis.margin
    needed = math.nan if margin is None else power.pairs_for_same(margin)
    same = None if math.isnan(needed) else int(needed)
    smallest = power.smallest_difference(seeds)
    more = tuple((n, power.smallest_difference(n)) for n in MORE_SEEDS if n > seeds)
    grows = study.sequential is not None
    return StudyPower(seeds, comparisons, spread, smallest, basis, study.metric.unit, margin, more, grows, same)


def _comparisons(study: Study) -> int:
    """Of all Variants there will be: a greedy ladder of k steps has k candidates at first, then one fewer each time."""
    steps = [len(block.steps) + len(block.candidates) for block in study.blocks if block.greedy]
    return max([len(study.variants) - 1, *(k * (k + 1) // 2 for k in steps)])


def _alpha(study: Study, comparisons: int) -> float:
    """The study's, or where results are looked at again and again, that of the last look alone.

    Which is conservative: an earlier look may decide as well.
    """
    alpha = study.analysis.alpha
    if study.sequential is None:
        return alpha
    from ablate.reporting.statistics.looks import Looks

    return comparisons * Looks(study.sequential.least, study.sequential.most).nominal(alpha / comparisons)


def finished_results(study: Study, records: Mapping[str, Record]) -> dict[str, dict[int, float]]:
    """Variant -> seed -> the study's metric, of the Trials that have finished with one."""
    found: dict[str, dict[int, float]] = {}
    for trial in study.trials:
        record = records.get(trial.id)
        if record is None or record.status != "finished":
            continue
        value = record.metrics.get(study.metric_of(trial.recipe), math.nan)
        if math.isfinite(value):
            found.setdefault(trial.variant, {})[trial.seed] = float(value)
    return found
