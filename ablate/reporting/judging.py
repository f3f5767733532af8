"""Every number about a Variant's difference to the baseline, and the verdict on it."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd

from ablate.reporting import examples as by_image
from ablate.reporting.examples import Examples
from ablate.reporting.statistics import (
    AgainstNumber,
    BootstrapMean,
    HedgesG,
    Judge,
    MeanInterval,
    PairedTests,
    Pairs,
    StudentTests,
    holm,
)
from ablate.reporting.statistics.equivalence import p_within, p_within_interval
from ablate.reporting.statistics.looks import Looks
from ablate.reporting.statistics.paired import reasons, tabulate
from ablate.reporting.statistics.pairs import Floats, largest
from ablate.reporting.statistics.sensitivity import FailedSeeds
from ablate.reporting.statistics.sequential import SequentialTests
from ablate.reporting.statistics.sequential_images import SequentialSeedsAndImages
from ablate.reporting.statistics.verdicts import HELPS, HURTS, SAME, UNSURE, verdicts
from ablate.reporting.still_needed import NEEDED, still_needed
from ablate.study.study import Study

#: What `differences` adds to the columns of `PairedDifference`; NaN or empty where nothing can be said.
NUMBERS = (
    "bca_low",  # bootstrap interval of the paired difference, over seeds
    "bca_high",
    "images_low",  # these trainings on other held-out images
    "images_high",
    "both_low",  # other seeds on other held-out images
    "both_high",
    "both_p",
    "p_same",  # of the test that the difference is beyond the margin (TOST)
    "p_same_holm",
    "effect_size",  # Hedges' g of the paired differences: in standard deviations of one pair's difference
    "effect_size_low",
    "effect_size_high",
    "superiority",  # share of pairs of seeds in which the Variant is better, ties half
    *NEEDED,  # further seeds, images, and a maximum of seeds, that would probably settle an open verdict
)
TEXTS = ("sensitivity",)  # what the verdict would be if failed seeds had been as bad, or as good, as any seen
IMAGES = ("images_low", "images_high", "both_low", "both_high", "both_p")


def differences(study: Study, trials: pd.DataFrame, examples: Examples | None = None) -> pd.DataFrame:
    """One row per Variant but the baseline, indexed by name: the columns of `PairedDifference`, `NUMBERS`, `TEXTS`.

    `trials` is the study's `trial_frame`, `examples` the outcomes by image where they are known. All Variants are one
    family for Holm's method, matched-capacity controls and those without a result among them. `p` is that of the test
    over seeds; `p_holm` and `p_same_holm` adjust what the verdict rests on, which is `both_p` where the study's
    `analysis.over` asks for other images, too, and outcomes by image are known.
    """
    pairs = Pairs.of(trials, study.baseline.name)
    tests = judge_of(study)(pairs)
    table = tabulate(pairs, tests)
    table["p_holm"], table["verdict"], table["reason"] = np.nan, UNSURE, reasons(pairs)
    for name in NUMBERS:
        table[name] = np.nan
    _describe(study, pairs, table)
    with_images = _fill_in_images(study, examples, pairs, table)
    over_images = is_over_images(study, examples)
    growing = _fill_in_looks(study, examples, pairs, table)
    sign = growing.sign if over_images and growing is not None else tests.sign
    p, table["p_same"] = _over_images(study, pairs, table, growing) if over_images else _over_seeds(study, tests)
    table["p_holm"], table["p_same_holm"] = holm(p), holm(table["p_same"])
    table["verdict"] = _verdicts(study, sign, p, table["p_same"].to_numpy(float))
    open_ = (table["verdict"] == UNSURE).to_numpy()
    if over_images:
        open_ = open_ & (with_images == pairs.n)
    for name, values in still_needed(study, trials, pairs, open_, examples if over_images else None).items():
        table[name] = values
    table["reason"] = _reasons(study, table, over_images, with_images, sign)
    table["sensitivity"] = _sensitivity(study, trials, tests, over_images)
    return table


def judge_of(study: Study) -> Judge:
    """The test over seeds that the study's way of choosing their number allows."""
    alpha, sequential = study.analysis.alpha, study.sequential
    if sequential is None:
        return partial(StudentTests, level=1 - alpha)
    return partial(SequentialTests, looks=Looks(sequential.least, sequential.most), alpha=alpha)


