"""The folder of a comparison of studies: page, tables and figure."""

from __future__ import annotations

from ablate.reporting.across import Across
from ablate.reporting.across_tables import FIGURE, TABLES, across_tables, lead
from ablate.reporting.figures import shared_effects
from ablate.reporting.figures.style import DOUBLE, SINGLE, paper_style, to_pdf, to_svg
from ablate.reporting.table_page import TablePage


def across_page(found: Across) -> TablePage:
    """What there is to say about these studies together; equal inputs give equal bytes."""
    figures: dict[str, bytes] = {}
    with paper_style():
        if (figure := shared_effects.draw(found, DOUBLE)) is not None:
            figures[f"{FIGURE}.svg"], figures[f"{FIGURE}.pdf"] = to_svg(figure), to_pdf(figure)
        if (figure := shared_effects.draw(found, SINGLE)) is not None:
            figures[f"{FIGURE}-column.pdf"] = to_pdf(figure)
    return TablePage(
        " · ".join(found.labels),
        lead(found),
        found.warnings,
        across_tables(found),
        figures,
        {FIGURE: shared_effects.caption(found)},
        (*TABLES, FIGURE, f"{FIGURE}-column"),
    )
