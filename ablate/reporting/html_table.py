"""A table of text as a fragment of HTML, for a notebook; every text in it is escaped."""

from __future__ import annotations

from html import escape

import pandas as pd

from ablate.reporting.escaping import one_line
from ablate.reporting.tables import left_columns


def to_html(table: pd.DataFrame, caption: str) -> str:
    """A `table` element with its caption; columns of words stand to the left."""
    sides = ["left" if left else "right" for left in left_columns(table)]
    head = "".join(_cell("th", side, title, ' scope="col"') for side, title in zip(sides, table.columns, strict=True))
    rows = [
        "<tr>" + "".join(_cell("td", side, cell) for side, cell in zip(sides, row, strict=True)) + "</tr>"
        for row in table.itertuples(index=False, name=None)
    ]
    return (
        f"<table><caption>{escape(one_line(caption))}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _cell(tag: str, side: str, text: object, more: str = "") -> str:
    return f'<{tag}{more} style="text-align: {side}">{escape(one_line(str(text)))}</{tag}>'
