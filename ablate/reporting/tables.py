"""The two tables of a report, as DataFrames of formatted text, and as raw numbers for programs."""

from __future__ import annotations

import pandas as pd

from ablate.reporting import numbers
from ablate.reporting.captions import NOT_TRAINED
from ablate.reporting.comparison import Comparison, published_columns

#: Columns whose text stands to the left; the others are numbers.
TEXT_COLUMNS = frozenset({"Variant", "Changes", "Verdict", "Seeds", "Status", "Why"})


def comparison_table(comparison: Comparison) -> pd.DataFrame:
    """One row per Variant, every cell a text; the columns are explained by `comparison_caption`."""
    summary, planned = comparison.summary, comparison.summary["planned"]
    columns: list[tuple[str, list[str]]] = [
        ("Variant", list(summary["variant"])),
        ("Changes", list(summary["changes"])),
        ("n", [f"{n}/{total}" for n, total in zip(summary["n"], planned, strict=True)]),
        (comparison.metric_title, _texts(summary, numbers.with_half_width, "mean", "half")),
        ("Difference", _differences(summary)),
        ("p (Holm)", _texts(summary, numbers.p_value, "p_holm")),
        ("Verdict", [verdict or numbers.NOTHING for verdict in summary["verdict"]]),
    ]
    if summary["parameters"].notna().any():
        columns.append(("Parameters", _texts(summary, numbers.count, "parameters")))
    columns.append(("Time", _texts(summary, numbers.duration, "seconds")))
    for label in published_columns(comparison.study):
        columns.append((label, _texts(summary, numbers.as_given, f"published.{label}")))
        minus = [
            numbers.with_interval(value, value - half, value + half)
            for value, half in zip(summary[f"minus.{label}"], summary["half"], strict=True)
        ]
        columns.append((f"− {label}", [text.split(" [")[0] for text in minus]))
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


def _texts(summary: pd.DataFrame, write: object, *columns: str) -> list[str]:
    assert callable(write)
    return [write(*values) for values in zip(*(summary[column] for column in columns), strict=True)]


def _differences(summary: pd.DataFrame) -> list[str]:
    cells = _texts(summary, numbers.with_interval, "difference", "difference_low", "difference_high")
    cells[0] = "baseline"
    return [
        f"{cell} (n = {pairs})" if i and 0 < pairs < total else cell
        for i, (cell, pairs, total) in enumerate(zip(cells, summary["pairs"], summary["planned"], strict=True))
    ]
