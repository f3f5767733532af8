"""How the numbers of the comparison came about: sentences for captions, each only where it is true."""

from __future__ import annotations

import math

from ablate.reporting.comparison import Comparison, published_columns
from ablate.reporting.judging import is_over_images
from ablate.reporting.statistics import HELPS, HURTS, SAME, UNSURE, first_step
from ablate.reporting.statistics.verdicts import AGREES, BETTER, WORSE, verdict_text
from ablate.study.designs import other_names
from ablate.study.study import Study

#: Before a published number that is only roughly known.
ABOUT = "≈"
#: Headings of the intervals that speak of images.
BOTH, IMAGES = "Other seeds and images", "Other images"
COUNTS = "n: seeds with a result of those planned."
NO_INTERVAL = "A Trial without a result lowers n; nothing is imputed. Where seeds agree exactly, or n < 2, no interval."


def plural(n: int, noun: str) -> str:
    """`1 Trial`, `2 Trials`."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def level(study: Study) -> str:
    """Of the intervals: `95 %`."""
    return f"{100 * (1 - study.analysis.alpha):.10g} %"


def difference_unit(study: Study) -> str:
    """What differences of the metric are counted in: percentage points for a metric in percent."""
    unit = study.metric.unit
    return "percentage points" if unit == "%" else unit


def means(comparison: Comparison) -> str:
    """What stands in the metric's column."""
    study = comparison.study
    interval = f"{level(study)} t interval (n − 1 degrees of freedom)"
    text = f"mean over the seeds with a result ± half the width of its {interval}"
    if study.sequential is not None:
        text += ", which takes no account of when seeds were added"
    return f"{text}."


def differences(comparison: Comparison) -> str:
    """What stands in the column of differences."""
    study = comparison.study
    text = "Difference: Variant − baseline, paired by seed, over the seeds with a result on both sides; in brackets "
    if study.sequential is None:
        return f"{text}its {level(study)} t interval, not adjusted for the number of comparisons."
    return (
        f"{text}its {level(study)} repeated confidence interval (Jennison and Turnbull, 1989), which holds however "
        "often one has looked, not adjusted for the number of comparisons."
    )


