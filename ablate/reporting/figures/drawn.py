"""All figures of a report, as bytes."""

from __future__ import annotations

import warnings

import pandas as pd

from ablate.reporting.comparison import Comparison
from ablate.reporting.figures import curves, differences, trials
from ablate.reporting.figures.style import DOUBLE, SINGLE, paper_style, to_png, to_svg

#: Every name that a figure's file may have, without its ending; in the order of the report.
NAMES = ("differences", "curves", "trials")
#: After the name of the same figure at the width of one column.
COLUMN = "-column"


def draw_all(comparison: Comparison, history: pd.DataFrame) -> dict[str, bytes]:
    """File name -> content: each figure at the width of two columns and of one, as SVG and as PNG.

    A figure that has nothing to show is left out.
    """
    files: dict[str, bytes] = {}
    with paper_style(), warnings.catch_warnings():
        # More panels than fit: the figure is then drawn with less air, which is no reason to stop a report.
        warnings.filterwarnings("ignore", message="constrained_layout not applied")
        for width, ending in ((DOUBLE, ""), (SINGLE, COLUMN)):
            figures = {
                "differences": differences.draw(comparison, width),
                "curves": curves.draw(comparison, history, width),
                "trials": trials.draw(comparison, width),
            }
            for name, figure in figures.items():
                if figure is not None:
                    files[f"{name}{ending}.svg"] = to_svg(figure)
                    files[f"{name}{ending}.png"] = to_png(figure)
    return files
