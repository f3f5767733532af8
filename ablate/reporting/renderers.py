"""A table of text as Markdown, CSV, or on a terminal. Each renderer escapes for itself."""

from __future__ import annotations

import operator
from collections.abc import Collection, Sequence
from typing import Any, Literal

import pandas as pd
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from ablate.reporting import captions, escaping
from ablate.reporting.comparison import Comparison
from ablate.reporting.further_tables import further_tables
from ablate.reporting.statistics import HELPS, HURTS, UNSURE
from ablate.reporting.tables import comparison_table, failures_table, left_columns

#: Left out of a narrow terminal's table, first to last, until the rest fits; the report has them all.
_DISPENSABLE = ("Changes", "Effect size", "FLOPs", "Parameters", "Time")
#: And after the published numbers, the newest first.
_LAST = (captions.IMAGES, captions.BOTH, "p (Holm)")
_ALWAYS = ("Variant", "n", "Difference", "Verdict")
#: Rows of a further table that a terminal shows; longer ones are in the report.
_SHORT = 15


def to_markdown(table: pd.DataFrame, left: Collection[str] | None = None) -> str:
    """A GitHub Markdown table, with a newline at the end; the columns `left` are text, the others numbers.

    Without `left`, columns of words stand to the left, see `tables.left_columns`.
    """
    titles = [str(title) for title in table.columns]
    head = _markdown_row(titles)
    sides = left_columns(table) if left is None else [title in left for title in titles]
    rule = "|" + "|".join(":---" if side else "---:" for side in sides) + "|"
    body = [_markdown_row(row) for row in table.itertuples(index=False, name=None)]
    return "\n".join([head, rule, *body]) + "\n"


def _markdown_row(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(escaping.markdown(str(cell)) for cell in cells) + " |"


def to_csv(table: pd.DataFrame) -> str:
    """Comma-separated, numbers in full precision, an empty cell for what is not known."""
    return table.to_csv(index=False, lineterminator="\n")


class TerminalReport:
    """What `console.print` shows of a comparison: the table, its caption, the failures, and further tables.

    On a narrow terminal it leaves out columns, and says which; of further tables those with more than 15 rows or too
    many columns.
    """

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        comparison = self.comparison
        table, left_out = _fitting(comparison_table(comparison), _order(comparison), options.max_width)
        yield to_terminal(table, options.max_width, comparison.study.slug)
        yield Text(captions.terminal_caption(comparison, left_out) + _not_shown(left_out), style="dim")
        if len(failures := failures_table(comparison)):
            failures, left_out = _fitting(failures, [captions.SENSITIVITY], options.max_width)
            yield Text()
            yield to_terminal(failures, options.max_width, "without a result")
            yield Text(captions.failures_caption(comparison) + _not_shown(left_out), style="dim")
        elsewhere = []
        for further in further_tables(comparison):
            if len(further.text) <= _SHORT and _fits(further.text, options.max_width):
                yield Text()
                yield to_terminal(further.text, options.max_width, further.title)
                yield Text(further.caption, style="dim")
            else:
                elsewhere.append(further.title)
        if elsewhere:
            yield Text(f"\nIn the report: {'; '.join(elsewhere)}.")


def _order(comparison: Comparison) -> list[str]:
    """Titles of columns that can be missed, those first that are missed least."""
    titles = [str(title) for title in comparison_table(comparison).columns]
    published = titles[::-1][: 2 * len(comparison.study.published)]
    kept = (*_ALWAYS, *_DISPENSABLE, comparison.metric_title)
    return [*_DISPENSABLE, *(title for title in published if title not in kept), *_LAST]


def _fitting(table: pd.DataFrame, order: Sequence[str], width: int) -> tuple[pd.DataFrame, list[str]]:
    """As much of the table as so many characters have room for, and the titles of what is left out."""
    left_out = []
    for column in order:
        if _fits(table, width):
            break
        if column in table.columns:
            table = table.drop(columns=column)
            left_out.append(column)
    return table, left_out


def _not_shown(titles: Sequence[str]) -> str:
    return f" Not shown for want of width: {', '.join(titles)}." if titles else ""


def _fits(table: pd.DataFrame, width: int) -> bool:
    return sum(_least_widths(table, narrowest=19)) + _between(table.shape[1]) <= width


def _between(columns: int) -> int:
    """Characters that rich takes around and between so many columns."""
    return 3 * columns - 1


def to_terminal(table: pd.DataFrame, width: int, title: str = "") -> Table:
    """A rich table; cells are literal text, whatever markup they seem to contain.

    Numbers never wrap; columns of text do, down to 12 characters, where the table is wider than `width`.
    """
    shown = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        title=Text(escaping.one_line(title)) if title else None,
        title_justify="left",
    )
    for title, left, room in zip(map(str, table.columns), left_columns(table), _widths(table, width), strict=True):
        side: Literal["left", "right"] = "left" if left else "right"
        shown.add_column(Text(escaping.one_line(title)), justify=side, width=room, overflow="fold")
    for row in table.itertuples(index=False, name=None):
        shown.add_row(*(Text(escaping.one_line(str(cell)), style=_style(str(cell))) for cell in row))
    return shown


def _widths(table: pd.DataFrame, width: int) -> list[int]:
    """Characters of each column: what it would like to have, or less for text, the widest first."""
    widths, least = _least_widths(table, narrowest=width), _least_widths(table, narrowest=12)
    while sum(widths) + _between(table.shape[1]) > width and any(map(operator.gt, widths, least)):
        widest = max(range(len(widths)), key=lambda i: (widths[i] > least[i], widths[i]))
        widths[widest] -= 1
    return widths


def _least_widths(table: pd.DataFrame, narrowest: int) -> list[int]:
    """Characters that each column needs, when text may wrap at `narrowest` and titles between words."""
    widths = []
    for i, (title, left) in enumerate(zip(map(str, table.columns), left_columns(table), strict=True)):
        widest = max((cell_len(cell) for cell in table.iloc[:, i]), default=0)
        widths.append(max(min(widest, narrowest) if left else widest, *map(cell_len, title.split() or [""])))
    return widths


_STYLES = {HELPS: "green", HURTS: "red"}


def _style(cell: str) -> str:
    return "dim" if cell.startswith(UNSURE) else _STYLES.get(cell, "")
