"""What a table has to say of single rows and columns beside their numbers; each only where it is true."""

from __future__ import annotations

from ablate.reporting.comparison import Comparison, published_columns
from ablate.reporting.methods import one_sample
from ablate.reporting.statistics.verdicts import AGREES, BETTER, WORSE, verdict_text
from ablate.study.designs import other_names
from ablate.wording import plural

#: Before a published number that is only roughly known.
ABOUT = "≈"


def fairness(comparison: Comparison) -> list[str]:
    """Who was tuned how much, where the study says so."""
    names = [variant.name for variant in comparison.study.variants]
    # The study may also speak of rungs that no result has led to yet.
    tuned = {name: count for name, count in comparison.study.analysis.tuned.items() if name in names}
    if not tuned:
        return []
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
    study = comparison.study
    columns, analysis = published_columns(study), study.analysis
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
            f"{BETTER}, {WORSE}: the measured mean is not the number as printed, by a one-sample {one_sample(study)} "
            f"with Holm's correction over the column, at {analysis.alpha:g}."
        )
    if AGREES in stands:
        margin = verdict_text(AGREES, analysis.margin, study.metric.unit)
        found.append(
            f"{margin} of the number as printed: by the {one_sample(study)} on either side, corrected likewise."
        )
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
