"""How the numbers of the comparison came about: sentences for captions, each only where it is true."""

from __future__ import annotations

import math

from ablate.reporting.comparison import Comparison
from ablate.reporting.judging import is_over_images
from ablate.reporting.statistics import HELPS, HURTS, SAME, UNSURE, first_step
from ablate.reporting.statistics.verdicts import verdict_text
from ablate.reporting.still_needed import NEEDED
from ablate.study.study import Study
from ablate.wording import plural

#: Headings of the intervals that speak of images.
BOTH, IMAGES = "Other seeds and images", "Other images"
COUNTS = "n: seeds with a result of those planned."
NO_INTERVAL = "A Trial without a result lowers n; nothing is imputed. Where seeds agree exactly, or n < 2, no interval."


def level(study: Study) -> str:
    """Of the intervals: `95 %`."""
    return f"{100 * (1 - study.analysis.alpha):.10g} %"


def difference_unit(study: Study) -> str:
    """What differences of the metric are counted in: percentage points for a metric in percent."""
    unit = study.metric.unit
    return "percentage points" if unit == "%" else unit


def interval(study: Study) -> str:
    """What the intervals over seeds are: `95 % t interval`, or the one that allows for looking again and again."""
    return f"{level(study)} {'t interval' if study.sequential is None else 'repeated confidence interval'}"


def paired_test(study: Study) -> str:
    """What the p values over seeds are of."""
    return "paired t test" + ("" if study.sequential is None else ", of all looks at the growing results")


def one_sample(study: Study) -> str:
    """The same where there is nothing to pair."""
    return "t test" + ("" if study.sequential is None else " of all looks at the growing results")


def means(comparison: Comparison) -> str:
    """What stands in the metric's column."""
    study = comparison.study
    freedom = " (n − 1 degrees of freedom)" if study.sequential is None else ""
    return f"mean over the seeds with a result ± half the width of its {interval(study)}{freedom}."


def differences(comparison: Comparison) -> str:
    """What stands in the column of differences."""
    study = comparison.study
    text = "Difference: Variant − baseline, paired by seed, over the seeds with a result on both sides; in brackets "
    holds = (
        "" if study.sequential is None else " (Jennison and Turnbull, 1989), which holds however often one has looked"
    )
    return f"{text}its {interval(study)}{holds}, not adjusted for the number of comparisons."


def of_images(comparison: Comparison) -> list[str]:
    """What the intervals over images are, of those that are shown."""
    summary, study, found = comparison.summary, comparison.study, []
    both, images = summary["both_low"].notna(), summary["images_low"].notna()
    if both.any():
        what = f"{level(study)} {'interval' if study.sequential is None else 'repeated confidence interval'}"
        found.append(
            f"{BOTH}: {what} of the same difference for other seeds on other held-out images, by the outcomes of each "
            "seed on each image (two-way analysis of variance, seeds crossed with images)."
        )
    if (images & ~both).any():
        found.append(
            f"{IMAGES}: {level(study)} interval for these very trainings on other held-out images, where there are too "
            "few seeds to speak of others."
        )
    return found + list(comparison.examples.notes if comparison.examples else ())


def how_tested(comparison: Comparison, marked: bool, brief: bool = False) -> list[str]:
    """How p and the verdict came about; `marked` where the verdict is a sign in the row, `brief` without the power."""
    study, family = comparison.study, len(comparison.summary) - 1
    if not family:
        return []
    analysis = study.analysis
    what = "*: helps or hurts" if marked else f"Verdict: {HELPS} or {HURTS}"
    found = [
        f"p: {_test(comparison)}, adjusted by Holm's method over the {plural(family, 'comparison')} of this table. "
        f"{what}, by the adjusted p at {analysis.alpha:g}, so an interval may exclude zero without a verdict."
    ]
    if analysis.margin is not None:
        sign = "=: " if marked else ""
        found.append(
            f"{sign}{verdict_text(SAME, analysis.margin, study.metric.unit)}: two one-sided tests against the margin, "
            "which the study names (TOST), adjusted in the same way; said also of a difference beyond chance that is "
            "shown to be smaller."
        )
    if not marked:
        found += _needed(comparison)
    if analysis.over == "seeds_and_images" and not _over_images(comparison):
        found.append(
            "The study asks for verdicts over other images, too; no outcomes by image that tell its metric are here, "
            "so they speak of other seeds on the same images."
        )
    seeds = len(study.seeds)
    if not brief and study.sequential is None and not _over_images(comparison):
        t = first_step(family, seeds, analysis.alpha)
        if math.isfinite(t):
            found.append(
                f"With {plural(seeds, 'seed')} and {plural(family, 'comparison')} no Variant is said to help or hurt "
                f"unless one |t| exceeds {t:.1f}, a mean difference of {t / math.sqrt(seeds):.1f} standard deviations "
                "of the paired differences: no verdict is not no effect."
            )
    return found + _stopping(comparison)


