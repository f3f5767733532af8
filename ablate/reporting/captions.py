"""The words that say what the numbers are."""

from __future__ import annotations

import math

from ablate.reporting.comparison import Comparison
from ablate.reporting.numbers import duration
from ablate.study.study import Study

NOT_TRAINED = "not trained"


def better(study: Study) -> str:
    """Which way the metric is better."""
    return "higher is better" if study.metric.direction == "maximize" else "lower is better"


def plural(n: int, noun: str) -> str:
    """`1 Trial`, `2 Trials`."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def comparison_caption(comparison: Comparison) -> str:
    """What each column of the comparison table is."""
    study, summary = comparison.study, comparison.summary
    family = len(summary) - 1
    parts = [
        f"{comparison.metric_title}, {better(study)}: mean over the seeds with a result ± half the width of its 95 % "
        "t interval (n − 1 degrees of freedom); n counts seeds with a result of those planned.",
        "Difference: Variant − baseline, paired by seed, over the seeds with a result on both sides; in brackets its "
        "95 % t interval, not adjusted for the number of comparisons.",
        f"p: two-sided paired t test, adjusted by Holm's method over the {plural(family, 'comparison')} of this table. "
        "Verdict: by the adjusted p at 0.05, so an interval may exclude zero without a verdict.",
        "The intervals speak of the luck of a seed (init, order, augmentation), not of the choice of held-out data, "
        "which all Trials share.",
        "A Trial without a result lowers n; nothing is imputed. Where seeds agree exactly, or n < 2, no interval.",
    ]
    if summary["parameters"].notna().any():
        parts.append("Parameters: trainable parameters.")
    parts.append("Time: of training one Trial, mean over its seeds, as measured where it ran.")
    parts += [
        f"{column.label}: published numbers from {column.source}{f' ({column.note})' if column.note else ''}; "
        "beside them, measured − published."
        for column in study.published
    ]
    if study.selection:
        parts.append(f"This is a selection of the study: {study.selection}.")
    return " ".join(parts)


def failures_caption(comparison: Comparison) -> str:
    """What the second table lists."""
    without = int(comparison.trials["metric"].isna().sum())
    return (
        f"The {plural(without, 'Trial')} of {len(comparison.trials)} without a result, and why. They are missing from "
        "the means and differences above, whose n says so."
    )


def what_was_done(comparison: Comparison) -> str:
    """The experiment in a paragraph, as one would write it in a paper's appendix."""
    study, trials = comparison.study, comparison.trials
    others = len(study.variants) - 1
    seeds = ", ".join(map(str, study.seeds))
    status = trials["status"].value_counts()
    finished, failed = int(status.get("finished", 0)), int(status.get("failed", 0))
    waiting = len(trials) - finished - failed
    text = (
        f"The baseline and {plural(others, 'Variant')} were each to be trained with {plural(len(study.seeds), 'seed')} "
        f"({seeds}), {plural(len(trials), 'Trial')} in all, at profile {study.profile}: {finished} finished, "
        f"{failed} failed"
    )
    text += f" and {waiting} are not done. " if waiting else ". "
    total = float(trials["seconds"].sum())
    if math.isfinite(total) and total > 0:
        text += f"Training took {duration(total)} summed over Trials. "
    data = study.baseline.recipe.get("data")
    if isinstance(data, dict) and "evaluate_on" in data:
        text += f"Trials were judged on the {data['evaluate_on']} images of {data.get('source', 'the data')}. "
    return text + (
        f"Every Variant was compared with the baseline seed by seed on {study.metric.label or study.metric.name} "
        f"({better(study)}); seeds share their random streams with the baseline's wherever the Recipes allow."
    )


def figure_captions(comparison: Comparison) -> dict[str, str]:
    """Figure name -> what it shows."""
    study = comparison.study
    wide = (
        "Where a few Variants are far from the rest, the first panel keeps to the rest: arrows with numbers stand for "
    )
    wide += "what lies beyond, and the second panel shows the full range."
    return {
        "differences": (
            f"Difference to the baseline in {comparison.metric_title}, {better(study)}: mean over paired seeds with "
            "its unadjusted 95 % t interval; faint points are the single pairs. The marker is the verdict after Holm's "
            f"correction. Diamonds, where drawn, are published differences. {wide}"
        ),
        "curves": (
            "Learning curves against the baseline, one panel per Factor: mean over finished seeds, and the band from "
            "the lowest to the highest seed. Dotted lines that end in a cross are Trials that did not finish. The "
            "vertical axes differ and leave out the first steps."
        ),
        "trials": (
            f"Every Trial's {comparison.metric_title}, one marker shape per seed; the bar is the mean. Trials without "
            f"a result are named at the right. {wide}"
        ),
    }
