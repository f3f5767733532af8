"""A table of text as Markdown, CSV, or on a terminal. Each renderer escapes for itself."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import pandas as pd
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from ablate.reporting import captions, escaping
from ablate.reporting.comparison import Comparison
from ablate.reporting.tables import TEXT_COLUMNS, comparison_table, failures_table

#: Left out of a narrow terminal's table, first to last, until the rest fits; the report has them all.
_DISPENSABLE = ("Changes", "Parameters", "Time")
_ALWAYS = ("Variant", "n", "Difference", "p (Holm)", "Verdict")


def to_markdown(table: pd.DataFrame, left: Collection[str] = TEXT_COLUMNS) -> str:
    """A GitHub Markdown table, with a newline at the end; the columns `left` are text, the others numbers."""
    titles = [str(title) for title in table.columns]
    head = _markdown_row(titles)
    rule = "|" + "|".join(":---" if title in left else "---:" for title in titles) + "|"
    body = [_markdown_row(row) for row in table.itertuples(index=False, name=None)]
    return "\n".join([head, rule, *body]) + "\n"


def _markdown_row(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(escaping.markdown(str(cell)) for cell in cells) + " |"


def to_csv(table: pd.DataFrame) -> str:
    """Comma-separated, numbers in full precision, an empty cell for what is not known."""
    return table.to_csv(index=False, lineterminator="\n")


class TerminalReport:
    """What `console.print` shows of a comparison: the table, its caption, and the failures if there are any.

    On a narrow terminal it leaves out columns, and says which.
    """

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        comparison = self.comparison
        table, left_out = comparison_table(comparison), []
        published = [str(title) for title in table.columns[::-1] if title not in _ALWAYS + _DISPENSABLE]
        for column in (*_DISPENSABLE, *published[: 2 * len(comparison.study.published)], "p (Holm)"):
            if sum(_least_widths(table, narrowest=19)) + 2 * table.shape[1] <= options.max_width:
                break
            if column in table.columns:
                table = table.drop(columns=column)
                left_out.append(column)
        yield to_terminal(table, title=comparison.study.slug)
        caption = captions.comparison_caption(comparison)
        if left_out:
            caption += f" Not shown for want of width: {', '.join(left_out)}."
        yield Text(caption, style="dim")
        failures = failures_table(comparison)
        if len(failures):
            yield Text()
            yield to_terminal(failures, title="without a result")
            yield Text(captions.failures_caption(comparison), style="dim")


def to_terminal(table: pd.DataFrame, title: str = "", narrowest: int = 12) -> Table:
    """A rich table; cells are literal text, whatever markup they seem to contain.

    Numbers never wrap; columns of text do, down to `narrowest` characters.
    """
    shown = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        title=Text(escaping.one_line(title)) if title else None,
        title_justify="left",
    )
    for column, least in zip(map(str, table.columns), _least_widths(table, narrowest), strict=True):
        left = column in TEXT_COLUMNS
        shown.add_column(
            Text(escaping.one_line(column)),
            justify="left" if left else "right",
            min_width=least,
            overflow="fold",
        )
    for row in table.itertuples(index=False, name=None):
        shown.add_row(*(Text(escaping.one_line(str(cell)), style=_STYLES.get(cell, "")) for cell in row))
    return shown


def _least_widths(table: pd.DataFrame, narrowest: int) -> list[int]:
    """Characters that each column needs, when text may wrap at `narrowest` and titles between words."""
    widths = []
    for i, title in enumerate(map(str, table.columns)):
        widest = max((cell_len(cell) for cell in table.iloc[:, i]), default=0)
        widths.append(max(min(widest, narrowest) if title in TEXT_COLUMNS else widest, *map(cell_len, title.split())))
    return widths


_STYLES = {"helps": "green", "hurts": "red", "not enough evidence": "dim"}
