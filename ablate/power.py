"""What a study's seeds can see, told before they are trained: from the spread of what has finished already."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median, stdev
from typing import TYPE_CHECKING

from ablate.study.study import Study
from ablate.tracking.record import Record

if TYPE_CHECKING:
    from ablate.reporting.kept import Kept
    from ablate.reporting.statistics.needed_images import PowerOverImages
    from ablate.reporting.statistics.power import Power
    from ablate.reporting.statistics.shares import Shares

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
    over_images: bool = False
    """Whether the study asks for verdicts on other images as well."""
    images: int | None = None
    """Held-out images of which pilot outcomes are known, by which the numbers speak of other images as well; None where
    they speak of other seeds on the same images."""
    smallest_of_images: float | None = None
    """With ``images``: the smallest difference that these images show with seeds without end."""

    def lines(self) -> list[str]:
        """What a plan says of it."""
        unit = {"%": " points", "": ""}.get(self.unit, f" {self.unit}")
        among = f" among {self.comparisons} comparisons" if self.comparisons > 1 else ""
        seen = f"differences of {self.smallest:.2g}{unit}{among}"
        seeds = f"up to {self.seeds}" if self.sequential else f"{self.seeds}"
        told = [f"{seeds} seeds can see {seen}{self._claim()} (80 % power; {self.basis})"]
        more = [f"{n} would see {smallest:.2g}{unit}" for n, smallest in self.more]
        if self.smallest_of_images is not None:
            more.append(f"no number of seeds would see less than {self.smallest_of_images:.2g}{unit} on so many images")
        if more:
            told.append("; ".join(more))
        if self.margin is not None:
            same = f"that a Variant without effect is within ±{self.margin:g}{unit}"
            if self.sequential and (self.seeds_for_same is None or self.seeds_for_same > self.seeds):
                # With a larger maximum each look is judged at another level, so how many it takes is another question.
                told.append(f"{self.seeds} seeds are too few to show {same}")
            else:
                number = "more than 1,000" if self.seeds_for_same is None else str(self.seeds_for_same)
                told.append(f"{number} seeds can show {same}")
        return told

    def _claim(self) -> str:
        """Of what images the numbers speak, where the study asks for others."""
        if not self.over_images:
            return ""
        if self.images is None:
            return " for other seeds on the same images; what other images add is known once two pairs have finished"
        return f" for other seeds on other images, {self.images:,} of them"


def study_power(study: Study, records: Mapping[str, Record], kept: Kept | None = None) -> StudyPower | None:
    """What the study's seeds can see; None with one seed, nothing to compare, or too little finished to know a spread.

    The spread is the typical one of the paired differences that have finished, of Variants with two pairs or more.
    Before there are any, it is sqrt(2) times that of two or more seeds of the baseline, which may come from another
    study: conservative, since it takes no luck for shared between a Variant and the baseline of its seed.

    Where the study asks for verdicts on other images as well, ``kept`` is asked for the outcomes by image of what has
    finished; the images' share of the variance is the median over Variants with two pairs or more. Without any, the
    numbers speak of other seeds on the same images, and say so.
    """
    seeds = study.sequential.most if study.sequential else len(study.seeds)
    known = spread_and_power(study, records, kept)
    if seeds < 2 or known is None:
        return None
    spread, basis, power = known
    of_all, margin = power(seeds), study.analysis.margin
    needed = math.nan if margin is None else of_all.pairs_for_same()
    same = None if math.isnan(needed) else int(needed)
    more = tuple((n, power(n).smallest(n)) for n in MORE_SEEDS if n > seeds)
    grows, over_images = study.sequential is not None, study.analysis.over == "seeds_and_images"
    return StudyPower(
        seeds, _comparisons(study), spread, of_all.smallest(seeds), basis, study.metric.unit, margin, more, grows, same,
        over_images, of_all.images, of_all.smallest_of_images(),
    )  # fmt: skip


def spread_and_power(
    study: Study, records: Mapping[str, Record], kept: Kept | None = None
) -> tuple[float, str, Callable[[int], _OverSeeds | _OverImages]] | None:
    """The spread of one pair's difference, what it rests on, and the power that the study's tests have if it allows a
    number of seeds, of which there are two or more; None as for `study_power`.
    """
    comparisons, results = _comparisons(study), finished_results(study, records)
    if comparisons < 1 or len(results.get(study.baseline.name, {})) < 2:
        return None
    spread, basis = _spread(study, results)
    if not spread > 0:
        return None
    shares = _pilot(study, records, kept) if kept is not None and study.analysis.over != "seeds" else None
    return spread, basis, lambda seeds: _power(study, comparisons, spread, shares, seeds)


def _spread(study: Study, results: Mapping[str, Mapping[int, float]]) -> tuple[float, str]:
    """Of one pair's difference, and on what it rests; the baseline has two results or more."""
    # Late: scipy and pandas are slow to import, and most plans are made before anything has finished.
    from ablate.reporting.statistics.power import spread_of_pairs, spread_without_pairs

    baseline = results[study.baseline.name]
    differences = [
        [value - baseline[seed] for seed, value in found.items() if seed in baseline]
        for name, found in results.items()
        if name != study.baseline.name
    ]
    usable = [row for row in differences if len(row) >= 2]
    if not usable:
        basis = f"spread from {len(baseline)} seeds of the baseline alone, taking no luck for shared"
        return spread_without_pairs(stdev(baseline.values())), basis
    spread = spread_of_pairs([stdev(row) for row in usable], [len(row) for row in usable])
    return spread, f"spread from {sum(map(len, usable))} finished pairs"


