"""The two tables of a report, as DataFrames of formatted text."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pandas as pd

from ablate.reporting import numbers
from ablate.reporting.captions import ABOUT, BOTH, IMAGES, NOT_TRAINED, SENSITIVITY
from ablate.reporting.comparison import Comparison, published_columns
from ablate.reporting.precision import difference_decimals, effect_decimals, mean_decimals
from ablate.reporting.statistics import UNSURE
from ablate.reporting.statistics.verdicts import verdict_text
from ablate.reporting.still_needed import NEEDED, in_words
from ablate.study.study import PublishedColumn

#: Columns whose text stands to the left; the others are numbers.
TEXT_COLUMNS = frozenset(
    {"Variant", "Changes", "Verdict", "Seeds", "Status", "Why", SENSITIVITY}
    | {"Factor", "Level", "First", "Second", "Rung", "Aliased with", "Control"}
)
#: What a cell of numbers begins with.
_NUMERIC = tuple("0123456789+-<>≈[(.×" + numbers.MINUS)


def comparison_table(comparison: Comparison) -> pd.DataFrame:
    """One row per Variant, every cell a text; the columns are explained by `comparison_caption`.

    Columns of which nothing is known are left out. Everything else that is known is in the summary.
    """
    summary, planned = comparison.summary, comparison.summary["planned"]
    means, differences = mean_decimals(comparison), difference_decimals(comparison)
    ends = partial(numbers.ends, decimals=differences)
    effect = partial(numbers.with_interval, decimals=effect_decimals(comparison))
    columns: list[tuple[str, list[str]]] = [
        ("Variant", list(summary["variant"])),
        ("Changes", list(summary["changes"])),
        ("n", [f"{n}/{total}" for n, total in zip(summary["n"], planned, strict=True)]),
        (comparison.metric_title, _texts(summary, partial(numbers.with_half_width, decimals=means), "mean", "half")),
        ("Difference", _differences(summary, differences)),
        *_known(BOTH, _texts(summary, ends, "both_low", "both_high")),
        *_known(IMAGES, _of_images_alone(summary, ends)),
        ("p (Holm)", _texts(summary, numbers.p_value, "p_holm")),
        ("Verdict", verdicts(comparison)),
        *_known("Effect size", _texts(summary, effect, "effect_size", "effect_size_low", "effect_size_high")),
        *_known("Parameters", _texts(summary, numbers.count, "parameters")),
        *_known("FLOPs", _texts(summary, numbers.count, "flops")),
        ("Time", _texts(summary, numbers.duration, "seconds")),
    ]
    for label, column in published_columns(comparison.study).items():
        columns += [
            (label, (given := _as_given(summary, column))),
            (f"− {label}", _minus(summary, label, given, means)),
        ]
    # Not through a dict: a published column may be labelled like one of ours.
    table = pd.DataFrame(list(zip(*(cells for _, cells in columns), strict=True)))
    table.columns = pd.Index([title for title, _ in columns])
    return table


def verdicts(comparison: Comparison) -> list[str]:
    """Each Variant's verdict in words; of an open one, what would probably settle it."""
    analysis, unit = comparison.study.analysis, comparison.study.metric.unit
    cells = []
    needed = zip(*(comparison.summary[name] for name in NEEDED), strict=True)
    for verdict, numbers_needed in zip(comparison.summary["verdict"], needed, strict=True):
        text = verdict_text(str(verdict), analysis.margin, unit) or numbers.NOTHING
        if verdict == UNSURE and (told := in_words(*numbers_needed)):
            text += f" ({told})"
        cells.append(text)
    return cells


def failures_table(comparison: Comparison) -> pd.DataFrame:
    """Trials without a result, every cell a text; empty when there are none."""
    failures = comparison.failures
    table = pd.DataFrame(
        {
            "Variant": failures["variant"],
            "Seeds": failures["seeds"],
            "Status": [NOT_TRAINED if status == "missing" else status for status in failures["status"]],
            "Why": [
                ": ".join(part for part in (cause, error) if part) or numbers.NOTHING
                for cause, error in zip(failures["cause"], failures["error"], strict=True)
            ],
        }
    )
    told = dict(zip(comparison.summary["variant"], comparison.summary["sensitivity"], strict=True))
    if any(told.get(name) for name in table["Variant"]):
        table[SENSITIVITY] = [told.get(name) or numbers.NOTHING for name in table["Variant"]]
    return table


def left_columns(table: pd.DataFrame) -> list[bool]:
    """Of each column of a table of texts, whether it stands to the left: its cells are words and not numbers."""
    return [str(title) in TEXT_COLUMNS or _of_words(table.iloc[:, i]) for i, title in enumerate(table.columns)]


def _of_words(cells: pd.Series) -> bool:
    said = [str(cell) for cell in cells if str(cell) not in ("", numbers.NOTHING, "baseline")]
    return 2 * sum(cell.startswith(_NUMERIC) for cell in said) < len(said)


def _known(title: str, cells: list[str]) -> list[tuple[str, list[str]]]:
    """The column, where it has a number."""
    return [(title, cells)] if any(cell != numbers.NOTHING for cell in cells) else []


def _of_images_alone(summary: pd.DataFrame, write: Callable[..., str]) -> list[str]:
    """The interval for these trainings on other images, where nothing can be said of other seeds on them."""
    cells = _texts(summary, write, "images_low", "images_high")
    return [
        cell if math.isnan(both) else numbers.NOTHING for cell, both in zip(cells, summary["both_low"], strict=True)
    ]


def _texts(summary: pd.DataFrame, write: Callable[..., str], *columns: str) -> list[str]:
    return [write(*values) for values in zip(*(summary[column] for column in columns), strict=True)]


def _differences(summary: pd.DataFrame, decimals: int | None) -> list[str]:
    write = partial(numbers.with_interval, decimals=decimals)
    cells = _texts(summary, write, "difference", "difference_low", "difference_high")
    cells[0] = "baseline"
    return [
        f"{cell} (n = {pairs})" if i and 0 < pairs < total else cell
        for i, (cell, pairs, total) in enumerate(zip(cells, summary["pairs"], summary["planned"], strict=True))
    ]


def _as_given(summary: pd.DataFrame, column: PublishedColumn) -> list[str]:
    """Each Variant's published number as its source writes it; a dash where there is none."""
    return [
        numbers.as_given(column.texts.get(name, f"{column.values[name]:.10g}"))
        if name in column.values
        else numbers.NOTHING
        for name in summary["variant"]
    ]


def _minus(summary: pd.DataFrame, label: str, given: list[str], decimals: int | None) -> list[str]:
    """Measured less published with its half-width, and the verdict; `≈` where the published number has it."""
    cells = []
    fields = [summary[f"{part}.{label}"] for part in ("minus", "minus_low", "minus_high", "stands")]
    for text, value, low, high, stands in zip(given, *fields, strict=True):
        cell = numbers.with_half_width(value, (high - low) / 2, decimals=decimals, sign=True)
        if cell != numbers.NOTHING:
            cell = f"{ABOUT} {cell}" if text.startswith(ABOUT) else cell
            cell += f", {stands}" if stands not in ("", UNSURE) else ""
        cells.append(cell)
    return cells
