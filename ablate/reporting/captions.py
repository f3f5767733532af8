"""The words that say what the numbers are."""

from __future__ import annotations

import math

from ablate.reporting.comparison import Comparison, published_columns
from ablate.reporting.drawn_variants import not_drawn
from ablate.reporting.numbers import duration
from ablate.reporting.statistics import first_step
from ablate.study.study import Study

NOT_TRAINED = "not trained"
#: Before a published number that is only roughly known.
ABOUT = "≈"


def better(study: Study) -> str:
    """Which way the metric is better."""
    return "higher is better" if study.metric.direction == "maximize" else "lower is better"


def plural(n: int, noun: str) -> str:
    """`1 Trial`, `2 Trials`."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def comparison_caption(comparison: Comparison) -> str:
    """What each column of the comparison table is."""
    parts = [
        f"{comparison.metric_title}, {better(comparison.study)}: {_MEANS}",
        _COUNTS,
        _DIFFERENCES,
        *_tests(comparison, "Verdict: by the adjusted p at 0.05"),
        *_judged(comparison),
        *_limits(comparison),
        *_parameters(comparison),
        "Time: of training one Trial, mean over its seeds, as measured where it ran.",
        *_published(comparison),
        *_selection(comparison),
    ]
    return " ".join(parts)


def paper_caption(comparison: Comparison) -> tuple[str, str]:
    """Caption of the comparison in LaTeX, and the notes that stand below it."""
    study = comparison.study
    caption = (
        f"{comparison.metric_title} of {study.name} at profile {study.profile} ({better(study)}): each Variant "
        f"against the baseline, {plural(len(study.seeds), 'seed')}."
    )
    notes = [
        f"{comparison.metric_title}: {_MEANS}",
        _COUNTS,
        _DIFFERENCES,
        *_tests(comparison, "*: a verdict, by the adjusted p at 0.05"),
        *_judged(comparison),
        *_limits(comparison),
        *_parameters(comparison),
        *_selection(comparison),
    ]
    return caption, " ".join(notes)


def published_caption(comparison: Comparison) -> tuple[str, str]:
    """Caption of the published numbers in LaTeX, and the notes that stand below them."""
    study = comparison.study
    caption = f"{comparison.metric_title} of {study.name} at profile {study.profile} beside published numbers."
    return caption, " ".join([f"{comparison.metric_title}: {_MEANS}", *_published(comparison), *_selection(comparison)])


_MEANS = "mean over the seeds with a result ± half the width of its 95 % t interval (n − 1 degrees of freedom)."
_COUNTS = "n: seeds with a result of those planned."
_DIFFERENCES = (
    "Difference: Variant − baseline, paired by seed, over the seeds with a result on both sides; in brackets its "
    "95 % t interval, not adjusted for the number of comparisons."
)


def _tests(comparison: Comparison, verdict: str) -> list[str]:
    family, seeds = len(comparison.summary) - 1, len(comparison.study.seeds)
    if not family:
        return []
    parts = [
        f"p: two-sided paired t test, adjusted by Holm's method over the {plural(family, 'comparison')} of this table. "
        f"{verdict}, so an interval may exclude zero without a verdict."
    ]
    if math.isfinite(t := first_step(family, seeds)):
        parts.append(
            f"With {plural(seeds, 'seed')} and {plural(family, 'comparison')} no Variant has a verdict unless one "
            f"|t| exceeds {t:.1f}, a mean difference of {t / math.sqrt(seeds):.1f} standard deviations of the paired "
            "differences: no verdict is not no effect."
        )
    return parts


def _limits(comparison: Comparison) -> list[str]:
    summary = comparison.summary
    parts = [
        "The intervals speak of the luck of a seed (init, order, augmentation), not of the choice of held-out data, "
        "which all Trials share.",
        "A Trial without a result lowers n; nothing is imputed. Where seeds agree exactly, or n < 2, no interval.",
        "A zero with a sign is a value of that sign, rounded.",
    ]
    if comparison.study.metric.unit == "%" and ((summary["high"] > 100) | (summary["low"] < 0)).any():
        parts.append("A t interval knows nothing of 0 and 100 % and may reach beyond them.")
    return parts


def _parameters(comparison: Comparison) -> list[str]:
    return ["Parameters: trainable parameters."] if comparison.summary["parameters"].notna().any() else []


def _published(comparison: Comparison) -> list[str]:
    columns = published_columns(comparison.study)
    parts = [
        f"{label}: published numbers from {column.source}{f' ({column.note})' if column.note else ''}."
        for label, column in columns.items()
    ]
    if columns:
        parts.append(
            "Beside published numbers, measured − published ± the half-width of the measured mean; what the published "
            "ones owe to luck is not in it."
        )
    if any(text.startswith(ABOUT) for column in columns.values() for text in column.texts.values()):
        parts.append(f"{ABOUT}: only roughly known, such as read off a plot.")
    return parts


def _selection(comparison: Comparison) -> list[str]:
    return [f"This is a selection of the study: {text}."] if (text := comparison.study.selection) else []


def changes_caption() -> str:
    """What the table of changes lists."""
    return (
        "Every field of the Recipe in which a Variant differs from the baseline, and its value in both; all other "
        "fields are the baseline's."
    )


def recipe_caption() -> str:
    """What the table of the Recipe lists."""
    return "Every value that decides the outcome of the baseline's Trials, beside the seed and the data."


def failures_caption(comparison: Comparison) -> str:
    """What the second table lists."""
    trials = comparison.trials
    without, planned = trials.loc[trials["metric"].isna(), "trial_id"].nunique(), trials["trial_id"].nunique()
    return (
        f"The {plural(without, 'Trial')} of {planned} without a result, and why. They are missing from "
        "the means and differences above, whose n says so."
    )


def what_was_done(comparison: Comparison) -> str:
    """The experiment in a paragraph, as one would write it in a paper's appendix."""
    study, trials = comparison.study, comparison.trials.drop_duplicates("trial_id")
    others = len(study.variants) - 1
    seeds = ", ".join(map(str, study.seeds))
    status = trials["status"].value_counts()
    finished, failed = int(status.get("finished", 0)), int(status.get("failed", 0))
    waiting = len(trials) - finished - failed
    text = (
        f"The baseline and {plural(others, 'Variant')} were each to be trained with {plural(len(study.seeds), 'seed')} "
        f"({seeds}), {_number(comparison)} in all, at profile {study.profile}: {finished} finished, {failed} failed"
    )
    text += f" and {waiting} are not done. " if waiting else ". "
    text += _teachers(comparison)
    total = float(trials["seconds"].sum())
    if math.isfinite(total) and total > 0:
        aside = ", teachers aside" if len(comparison.teachers) else ""
        text += f"Training took {duration(total)} summed over Trials{aside}. "
    data = study.baseline.recipe.get("data")
    if isinstance(data, dict) and "evaluate_on" in data:
        text += f"Trials were judged on the {data['evaluate_on']} images of {data.get('source', 'the data')}. "
    return text + (
        f"Every Variant was compared with the baseline seed by seed on {study.metric.label or study.metric.name} "
        f"({better(study)}); seeds share their random streams with the baseline's wherever the Recipes allow."
    )


