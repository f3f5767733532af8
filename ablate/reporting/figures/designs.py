"""The figures of a study's designs, by name."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure

from ablate.reporting.comparison import Comparison
from ablate.reporting.figures import interactions, shares, waterfall

#: Name of its files -> what draws it, at a width in inches; None where there is nothing to show.
DESIGN_FIGURES: dict[str, Callable[[Comparison, float], Figure | None]] = {
    "waterfall": waterfall.draw,
    "interactions": interactions.draw,
    "shares": shares.draw,
}