def by_seed(study: Study, trials: pd.DataFrame) -> pd.DataFrame:
    """The metric of each Variant, a column each in the study's order, by seed in the order in which seeds are trained;
    NaN without a result.
    """
    wide = trials.pivot(index="seed", columns="variant", values="metric").astype(float)
    return wide.reindex(index=study.seeds, columns=[variant.name for variant in study.variants])


def means(study: Study, trials: pd.DataFrame) -> pd.DataFrame:
    """`MeanInterval` of each Variant; where results decide the number of seeds its interval is that of the repeated
    looks.
    """
    table = MeanInterval(1 - study.analysis.alpha)(trials)
    if study.sequential is not None:
        values = by_seed(study, trials)[list(table.index)].to_numpy()
        tests = judge_of(study)(Pairs.of_contrasts(values, largest(np.abs(values.T))))
        table["half"], table["low"], table["high"] = (tests.high - tests.low) / 2, tests.low, tests.high
    return table


def is_over_images(study: Study, examples: Examples | None) -> bool:
    """Whether verdicts speak of other images, too: asked for by the study, and the images tell its metric."""
    return study.analysis.over == "seeds_and_images" and examples is not None and bool(examples.outcome)


def against_published(study: Study, trials: pd.DataFrame, numbers: pd.DataFrame) -> pd.DataFrame:
    """Of each published column, how the measured mean stands to the number: `minus.<label>`, `minus_low.<label>`,
    `minus_high.<label>`, `stands.<label>` (`agrees`, `better`, `worse`, `not enough evidence`, empty without a number).

    `numbers` has a row per Variant, indexed by name, and a column of numbers per label, NaN where there is none; the
    result is indexed likewise. Each column is a family of its own. What a published number owes to luck is unknown and
    in none of this.
    """
    analysis = study.analysis
    against = AgainstNumber(study.metric.direction, analysis.margin, analysis.alpha, judge_of(study))
    found = pd.DataFrame(index=numbers.index)
    if not len(numbers.columns):
        return found
    values = by_seed(study, trials)[list(numbers.index)].to_numpy()
    for label in numbers:
        stands = against(values, numbers[label])
        for name in ("minus", "minus_low", "minus_high", "stands"):
            found[f"{name}.{label}"] = stands[name]
    return found


def _describe(study: Study, pairs: Pairs, table: pd.DataFrame) -> None:
    """Fill in what describes the differences and judges nothing."""
    level = 1 - study.analysis.alpha
    table["bca_low"], table["bca_high"] = BootstrapMean(level)(pairs.values)
    spread = np.where(pairs.equal, np.nan, pairs.std)
    sizes = HedgesG(level)(pairs.mean, spread, pairs.n)
    table["effect_size"], table["effect_size_low"], table["effect_size_high"] = sizes
    table["superiority"] = pairs.superiority(study.metric.direction)


def _over_seeds(study: Study, tests: PairedTests) -> tuple[Floats, Floats]:
    """P of no difference, and of a difference beyond the margin, for other seeds on the same images."""
    margin = study.analysis.margin
    return tests.p, np.full(len(tests.p), np.nan) if margin is None else p_within(tests, margin)


def _fill_in_images(
    study: Study, examples: Examples | None, pairs: Pairs, table: pd.DataFrame
) -> npt.NDArray[np.int64]:
    """Fill in what images say, and tell on how many pairs of seeds it rests, (V,).

    What rests on fewer than the difference beside it is the interval of another difference, and is left out.
    """
    if examples is None or not examples.outcome:
        return np.zeros(len(pairs.names), dtype=np.int64)
    found = by_image.image_intervals(study, examples).reindex(pairs.names)
    rest: npt.NDArray[np.int64] = found["pairs"].fillna(0).to_numpy(np.int64)
    table[list(IMAGES)] = found[list(IMAGES)].where(pd.Series(rest == pairs.n, index=found.index), axis=0)
    return rest