def of_images(comparison: Comparison) -> list[str]:
    """What the intervals over images are, of those that are shown."""
    summary, study, found = comparison.summary, comparison.study, []
    both, images = summary["both_low"].notna(), summary["images_low"].notna()
    if both.any():
        found.append(
            f"{BOTH}: {level(study)} interval of the same difference for other seeds on other held-out images, by the "
            "outcomes of each seed on each image (two-way analysis of variance, seeds crossed with images)."
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
    if not marked and comparison.summary["seeds_needed"].notna().any():
        found.append(
            f"{UNSURE}: in brackets how many seeds more would settle it with a chance of 80 % if estimate and spread "
            "stay as they are, an order of magnitude."
        )
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


def _over_images(comparison: Comparison) -> bool:
    return is_over_images(comparison.study, comparison.examples)


def _test(comparison: Comparison) -> str:
    looks = "" if comparison.study.sequential is None else ", of all looks at the growing results"
    if _over_images(comparison):
        return "two-sided, of no difference for other seeds on other images"
    return f"two-sided paired t test{looks}"


def _stopping(comparison: Comparison) -> list[str]:
    study = comparison.study
    if study.sequential is None:
        return []
    least, most = study.sequential.least, study.sequential.most
    told = (
        f"Seeds were added, from {least} up to {most}, only where a verdict was open. p is the probability that the "
        "smallest p of all possible looks is as small where there is no effect (Pocock's boundary, 1977, for t tests), "
        "so p and the intervals of differences hold under this stopping; all other numbers take seeds as fixed."
    )
    if saved := trials_saved(comparison):
        told += (
            f" Verdicts that were reached early have saved {plural(saved, 'Trial')} of the "
            f"{len(study.variants) * most} that {most} seeds of every Variant would take."
        )
    return [told]


def trials_saved(comparison: Comparison) -> int:
    """Trials that need not be trained since a verdict was reached before the last seed; the baseline's once none is
    open any more.
    """
    study, summary = comparison.study, comparison.summary
    if study.sequential is None:
        return 0
    decided = dict(zip(summary["variant"], summary["verdict"].isin((HELPS, HURTS, SAME)), strict=True))
    decided[study.baseline.name] = all(decided[variant.name] for variant in study.variants[1:])
    seeds = comparison.trials.groupby("variant")["seed"].nunique()
    return int(sum(study.sequential.most - int(seeds[name]) for name, is_decided in decided.items() if is_decided))


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


def fairness(comparison: Comparison) -> list[str]:
    """Who was tuned how much, where the study says so."""
    tuned = dict(comparison.study.analysis.tuned)
    if not tuned:
        return []
    names = [variant.name for variant in comparison.study.variants]
    groups: dict[int | bool | None, list[str]] = {}
    for name in names:
        groups.setdefault(tuned.get(name), []).append(name)
    if len(groups) == 1:
        return [f"Tuned alike, {_settings(next(iter(groups)))} for each Variant."]
    told = [f"{', '.join(of) if len(of) <= 6 else f'{len(of)} Variants'}: {_settings(n)}" for n, of in groups.items()]
    return [
        f"Tuned unequally, before this comparison: {'; '.join(told)}. Differences favour what was tuned more, by an "
        "amount that nothing here measures."
    ]


def _settings(number: int | bool | None) -> str:
    if number is None:
        return "the study says nothing of tuning"
    if number is True:
        return "tuned, settings not counted"
    return f"{plural(number, 'setting')} tried" if number else "not tuned"


def names(comparison: Comparison) -> list[str]:
    """Variants that the design names twice, and those that are there for their size."""
    variants = comparison.study.variants
    others = {v.name: other_names(v, comparison.study.factors) for v in variants}
    twice = [f"{name} is also {' and '.join(also)}" for name, also in others.items() if also]
    controls = [f"{v.name} of {v.control_of}{f' ({v.note})' if v.note else ''}" for v in variants if v.control_of]
    found = [f"One Recipe, trained once, under several names: {'; '.join(twice)}."] if twice else []
    if controls:
        found.append(
            "Controls of matched capacity, the same change in a model adjusted to the baseline's number of "
            f"parameters: {'; '.join(controls)}."
        )
    return found


def published(comparison: Comparison) -> list[str]:
    """Where published numbers come from, and what stands beside them."""
    columns, analysis = published_columns(comparison.study), comparison.study.analysis
    found = [
        f"{label}: published numbers from {column.source}{f' ({column.note})' if column.note else ''}."
        for label, column in columns.items()
    ]
    if columns:
        found.append(
            "Beside published numbers, measured − published ± the half-width of the measured mean; what the published "
            "ones owe to luck is not in it."
        )
    stands = {str(s) for label in columns for s in comparison.summary[f"stands.{label}"]}
    if stands & {BETTER, WORSE}:
        found.append(
            f"{BETTER}, {WORSE}: the measured mean is not the number as printed, by a one-sample t test with Holm's "
            f"correction over the column, at {analysis.alpha:g}."
        )
    if AGREES in stands:
        margin = verdict_text(AGREES, analysis.margin, comparison.study.metric.unit)
        found.append(f"{margin} of the number as printed: by two one-sided t tests, corrected likewise.")
    if any(text.startswith(ABOUT) for column in columns.values() for text in column.texts.values()):
        found.append(f"{ABOUT}: only roughly known, such as read off a plot.")
    return found


def judged(comparison: Comparison) -> list[str]:
    """Which Variants are judged by other weights."""
    study = comparison.study
    named = "; ".join(v.name for v in study.variants if study.metric_of(v.recipe) != study.metric.name)
    return [f"Judged by the moving average of the weights, and not by the final ones: {named}."] if named else []


def selection(comparison: Comparison) -> list[str]:
    """That this is no whole study, where it is none."""
    return [f"This is a selection of the study: {text}."] if (text := comparison.study.selection) else []
