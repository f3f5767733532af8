"""All tables of a report beside the comparison and the failures, in the order in which they are shown."""

from __future__ import annotations

from ablate.reporting.comparison import Comparison
from ablate.reporting.named_table import NamedTable


def further_tables(compared: Comparison) -> list[NamedTable]:
    """Those that have something to show."""
    return []