def _fill_in_looks(
    study: Study, examples: Examples | None, pairs: Pairs, table: pd.DataFrame
) -> SequentialSeedsAndImages | None:
    """Where results decide the number of seeds, the interval and p over both are those of the repeated looks."""
    if study.sequential is None or examples is None or not examples.outcome:
        return None
    looks = Looks(study.sequential.least, study.sequential.most)
    names, unit = [str(name) for name in pairs.names], examples.scale
    data, alpha = by_image.outcomes(examples), study.analysis.alpha
    found = SequentialSeedsAndImages.of(data, study.baseline.name, names, looks, alpha, unit)
    for name, values in (("both_low", found.low), ("both_high", found.high), ("both_p", found.p)):
        table[name] = np.where(found.n == pairs.n, values, np.nan)
    return found


def _over_images(
    study: Study, pairs: Pairs, table: pd.DataFrame, growing: SequentialSeedsAndImages | None
) -> tuple[Floats, Floats]:
    """The same as `_over_seeds` for other seeds on other images."""
    analysis = study.analysis
    low, high, p = (table[name].to_numpy(float) for name in ("both_low", "both_high", "both_p"))
    p_same = np.full(len(p), np.nan)
    if analysis.margin is not None and growing is not None:
        p_same = np.where(growing.n == pairs.n, p_within(growing, analysis.margin), np.nan)
    elif analysis.margin is not None:
        p_same = p_within_interval(pairs.mean, low, high, pairs.n, analysis.margin, 1 - analysis.alpha)
    return p, p_same


def _verdicts(study: Study, sign: Floats, p: Floats, p_same: Floats) -> list[str]:
    analysis = study.analysis
    same = None if analysis.margin is None else holm(p_same)
    return verdicts(sign, holm(p), same, study.metric.direction, analysis.alpha)


def _reasons(
    study: Study, table: pd.DataFrame, over_images: bool, with_images: npt.NDArray[np.int64], sign: Floats
) -> list[str]:
    """Why there is no test, or what a verdict does not say by itself."""
    analysis, least, found = study.analysis, study.sequential.least if study.sequential else 0, []
    names = ("pairs", "difference", "reason", "verdict", "p_holm", "images_low", "both_p")
    columns = [table[name].tolist() for name in names]
    for n, mean, reason, verdict, p_holm, images_low, both_p, images, way in zip(
        *columns, with_images.tolist(), sign.tolist(), strict=True
    ):
        if over_images and n > 1 and np.isfinite(both_p):
            reason = ""  # seeds may agree exactly, and images still tell
        if n == 1 and np.isfinite(images_low):
            reason += ": no verdict over seeds; the interval over images speaks of these trainings only"
        elif not reason and n < least:
            reason = f"{n} pairs of seeds: the first look is at {least}"
        elif not reason and over_images and np.isnan(both_p):
            reason = f"outcomes by image for {images} of {n} pairs" if images else "no outcomes by image"
        elif verdict == SAME and p_holm < analysis.alpha:
            reason = f"differs from zero, but by less than ±{analysis.margin:g}"
        elif verdict in (HELPS, HURTS) and way * mean < 0:
            reason = "by an earlier look; the mean of all seeds so far is on the other side"
        elif not reason and analysis.over == "seeds_and_images" and not over_images:
            reason = "judged over seeds alone: no outcomes by image"
        found.append(reason)
    return found


def _sensitivity(study: Study, trials: pd.DataFrame, tests: PairedTests, over_images: bool) -> list[str]:
    """What failed seeds could change. A seed without a result has no images: this is always the verdict over seeds."""

    def judge(frame: pd.DataFrame) -> list[str]:
        filled = judge_of(study)(Pairs.of(frame, study.baseline.name))
        return _verdicts(study, filled.sign, *_over_seeds(study, filled))

    actual = _verdicts(study, tests.sign, *_over_seeds(study, tests))
    texts = FailedSeeds(study.baseline.name, study.metric.direction)(trials, actual, judge)
    return [f"over seeds alone: {text}" if text and over_images else text for text in texts]
