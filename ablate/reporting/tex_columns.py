"""How wide text is in LaTeX, and which columns of a table must wrap so that it fits its page."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ablate.reporting import escaping

#: Points of a line: article and most journals in one column; the narrowest column of a page of two.
PAGE, COLUMN = 345.0, 229.0
#: Points between two columns: twice the \tabcolsep that tables are set with.
GAP = 5.0
#: Letters in a row that may stand in a narrow column.
UNBROKEN = 12
#: Characters of a line of a heading.
_TITLE = 12
#: Points of an em, by which all lines of a cell but the first are indented.
_INDENT = 8.5
#: Points that a column of text is left with at least.
_LEAST = 46.0
#: Widths of Computer Modern at 8 points (\footnotesize in a document of 10), from its metrics, cmr8.tfm.
_WIDTHS = {
    4.25: "0123456789ago/*$&#",
    4.72: "bdhnpu",
    3.78: "cez",
    2.6: "fj",
    2.36: "il.,;:!'[]|",
    4.49: "kqvxy",
    7.08: "m%MW",
    3.33: 'rst()`"{}',
    2.83: " -_",
    6.14: "w",
    6.61: "+=<>~^\\−±×→≈Δ@",
    8.5: "—",
}
_POINTS = {character: width for width, characters in _WIDTHS.items() for character in characters}
_CAPITAL, _OTHER = 6.3, 8.5


def points(text: str) -> float:
    """Width of a line of text at the size of tables, to a few percent; what the font lacks is taken as wide."""
    return sum(_points(character) for character in text)


def _points(character: str) -> float:
    plain = unicodedata.normalize("NFD", character)[0]
    return _POINTS.get(plain, _CAPITAL if plain.isascii() else _OTHER)


@dataclass(frozen=True)
class TexColumn:
    """One column of a table in LaTeX."""

    left: bool
    """Text, which stands to the left and may wrap; otherwise numbers."""
    share: float | None
    """The part of the line that it gets, where it wraps."""

    @property
    def spec(self) -> str:
        """Its letter in the table's preamble."""
        if self.share is None:
            return "l" if self.left else "r"
        return f">{{\\raggedright\\arraybackslash\\hangindent=1em}}p{{{self.share:.3f}\\linewidth}}"


def tex_columns(table: pd.DataFrame, left: Sequence[bool], width: float = PAGE) -> list[TexColumn]:
    """The columns of a table of texts, of which those to the `left` wrap if a line of `width` points is too short."""
    natural = natural_widths(table)
    room = width - GAP * (len(natural) - 1)
    if sum(natural) <= room:
        return [TexColumn(side, None) for side in left]
    room -= sum(size for size, side in zip(natural, left, strict=True) if not side)
    shares = _divided([size if side else 0.0 for size, side in zip(natural, left, strict=True)], room)
    return [
        TexColumn(side, share / width if side and share < size else None)
        for size, side, share in zip(natural, left, shares, strict=True)
    ]


def natural_widths(table: pd.DataFrame) -> list[float]:
    """Points that each column of a table of texts takes without wrapping, its heading in short lines."""
    return [
        max([points(line) for line in title_lines(str(title))] + [points(str(cell)) for cell in table.iloc[:, i]])
        for i, title in enumerate(table.columns)
    ]


def _divided(wanted: Sequence[float], room: float) -> list[float]:
    """`room` among columns: each gets what it wants, and those that want more than an equal part share the rest."""
    given, rest = [0.0] * len(wanted), room
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    for done, i in enumerate(order):
        equal = rest / (len(order) - done)
        given[i] = wanted[i] if wanted[i] <= max(equal, _LEAST) else max(equal, _LEAST)
        rest -= given[i]
    return given


def title_lines(title: str) -> list[str]:
    """A heading over as many short lines as its words need."""
    return textwrap.wrap(escaping.one_line(title), _TITLE, break_long_words=False, break_on_hyphens=False) or [""]


def pieces(text: str) -> list[str]:
    """What a wrapped line may be broken between: after the signs that join the parts of a name, and in long parts."""
    joined = re.split(r"(?<=[^\w.\s])(?=\S)|(?<=\.)(?=[^\W\d])|(?<=_)(?=\S)", escaping.one_line(text))
    return [part[i : i + UNBROKEN] for part in joined for i in range(0, len(part), UNBROKEN)]


def lines_of(text: str, width: float) -> int:
    """Lines that `text` takes in a column of `width` points that wraps, the second one indented by an em."""
    lines, used = 1, 0.0
    for piece in (word for part in pieces(text) for word in re.findall(r"\S+\s*|\s+", part)):
        size = points(piece)
        if used and used + points(piece.rstrip()) > width:
            lines, used = lines + 1, _INDENT
        used += size
    return lines