@dataclass(frozen=True)
class _OverSeeds:
    """Power for other seeds on the same images."""

    power: Power
    margin: float | None
    images: None = None

    def smallest(self, seeds: int) -> float:
        return self.power.smallest_difference(seeds)

    def pairs_for_same(self) -> float:
        return math.nan if self.margin is None else self.power.pairs_for_same(self.margin)

    def smallest_of_images(self) -> None:
        return None


@dataclass(frozen=True)
class _OverImages:
    """Power for other seeds on other images, ``images`` of them."""

    power: PowerOverImages
    spread: float
    share: float
    """The images' part of the variance of a mean difference."""
    images: int

    def smallest(self, seeds: int) -> float:
        return self.power.smallest_difference(seeds, self.spread**2 / seeds, self.share)

    def pairs_for_same(self) -> float:
        return self.power.pairs_for_same(self.spread**2, self.share)

    def smallest_of_images(self) -> float | None:
        return self.power.smallest_difference(math.inf, 0.0, self.share) if self.share > 0 else None


def _power(
    study: Study, comparisons: int, spread: float, shares: Shares | None, seeds: int
) -> _OverSeeds | _OverImages:
    """Of the study's tests, at the level that each look has if there may be so many seeds."""
    from ablate.reporting.statistics.needed_images import PowerOverImages
    from ablate.reporting.statistics.power import Power

    alpha, margin = _alpha(study, comparisons, seeds), study.analysis.margin
    if shares is None:
        return _OverSeeds(Power(spread, comparisons, alpha), margin)
    over = PowerOverImages(comparisons, alpha, margin=margin)
    known = shares.images[(shares.pairs >= 2) & (shares.images >= 0)]
    return _OverImages(over, spread, median(known.tolist()), int(shares.count.max()))


def _pilot(study: Study, records: Mapping[str, Record], kept: Kept) -> Shares | None:
    """Of the Variants that have finished, in the metric's unit; None where no images tell it with two pairs."""
    from ablate.reporting.examples import examples_of, outcomes
    from ablate.reporting.frame import trial_frame
    from ablate.reporting.statistics.shares import Shares

    examples = examples_of(study, trial_frame(study, records), kept)
    if examples is None or not examples.outcome:
        return None
    names = [name for name in examples.outcome if name != study.baseline.name]
    found = Shares.of(outcomes(examples), study.baseline.name, names, examples.scale)
    return found if ((found.pairs >= 2) & (found.images >= 0)).any() else None


def _comparisons(study: Study) -> int:
    """Of all Variants there will be: a greedy ladder of k steps has k candidates at first, then one fewer each time."""
    steps = [len(block.steps) + len(block.candidates) for block in study.blocks if block.greedy]
    return max([len(study.variants) - 1, *(k * (k + 1) // 2 for k in steps)])


def _alpha(study: Study, comparisons: int, most: int) -> float:
    """The study's; where results are looked at again and again, up to ``most`` seeds, that of the last look alone.

    Which is conservative: an earlier look may decide as well.
    """
    alpha = study.analysis.alpha
    if study.sequential is None or most <= study.sequential.least:
        return alpha
    from ablate.reporting.statistics.looks import Looks

    return comparisons * Looks(study.sequential.least, most).nominal(alpha / comparisons)


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
