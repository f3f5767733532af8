"""The columns of the page's table: all that is known of each Variant, of which a reader chooses what to see."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import pandas as pd
from markupsafe import Markup

from ablate.reporting import methods, numbers
from ablate.reporting.captions import BOTH, IMAGES, SENSITIVITY
from ablate.reporting.comparison import Comparison, published_columns
from ablate.reporting.page import forest
from ablate.reporting.precision import difference_decimals, effect_decimals, mean_decimals
from ablate.reporting.statistics import HELPS, HURTS, SAME, UNSURE
from ablate.reporting.statistics.verdicts import verdict_text
from ablate.reporting.still_needed import NEEDED, in_words
from ablate.study.study import PublishedColumn

#: In the order in which the verdict's column sorts.
ORDER = {HELPS: 0, SAME: 1, UNSURE: 2, HURTS: 3}
_NOTHING = Markup("")


@dataclass(frozen=True, eq=False)
class Column:
    """One column of the comparison."""

    title: str
    texts: Sequence[str | Markup]
    keys: Sequence[str] | None
    """What rows are sorted by; empty for a cell without a number, None where the text itself is the key."""
    about: str
    """What it is, in a sentence for the chooser."""
    kind: Literal["text", "number", "verdict", "drawn"] = "number"
    shown: bool = True
    """Whether it is there before a reader chooses."""
    in_factors: bool = False
    """Whether a Factor's own table has it, too."""
    above: Markup = _NOTHING
    """Drawn below the title: the scale of what is drawn in the cells."""


def columns_of(comparison: Comparison) -> list[Column]:
    """Those that have something to show; Variant is first."""
    summary = comparison.summary
    level = methods.level(comparison.study)
    found = [*_results(comparison, level), *_further(comparison, level), *_costs(summary), *_published(comparison)]
    return [column for column in found if column.title in _ALWAYS or any(map(_says, column.texts))]


_ALWAYS = frozenset({"Variant", "n", "Difference", "Verdict"})


def _says(text: str) -> bool:
    return text not in ("", numbers.NOTHING)


def _results(comparison: Comparison, level: str) -> Iterator[Column]:
    summary = comparison.summary
    means, differences = mean_decimals(comparison), difference_decimals(comparison)
    yield Column("Variant", list(summary["variant"]), None, "Its name in the study.", "text")
    yield Column("Changes", list(summary["changes"]), None, "The Levels in which it differs.", "text")
    planned = [f"{n}/{total}" for n, total in zip(summary["n"], summary["planned"], strict=True)]
    yield Column("n", planned, _keys(summary["n"]), "Seeds with a result of those planned.")
    write = partial(numbers.with_half_width, decimals=means)
    about = f"Mean over seeds ± half its {methods.interval(comparison.study)}."
    yield _numbers(summary, comparison.metric_title, about, write, "mean", "half")
    if (drawn := _drawn(comparison)) is not None:
        yield drawn
    about = f"To the baseline, paired by seed, with its {level} interval."
    texts = _differences(summary, differences)
    yield Column("Difference", texts, _keys(summary["difference"]), about, in_factors=True)
    yield _numbers(summary, "p (Holm)", "Adjusted for all comparisons of this table.", numbers.p_value, "p_holm")
    order = [str(ORDER.get(str(v), "")) for v in summary["verdict"]]
    about = "What may be concluded, and how many further seeds would probably settle what is open."
    yield Column("Verdict", _verdicts(comparison), order, about, "verdict", in_factors=True)


def _drawn(comparison: Comparison) -> Column | None:
    seeds = forest.seeds_of(comparison)
    scale = forest.scale_of(comparison, seeds)
    if scale is None:
        return None
    rows = comparison.summary.to_dict("records")
    cells = [forest.row(scale, row, seeds.get(str(row["variant"]), ())) for row in rows]
    keys, about = _keys(comparison.summary["difference"]), "The difference with its seeds, interval and verdict."
    return Column("Difference, drawn", cells, keys, about, "drawn", in_factors=True, above=forest.axis(scale))


