"""A table that a report has beside the comparison: text to show, numbers to keep, and what they are."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True, eq=False)
class NamedTable:
    """One table of a report; every renderer shows it in the same way."""

    name: str
    """Of its files, `tables/<name>.csv`: lower case, digits and dashes."""
    title: str
    """A heading."""
    text: pd.DataFrame
    """Every cell a text; columns named in `tables.TEXT_COLUMNS` stand to the left."""
    numbers: pd.DataFrame
    """The same for programs."""
    caption: str
    """What the columns are."""
    figures: tuple[str, ...] = ()
    """Names of the figures that belong to it."""
