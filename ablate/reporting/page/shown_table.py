"""Any table of the report as the page shows it: cells, what they are sorted by, and which are words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from ablate.reporting.comparison import Comparison
from ablate.reporting.named_table import NamedTable
from ablate.reporting.tables import failures_table, left_columns


@dataclass(frozen=True, eq=False)
class ShownTable:
    """One table on the page."""

    name: str
    title: str
    heads: tuple[tuple[str, bool], ...]
    """Title of a column, and whether its text stands to the left."""
    rows: tuple[tuple[tuple[str, str | None], ...], ...]
    """Cells: the text and the number behind it, None where the text itself is to be compared."""
    caption: str
    figures: Sequence[tuple[str, Markup, str]]
    """Name, drawing and caption."""


def shown_table(table: NamedTable, figures: Sequence[tuple[str, Markup, str]] = ()) -> ShownTable:
    """A table with its figures. A column is sorted by the numbers of the same name, otherwise by its texts."""
    return _shown(table.name, table.title, table.text, table.numbers, table.caption, figures)


def failures_shown(comparison: Comparison) -> ShownTable | None:
    """Trials without a result; None where there are none."""
    text = failures_table(comparison)
    return _shown("failures", "Without a result", text, pd.DataFrame(), "", ()) if len(text) else None


def _shown(
    name: str,
    title: str,
    text: pd.DataFrame,
    numbers: pd.DataFrame,
    caption: str,
    figures: Sequence[tuple[str, Markup, str]],
) -> ShownTable:
    heads = tuple(zip(map(str, text.columns), left_columns(text), strict=True))
    cells = []
    for place, (head, words) in enumerate(heads):
        own = numbers[head] if not words and head in numbers.columns and len(numbers) == len(text) else None
        keys = [None] * len(text) if own is None or own.ndim > 1 else [_key(value) for value in own]
        cells.append(list(zip(map(str, text.iloc[:, place]), keys, strict=True)))
    return ShownTable(name, title, heads, tuple(zip(*cells, strict=True)), caption, figures)


def _key(value: object) -> str | None:
    if isinstance(value, int | float):
        return f"{value:.9g}" if math.isfinite(value) else ""
    return None
