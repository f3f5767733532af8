"""The words that say what the numbers are."""

from __future__ import annotations

import math
from collections.abc import Collection

from ablate.reporting import methods, row_notes
from ablate.reporting.comparison import Comparison
from ablate.reporting.methods import BOTH, IMAGES
from ablate.reporting.numbers import duration
from ablate.reporting.row_notes import ABOUT
from ablate.study.study import Study
from ablate.wording import plural

__all__ = [
    "ABOUT", "BOTH", "IMAGES", "NOT_TRAINED", "SENSITIVITY", "better", "changes_caption", "comparison_caption",
    "failures_caption", "paper_caption", "published_caption", "recipe_caption",
    "terminal_caption", "what_was_done",
]  # fmt: skip

NOT_TRAINED = "not trained"
#: Heading of what verdicts would be.
SENSITIVITY = "If they had not failed"
#: So many Variants are named whose Trials are in no number.
_NAMED = 6


def better(study: Study) -> str:
    """Which way the metric is better."""
    return "higher is better" if study.metric.direction == "maximize" else "lower is better"


def comparison_caption(comparison: Comparison) -> str:
    """What each column of the comparison table is."""
    parts = [
        *_results(comparison),
        *methods.effect_size(comparison),
        *row_notes.fairness(comparison),
        *row_notes.names(comparison),
        *row_notes.judged(comparison),
        *methods.limits(comparison),
        *methods.costs(comparison),
        "Time: of training one Trial, mean over its seeds, as measured where it ran.",
        *row_notes.published(comparison),
        *row_notes.selection(comparison),
    ]
    return " ".join(parts)


def terminal_caption(comparison: Comparison, left_out: Collection[str]) -> str:
    """The same for a terminal, where the report is at hand: results, tests, fairness; without columns `left_out`."""
    parts = [
        *_results(comparison, BOTH not in left_out),
        *row_notes.fairness(comparison),
        *row_notes.judged(comparison),
    ]
    return " ".join([*parts, *_beyond(comparison), *row_notes.selection(comparison)])


def _results(comparison: Comparison, images: bool = True) -> list[str]:
    return [
        f"{comparison.metric_title}, {better(comparison.study)}: {methods.means(comparison)}",
        methods.COUNTS,
        methods.differences(comparison),
        *(methods.of_images(comparison) if images else ()),
        *methods.how_tested(comparison, marked=False),
    ]


def paper_caption(comparison: Comparison, narrow: bool = False) -> tuple[str, str]:
    """Caption of the comparison in LaTeX, and the notes that stand below it; `narrow` ones are short."""
    study = comparison.study
    seeds = plural(len(study.seeds), "seed")
    if study.sequential is not None:
        seeds = f"{study.sequential.least} to {study.sequential.most} seeds"
    caption = f"{_heading(comparison)} ({better(study)}): each Variant against the baseline, {seeds}."
    metric = f"{comparison.metric_title}: {methods.means(comparison)}"
    if narrow:
        notes = [metric, methods.differences(comparison), *methods.how_tested(comparison, marked=True, brief=True)]
        notes.append(methods.NO_INTERVAL)
    else:
        notes = [
            metric,
            methods.COUNTS,
            methods.differences(comparison),
            *methods.of_images(comparison),
            *methods.how_tested(comparison, marked=True),
            *row_notes.names(comparison),
            *methods.limits(comparison),
            *methods.costs(comparison),
        ]
    notes += [*row_notes.fairness(comparison), *row_notes.judged(comparison), *row_notes.selection(comparison)]
    return caption, " ".join(notes)


def published_caption(comparison: Comparison) -> tuple[str, str]:
    """Caption of the published numbers in LaTeX, and the notes that stand below them."""
    caption = f"{_heading(comparison)} beside published numbers."
    notes = [f"{comparison.metric_title}: {methods.means(comparison)}", *row_notes.published(comparison)]
    return caption, " ".join([*notes, *row_notes.selection(comparison)])


def _heading(comparison: Comparison) -> str:
    title = comparison.metric_title
    return f"{title[:1].upper()}{title[1:]} of {comparison.study.name} at profile {comparison.study.profile}"


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
    """What the second table lists, and whose verdict hangs on it beside those in the table."""
    trials = comparison.trials
    without, planned = trials.loc[trials["metric"].isna(), "trial_id"].nunique(), trials["trial_id"].nunique()
    parts = [
        f"The {plural(without, 'Trial')} of {planned} without a result, and why. They are missing from "
        "the means and differences above, whose n says so."
    ]
    told = comparison.summary[comparison.summary["sensitivity"] != ""]
    if len(told):
        parts.append(
            f"{SENSITIVITY}: the verdict were each failed seed as bad, or as good, as its Variant's others, or as bad "
            "as the study's worst."
        )
    listed = set(comparison.failures["variant"])
    rest = [(name, text) for name, text in zip(told["variant"], told["sensitivity"], strict=True) if name not in listed]
    changed = [f"{name}: {text}" for name, text in rest if not str(text).startswith("stays ")]
    if rest:
        kept = len(rest) - len(changed)
        others = plural(len(rest), "other Variant")
        parts.append(f"With the baseline's filled in so, {kept} of {others} keep the verdict.")
    parts += [f"{text}." for text in changed]
    return " ".join(parts)


def _seeds(study: Study) -> str:
    """`3 seeds (0, 1, 2)`, or between which numbers results decided."""
    if (limits := study.sequential) is None:
        return f"{plural(len(study.seeds), 'seed')} ({', '.join(map(str, study.seeds))})"
    by_now = [sum(trial.variant == variant.name for trial in study.trials) for variant in study.variants]
    return (
        f"{limits.least} seeds, and with one more at a time up to {limits.most} as long as there was no verdict "
        f"({min(by_now)} to {max(by_now)} by now)"
    )


def what_was_done(comparison: Comparison) -> str:
    """The experiment in a paragraph, as one would write it in a paper's appendix."""
    study, trials = comparison.study, comparison.trials.drop_duplicates("trial_id")
    others = len(study.variants) - 1
    status = trials["status"].value_counts()
    finished, failed = int(status.get("finished", 0)), int(status.get("failed", 0))
    waiting = len(trials) - finished - failed
    text = (
        f"The baseline and {plural(others, 'Variant')} were each to be trained with {_seeds(study)}, "
        f"{_number(comparison)} in all, at profile {study.profile}: {finished} finished, {failed} failed"
    )
    text += f" and {waiting} are not done. " if waiting else ". "
    text += " ".join([*_beyond(comparison), _teachers(comparison)])
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


def _beyond(comparison: Comparison) -> list[str]:
    """Which finished Trials lie beyond the point where a study that grows has stopped; nothing where none do."""
    if not comparison.beyond:
        return []
    seeds: dict[str, list[int]] = {}
    for trial in comparison.beyond:
        seeds.setdefault(trial.variant, []).append(trial.seed)
    told = [f"{name}, seed{'s' * (len(of) > 1)} {', '.join(map(str, of))}" for name, of in seeds.items()]
    rest = len(told) - _NAMED
    which = "; ".join([*told[:_NAMED], *([f"and of {plural(rest, 'more Variant')}"] if rest > 0 else [])])
    many = len(comparison.beyond) > 1
    return [
        f"{plural(len(comparison.beyond), 'finished Trial')} ({which}) {'lie' if many else 'lies'} beyond the point to "
        f"which the results lead this study, and {'are' if many else 'is'} in no number."
    ]


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
