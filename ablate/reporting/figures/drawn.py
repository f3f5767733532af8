"""All figures of a report, as bytes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from ablate.reporting.comparison import Comparison
from ablate.reporting.figures import curves, differences, interactions, pareto, shares, trials, waterfall
from ablate.reporting.figures.style import DOUBLE, SINGLE, paper_style, to_pdf, to_svg

#: Every name that a figure's file may have, without its ending; in the order of the report.
NAMES = ("differences", "curves", "trials", "waterfall", "interactions", "shares", "pareto")
#: The figure that goes into a paper's text, and the end of its name at the width of one column.
MAIN, COLUMN = "differences", "-column"
SVG, PDF = "svg", "pdf"


def draw_all(comparison: Comparison, history: pd.DataFrame, kinds: Collection[str] = (SVG, PDF)) -> dict[str, bytes]:
    """File name -> content: each figure at the width of two columns, as SVG for pages and as PDF for papers.

    `differences` is there at the width of one column, too, as PDF. A figure that has nothing to show is left out.
    """
    files: dict[str, bytes] = {}
    with paper_style(), warnings.catch_warnings():
        # More panels than fit: the figure is then drawn with less air, which is no reason to stop a report.
        warnings.filterwarnings("ignore", message="constrained_layout not applied")
        for name, figure in _drawn(comparison, history, PDF in kinds):
            if SVG in kinds and name in NAMES:
                files[f"{name}.{SVG}"] = to_svg(figure)
            if PDF in kinds:
                files[f"{name}.{PDF}"] = to_pdf(figure)
    return files


def _drawn(comparison: Comparison, history: pd.DataFrame, for_papers: bool) -> Iterator[tuple[str, Figure]]:
    figures: dict[str, Callable[[float], Figure | None]] = {
        "differences": partial(differences.draw, comparison),
        "curves": partial(curves.draw, comparison, history),
        "trials": partial(trials.draw, comparison),
        "waterfall": partial(waterfall.draw, comparison),
        "interactions": partial(interactions.draw, comparison),
        "shares": partial(shares.draw, comparison),
        "pareto": partial(pareto.draw, comparison),
    }
    wanted = [(name, DOUBLE, name) for name in NAMES]
    if for_papers:
        wanted.insert(1, (MAIN, SINGLE, MAIN + COLUMN))
    for name, width, file in wanted:
        if (figure := figures[name](width)) is not None:
            yield file, figure