def _further(comparison: Comparison, level: str) -> Iterator[Column]:
    summary, decimals = comparison.summary, difference_decimals(comparison)
    add = partial(_numbers, summary, shown=False)
    ends = partial(numbers.ends, decimals=decimals)
    yield add("p", "Of the difference alone, not adjusted.", numbers.p_value, "p")
    yield add("Further seeds", "That would probably settle an open verdict.", _whole, "seeds_needed")
    if summary["images_needed"].notna().any():
        about = "In all, that would probably settle an open verdict which no seeds on these images would."
        yield add("Images needed", about, _whole, "images_needed")
    yield Column(SENSITIVITY, list(summary["sensitivity"]), None, _SENSITIVE, "text", shown=False)
    yield add("Interval (BCa)", f"{level} bootstrap interval over seeds.", ends, "bca_low", "bca_high")
    yield add(IMAGES, f"{level} interval: these trainings, other images.", ends, "images_low", "images_high")
    about = f"{level} interval: other seeds and other images."
    yield add(BOTH, about, ends, "both_low", "both_high")
    yield add("p, seeds and images", "Of the difference over both, not adjusted.", numbers.p_value, "both_p")
    about = "Of the test that the difference is beyond the margin, adjusted."
    yield add("p of a difference beyond the margin", about, numbers.p_value, "p_same_holm")
    about = "Hedges' g: the difference in standard deviations of one pair's difference."
    g = partial(numbers.with_interval, decimals=effect_decimals(comparison))
    yield add("Effect size", about, g, "effect_size", "effect_size_low", "effect_size_high")
    yield add("Better in", "Share of pairs of seeds in which it is better, ties half.", _share, "superiority")
    write = partial(numbers.with_half_width, half=math.nan, decimals=mean_decimals(comparison))
    yield add("Deviation", "Standard deviation over seeds.", write, "std")


_SENSITIVE = "The verdict if failed seeds had been as bad, or as good, as any seen."


def _costs(summary: pd.DataFrame) -> Iterator[Column]:
    yield _numbers(summary, "Parameters", "Trainable ones.", numbers.count, "parameters")
    about = "Of one image's forward pass, two to a multiply-add."
    yield _numbers(summary, "FLOPs", about, numbers.count, "flops", shown=False)
    yield _numbers(summary, "Time", "Of training one Trial, mean over its seeds.", numbers.duration, "seconds")


def _published(comparison: Comparison) -> Iterator[Column]:
    summary, means = comparison.summary, mean_decimals(comparison)
    for label, column in published_columns(comparison.study).items():
        given = [_as_given(column, name) for name in summary["variant"]]
        yield Column(label, given, _keys(summary[f"published.{label}"]), f"Published: {column.source}.")
        write = partial(numbers.with_interval, decimals=means)
        fields = [f"{part}.{label}" for part in ("minus", "minus_low", "minus_high")]
        about = "Measured less published; what the published number owes to luck is not in it."
        yield _numbers(summary, f"− {label}", about, write, *fields)
        stands = list(summary.get(f"stands.{label}", pd.Series([""] * len(summary))))
        yield Column(f"Beside {label}", stands, None, "How the measured mean stands to it.", "text", shown=False)


def _numbers(
    summary: pd.DataFrame, title: str, about: str, write: Callable[..., str], *fields: str, shown: bool = True
) -> Column:
    """A column of `write(*fields)`, sorted by the first field; empty where the summary lacks one of them."""
    if not all(field in summary for field in fields):
        return Column(title, [""] * len(summary), None, about)
    texts = [write(*values) for values in zip(*(summary[field] for field in fields), strict=True)]
    return Column(title, texts, _keys(summary[fields[0]]), about, shown=shown)


def _keys(values: pd.Series[Any]) -> list[str]:
    return [f"{value:.9g}" if math.isfinite(value) else "" for value in values.astype(float)]


def _differences(summary: pd.DataFrame, decimals: int | None) -> list[str]:
    fields = ("difference", "difference_low", "difference_high", "pairs", "planned")
    cells = [
        numbers.with_interval(value, low, high, decimals) + (f" (n = {pairs})" if 0 < pairs < planned else "")
        for value, low, high, pairs, planned in zip(*(summary[field] for field in fields), strict=True)
    ]
    return ["baseline", *cells[1:]]


def _verdicts(comparison: Comparison) -> list[str | Markup]:
    """Each verdict in words; below an open one, what would probably settle it."""
    margin, unit = comparison.study.analysis.margin, comparison.study.metric.unit
    cells: list[str | Markup] = []
    needed = zip(*(comparison.summary[name] for name in NEEDED), strict=True)
    for verdict, numbers_needed in zip(comparison.summary["verdict"], needed, strict=True):
        text = verdict_text(str(verdict), margin, unit) or numbers.NOTHING
        told = in_words(*numbers_needed) if verdict == UNSURE else ""
        more = f"({told})" if told else ""
        cells.append(Markup("{}<small>{}</small>").format(text, more) if more else text)
    return cells


def _whole(value: float) -> str:
    return f"{value:.0f}" if math.isfinite(value) else numbers.NOTHING


def _share(value: float) -> str:
    return f"{100 * value:.0f} %" if math.isfinite(value) else numbers.NOTHING


def _as_given(column: PublishedColumn, variant: str) -> str:
    if variant not in column.values:
        return numbers.NOTHING
    return numbers.as_given(column.texts.get(variant, f"{column.values[variant]:.10g}"))