def _number(comparison: Comparison) -> str:
    """`9 Trials`, or `9 results from 6 Trials` where Variants share them."""
    results, trials = len(comparison.trials), int(comparison.trials["trial_id"].nunique())
    return plural(trials, "Trial") if results == trials else f"{results} results from {plural(trials, 'Trial')}"


def _teachers(comparison: Comparison) -> str:
    """Which teachers were trained first, and how good they are; nothing where there are none."""
    metric, sentences = comparison.study.metric, []
    for row in comparison.teachers.to_dict("records"):
        who = f"The teacher {row['teacher']} (Trial {row['trial_id']}, seed {row['seed']})"
        if math.isfinite(row["metric"]):
            unit = f" {metric.unit}" if metric.unit else ""
            sentences.append(f"{who} was trained first, to {metric.label or metric.name} {row['metric']:.4g}{unit}. ")
        elif row["status"] in ("finished", "failed"):
            sentences.append(f"{who} has no result: {': '.join(filter(None, (row['cause'], row['error'])))}. ")
        else:
            sentences.append(f"{who} is not trained yet. ")
    return "".join(sentences)


def _judged(comparison: Comparison) -> list[str]:
    study = comparison.study
    names = "; ".join(v.name for v in study.variants if study.metric_of(v.recipe) != study.metric.name)
    return [f"Judged by the moving average of the weights, and not by the final ones: {names}."] if names else []


def figure_captions(comparison: Comparison) -> dict[str, str]:
    """Figure name -> what it shows."""
    study = comparison.study
    wide = (
        "Where a few Variants are far from the rest, the first panel keeps to the rest: arrows with numbers stand for "
    )
    wide += "what lies beyond, and the second panel shows the full range."
    few = not_drawn(comparison)
    return {
        "differences": (
            f"Difference to the baseline in {comparison.metric_title}, {better(study)}: mean over paired seeds with "
            "its unadjusted 95 % t interval; faint points are the single pairs. The marker is the verdict after Holm's "
            "correction. Open grey signs, where drawn, are published differences to the published baseline, one shape "
            f"per source. {wide}{few}"
        ),
        "curves": (
            "Learning curves against the baseline, one panel per Factor: mean over finished seeds, and the band from "
            "the lowest to the highest seed. Dotted lines that end in a cross are Trials that did not finish. The "
            f"vertical axes differ and leave out the first steps.{few}"
        ),
        "trials": (
            f"Every Trial's {comparison.metric_title}, one marker shape per seed; the bar is the mean. Trials without "
            f"a result are named at the right by seed and cause. {wide}{few}"
        ),
    }
