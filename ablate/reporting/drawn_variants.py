"""Which Variants the figures draw: all, or where a page has no room for them, those farthest from the baseline."""

from __future__ import annotations

import numpy as np

from ablate.reporting.comparison import Comparison

#: Rows of a figure, the baseline aside: what fits on a page with room for words.
MOST_DRAWN = 30
#: Curves that are drawn where not all rows are: what one compares by eye.
FEW = 12


def drawn_variants(comparison: Comparison, few: int = MOST_DRAWN) -> list[str]:
    """Their names without the baseline's, in the study's order; ``few`` are drawn where there is no room for all.

    Of those without a difference the first come first.
    """
    summary = comparison.summary.iloc[1:]
    distance = summary["difference"].abs().fillna(-1.0).to_numpy(float)
    most = len(summary) if len(summary) <= MOST_DRAWN else few
    farthest = np.sort(np.argsort(-distance, kind="stable")[:most])
    return [str(name) for name in summary["variant"].iloc[farthest]]


def not_drawn(comparison: Comparison, few: int = MOST_DRAWN) -> str:
    """A sentence for a caption that says what is left out, with a blank before it; empty where all is drawn."""
    others = len(comparison.summary) - 1
    if others <= MOST_DRAWN:
        return ""
    return (
        f" Of {others:,} Variants only the {few} farthest from the baseline, in either direction, are drawn; "
        "the table has all. The farthest of so many owe part of their distance to luck."
    )
