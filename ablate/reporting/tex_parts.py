"""Where a table of many rows is cut, so that each part is a float that fits its page.

A `longtable` would break by itself, but LaTeX refuses it on pages of two columns. Heights are those in a document of 10
points, with room for one of 11.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from ablate.reporting.tex_columns import TexColumn, lines_of, points, title_lines

#: Points of a page: `article` has 550, and in a document of 11 points room for as many lines as 455 hold in one of 10.
_PAGE = 450.0
#: Width of a line in a document of 11 points, beside that of its letters, as a share of the same at 10 points.
_TIGHTER = 0.92
#: Lines of \footnotesize, in which caption and rows stand, and of \scriptsize, points.
_ROW, _NOTE = 9.5, 8.0
#: What rules and the space around caption, rules and notes take, points.
_SPACE = 36.0
#: Width of \scriptsize beside that of \footnotesize (cmr7 and cmr8).
_NARROWER = 0.94
#: Lines are not filled to their end.
_RAGGED = 1.1
#: LaTeX before 2015 keeps no more floats than 18 waiting for a page; so many follow each other before it must set them.
MOST_WAITING = 10


def parts_of(table: pd.DataFrame, columns: Sequence[TexColumn], width: float, caption: str, notes: str) -> list[slice]:
    """The rows of each part of a table of texts, `width` points wide: all in one if it fits a page, else about equally
    high ones. Each has head and caption, the last one the notes.
    """
    head = max(len(title_lines(str(title))) for title in table.columns)
    room = _PAGE - _SPACE - (head + _lines(caption, width)) * _ROW
    below = _lines(notes, width / _NARROWER) * _NOTE
    heights = [lines * _ROW for lines in row_lines(table, columns, width)]
    return cuts(heights, room, below)


def row_lines(table: pd.DataFrame, columns: Sequence[TexColumn], width: float) -> list[int]:
    """Lines that each row takes, which are those of the column that wraps most."""
    wrapping = [(i, column.share * width * _TIGHTER) for i, column in enumerate(columns) if column.share is not None]
    return [
        max([1, *(lines_of(str(row[i]), room) for i, room in wrapping)])
        for row in table.itertuples(index=False, name=None)
    ]


def cuts(heights: Sequence[float], room: float, below: float) -> list[slice]:
    """Rows in as few parts as there must be, the highest as low as it can be; `below` is added to the last.

    A part holds one row at least, however high that is. Unless the last row does not fit above it, `below` stays within
    the `room`.
    """
    parts = _filled(heights, room, below)
    low, high = 0.0, room
    while len(parts) > 1 and high - low > _ROW / 4:
        middle = (low + high) / 2
        tried = _filled(heights, middle, below)
        low, high, parts = (low, middle, tried) if len(tried) <= len(parts) else (middle, high, parts)
    return parts


def _filled(heights: Sequence[float], room: float, below: float) -> list[slice]:
    """As many rows in each part as it has room for."""
    starts, used = [0], 0.0
    for i, height in enumerate(heights):
        last = below if i == len(heights) - 1 else 0.0
        if i > starts[-1] and used + height + last > room:
            starts.append(i)
            used = 0.0
        used += height
    return [slice(start, end) for start, end in zip(starts, [*starts[1:], len(heights)], strict=True)]


def _lines(text: str, width: float) -> int:
    return math.ceil(_RAGGED * points(text) / width) if text else 0