def _needed(comparison: Comparison) -> list[str]:
    """What the numbers in brackets behind an open verdict are."""
    summary = comparison.summary
    seeds, images, most = (bool(summary[name].notna().any()) for name in NEEDED)
    if not seeds and not images:
        return []
    by = "the test of this study" if comparison.study.sequential is None else "the looks of this study with each seed"
    found = [
        f"{UNSURE}: in brackets what would settle it with a chance of 80 % by {by} if estimate and spread stay as they "
        "are, an order of magnitude."
    ]
    if images:
        found.append(
            "Images are told where no number of seeds on these images would do: so many in all, for the same "
            "trainings, or, beside a number of seeds, together with them."
        )
    if most:
        found.append(
            "max: the number of seeds that the study would have to allow. The tests would then be those of a study "
            "that had allowed so many from the beginning; a maximum that is raised because verdicts are open has been "
            "chosen by the results, and makes wrong verdicts somewhat likelier."
        )
    return found


def _over_images(comparison: Comparison) -> bool:
    return is_over_images(comparison.study, comparison.examples)


def _test(comparison: Comparison) -> str:
    if _over_images(comparison):
        looks = "" if comparison.study.sequential is None else ", of all looks at the growing results"
        return f"two-sided, of no difference for other seeds on other images{looks}"
    return f"two-sided {paired_test(comparison.study)}"


def _stopping(comparison: Comparison) -> list[str]:
    study = comparison.study
    if study.sequential is None:
        return []
    least, most = study.sequential.least, study.sequential.most
    boundary = "Pocock's boundary, 1977, for t tests"
    if _over_images(comparison):
        boundary += ", which these tests reach less often"
    told = (
        f"Seeds were added, from {least} up to {most}, only where a verdict was open. p is the probability that the "
        f"smallest p of all possible looks is as small where there is no effect ({boundary}), so p and the intervals "
        "hold under this stopping; effect sizes, and intervals found by the bootstrap or for these trainings on other "
        "images, take seeds as fixed."
    )
    if saved := trials_saved(comparison):
        told += (
            f" Verdicts that were reached early have saved {plural(saved, 'Trial')} of the "
            f"{len(_sharing(comparison)) * most} that {most} seeds of every Variant would take."
        )
    return [told]


def trials_saved(comparison: Comparison) -> int:
    """Trials that need not be trained since a verdict was reached before the last seed; the baseline's once none is
    open any more. Those that Variants share are saved once all of these are decided.
    """
    study, summary = comparison.study, comparison.summary
    if study.sequential is None:
        return 0
    decided = dict(zip(summary["variant"], summary["verdict"].isin((HELPS, HURTS, SAME)), strict=True))
    decided[study.baseline.name] = all(decided[variant.name] for variant in study.variants[1:])
    seeds = comparison.trials.groupby("variant")["seed"].nunique()
    return sum(
        study.sequential.most - max(int(seeds[name]) for name in names)
        for names in _sharing(comparison)
        if all(decided[name] for name in names)
    )


def _sharing(comparison: Comparison) -> list[list[str]]:
    """The Variants' names, those together whose Trials are the same: they differ in what is judged of them."""
    groups: dict[str, list[str]] = {}
    for name, trial_id in comparison.trials.groupby("variant", sort=False)["trial_id"].first().items():
        groups.setdefault(str(trial_id), []).append(str(name))
    return list(groups.values())


def effect_size(comparison: Comparison) -> list[str]:
    """What the column says, where it is there."""
    if not comparison.summary["effect_size"].notna().any():
        return []
    return [
        "Effect size: Hedges' g, the difference in standard deviations of one pair's difference, with its "
        f"{level(comparison.study)} interval."
    ]


def limits(comparison: Comparison) -> list[str]:
    """What the numbers do not say."""
    summary = comparison.summary
    images = summary[["both_low", "images_low"]].notna().any(axis=None)
    which = "All other intervals speak" if images else "The intervals speak"
    luck = f"{which} of the luck of a seed (init, order, augmentation), not of the choice of held-out data, which all "
    found = [
        *([f"{luck}Trials share."] if (summary["n"] > 1).any() else []),
        NO_INTERVAL,
        "A zero with a sign is a value of that sign, rounded.",
    ]
    if comparison.study.metric.unit == "%" and ((summary["high"] > 100) | (summary["low"] < 0)).any():
        found.append("A t interval knows nothing of 0 and 100 % and may reach beyond them.")
    return found


def costs(comparison: Comparison) -> list[str]:
    """What the columns of cost are."""
    found = []
    if comparison.summary["parameters"].notna().any():
        found.append("Parameters: trainable parameters.")
    if comparison.summary["flops"].notna().any():
        found.append("FLOPs: of one image's forward pass, two to a multiply-add.")
    return found
