"""The report as one self-contained page: no request leaves it, whatever a study's texts contain."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from ablate.reporting import captions
from ablate.reporting.comparison import Comparison, value_text
from ablate.reporting.drawn_variants import drawn_variants
from ablate.reporting.escaping import prose_html
from ablate.reporting.figure_captions import figure_captions
from ablate.reporting.figures.drawn import NAMES
from ablate.reporting.kept import Kept
from ablate.reporting.named_table import NamedTable
from ablate.reporting.page.class_differences import classes_shown
from ablate.reporting.page.columns import columns_of
from ablate.reporting.page.curves import curves_data
from ablate.reporting.page.disagreements import disagreements_data
from ablate.reporting.page.embedded import embedded
from ablate.reporting.page.factors import factor_sections
from ablate.reporting.page.inline_svg import inline_svg
from ablate.reporting.page.logs import logs_of
from ablate.reporting.page.reading import how_to_read
from ablate.reporting.page.recipes import recipes_data
from ablate.reporting.page.seeds import variants_data
from ablate.reporting.page.shown_table import failures_shown, shown_table
from ablate.reporting.provenance import provenance
from ablate.reporting.statistics.verdicts import VERDICTS, verdict_text
from ablate.study.designs import other_names
from ablate.tracking.record import Record

__all__ = ["inline_svg", "to_html"]

#: The page's one script, in the order of its parts.
SCRIPTS = ("page", "tips", "tables", "filters", "charts", "curves", "images", "recipes", "start")
#: Rows of a table that are there at once; a button brings the others.
ROWS = 100
#: Drawn by the page itself where it may run its script.
_DRAWN_HERE = frozenset({"differences", "curves"})
#: The table that stands beside the shaded one of all classes.
_CLASSES = "classes"


def to_html(
    comparison: Comparison,
    records: Mapping[str, Record],
    figures: Mapping[str, bytes],
    kept: Kept = Kept(),  # noqa: B008 - frozen
    tables: Sequence[NamedTable] = (),
) -> str:
    """The page. `records` may be empty, where a comparison was made from tables: then it has no curves and no logs.

    Of `figures`, file name -> bytes as from `draw_all`, it embeds the wide SVGs. `tables` are those beside the
    comparison. Equal inputs give equal text.
    """
    study = comparison.study
    drawn = drawn_variants(comparison)
    curves = curves_data(comparison, records)
    shown = [shown_table(table, _figures(comparison, figures, table.figures)) for table in tables]
    images = disagreements_data(study, comparison.examples, drawn, kept)
    columns = columns_of(comparison)
    data: dict[str, Any] = {"data": variants_data(comparison), "curves-data": curves, "images-data": images}
    data["recipes-data"] = recipes_data(study)
    return _environment().get_template("report.html.j2").render(
        comparison=comparison,
        study=study,
        **_fixed_parts(),
        columns=columns,
        factor_columns=[column for column in columns if column.in_factors],
        variants=study.variants,
        other_names=other_names,
        row_verdicts=comparison.summary["verdict"].tolist(),
        verdicts=_verdict_counts(comparison),
        rows_at_once=ROWS,
        comparison_caption=captions.comparison_caption(comparison),
        failures=failures_shown(comparison),
        failures_caption=captions.failures_caption(comparison),
        logs=logs_of(comparison, records),
        sections=factor_sections(comparison),
        curves=curves,
        images=images,
        classes=classes_shown(comparison, drawn),
        class_tables=[table for table in shown if table.name == _CLASSES],
        tables=[table for table in shown if table.name != _CLASSES],
        **_free_figures(comparison, figures, tables),
        how_to_read=how_to_read(comparison),
        what_was_done=captions.what_was_done(comparison),
        recipe_caption=captions.recipe_caption(),
        changes_caption=captions.changes_caption(),
        recipe=data["recipes-data"]["fields"],
        value_text=value_text,
        provenance=provenance(study, records),
        data={name: embedded(value) for name, value in data.items() if value is not None},
    )  # fmt: skip


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ablate.reporting", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["prose"] = prose_html
    return environment


@lru_cache(maxsize=1)
def _fixed_parts() -> dict[str, Any]:
    """Script and style, which are written in this package, and marked as safe for that reason alone."""
    folder = resources.files("ablate.reporting") / "templates"
    parts = [(folder / "script" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    script = '"use strict";\n' + "\n".join(parts)
    style = "".join((folder / f"{name}.css").read_text(encoding="utf-8") for name in ("report", "page", "print"))
    return {
        "script": Markup(script),  # noqa: S704
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "style": Markup(style),  # noqa: S704
    }


def _verdict_counts(comparison: Comparison) -> list[tuple[str, str, int]]:
    """Verdict, its words and how many Variants have it; those that none has are left out."""
    counts = comparison.summary["verdict"].value_counts()
    margin, unit = comparison.study.analysis.margin, comparison.study.metric.unit
    return [(v, verdict_text(v, margin, unit), int(counts[v])) for v in VERDICTS if v in counts]


def _free_figures(
    comparison: Comparison, figures: Mapping[str, bytes], tables: Sequence[NamedTable]
) -> dict[str, list[tuple[str, Markup, str]]]:
    """Figures that belong to no table: `static` ones, which stand in where no script runs, and the others."""
    taken = {name for table in tables for name in table.figures}
    rest = [name for name in NAMES if name not in taken]
    return {
        "static": _figures(comparison, figures, [name for name in rest if name in _DRAWN_HERE]),
        "figures": _figures(comparison, figures, [name for name in rest if name not in _DRAWN_HERE]),
    }


def _figures(
    comparison: Comparison, figures: Mapping[str, bytes], names: Sequence[str]
) -> list[tuple[str, Markup, str]]:
    """Name, drawing and caption of those that are there."""
    said = figure_captions(comparison)
    return [(n, inline_svg(figures[f"{n}.svg"], n), said.get(n, "")) for n in names if f"{n}.svg" in figures]
