"""All tables of a report beside the comparison and the failures, in the order in which they are shown."""

from __future__ import annotations

from ablate.reporting.classes import class_table
from ablate.reporting.comparison import Comparison
from ablate.reporting.cost_table import cost_table
from ablate.reporting.design_tables import design_tables
from ablate.reporting.named_table import NamedTable


def further_tables(compared: Comparison) -> list[NamedTable]:
    """Those that have something to show: what the designs say, what Variants cost, in which classes they differ."""
    found = [*design_tables(compared), cost_table(compared), class_table(compared)]
    return [table for table in found if table is not None]
