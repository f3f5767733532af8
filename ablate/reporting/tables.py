"""The two tables of a report, as DataFrames of formatted text, and as raw numbers for programs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pandas as pd

from ablate.reporting import numbers
from ablate.reporting.captions import ABOUT, NOT_TRAINED
from ablate.reporting.comparison import Comparison, published_columns
from ablate.reporting.precision import difference_decimals, mean_decimals
from ablate.study.study import PublishedColumn

#: Columns whose text stands to the left; the others are numbers.
TEXT_COLUMNS = frozenset({"Variant", "Changes", "Verdict", "Seeds", "Status", "Why"})


def comparison_table(comparison: Comparison) -> pd.DataFrame:
    """One row per Variant, every cell a text; the columns are explained by `comparison_caption`."""
    summary, planned = comparison.summary, comparison.summary["planned"]
    means, differences = mean_decimals(comparison), difference_decimals(comparison)
    columns: list[tuple[str, list[str]]] = [
        ("Variant", list(summary["variant"])),
        ("Changes", list(summary["changes"])),
        ("n", [f"{n}/{total}" for n, total in zip(summary["n"], planned, strict=True)]),
        (comparison.metric_title, _texts(summary, partial(numbers.with_half_width, decimals=means), "mean", "half")),
        ("Difference", _differences(summary, differences)),
        ("p (Holm)", _texts(summary, numbers.p_value, "p_holm")),
        ("Verdict", [verdict or numbers.NOTHING for verdict in summary["verdict"]]),
    ]
    if summary["parameters"].notna().any():
        columns.append(("Parameters", _texts(summary, numbers.count, "parameters")))
    columns.append(("Time", _texts(summary, numbers.duration, "seconds")))
    for label, column in published_columns(comparison.study).items():
        columns += [
            (label, (given := _as_given(summary, column))),
            (f"− {label}", _minus(summary, label, given, means)),
        ]
    # Not through a dict: a published column may be labelled like one of ours.
    table = pd.DataFrame(list(zip(*(cells for _, cells in columns), strict=True)))
    table.columns = pd.Index([title for title, _ in columns])
    return table


def failures_table(comparison: Comparison) -> pd.DataFrame:
    """Trials without a result, every cell a text; empty when there are none."""
    failures = comparison.failures
    return pd.DataFrame(
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
    """Measured less published, with the half-width of the measured mean; `≈` where the published number has it."""
    write = partial(numbers.with_half_width, decimals=decimals, sign=True)
    cells = _texts(summary, write, f"minus.{label}", "half")
    return [
        f"{ABOUT} {cell}" if text.startswith(ABOUT) and cell != numbers.NOTHING else cell
        for cell, text in zip(cells, given, strict=True)
    ]
