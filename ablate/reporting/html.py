"""The report as one self-contained page: no request leaves it, whatever a study's texts contain."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Mapping
from importlib import resources

import jinja2
import pandas as pd
from markupsafe import Markup

from ablate.reporting import captions
from ablate.reporting.comparison import Comparison, published_columns, value_text
from ablate.reporting.figures.drawn import NAMES
from ablate.reporting.provenance import flat_recipe, provenance
from ablate.reporting.tables import TEXT_COLUMNS, comparison_table, failures_table
from ablate.tracking.record import Record


def to_html(comparison: Comparison, records: Mapping[str, Record], figures: Mapping[str, bytes]) -> str:
    """The page; `figures` as from `draw_all`, of which it embeds the wide SVGs."""
    folder = resources.files("ablate.reporting") / "templates"
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # Script and style are written in this package, and marked as safe for that reason alone.
    script = Markup((folder / "report.js").read_text(encoding="utf-8"))  # noqa: S704
    style = Markup((folder / "report.css").read_text(encoding="utf-8"))  # noqa: S704
    study = comparison.study
    table = comparison_table(comparison)
    failures = failures_table(comparison)
    return environment.from_string((folder / "report.html.j2").read_text(encoding="utf-8")).render(
        comparison=comparison,
        study=study,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        style=style,
        titles=[str(title) for title in table.columns],
        text_columns=TEXT_COLUMNS,
        rows=_sortable(comparison, table),
        comparison_caption=captions.comparison_caption(comparison),
        failure_titles=list(failures.columns),
        failures=list(failures.itertuples(index=False, name=None)),
        failures_caption=captions.failures_caption(comparison),
        logs=_logs(comparison, records),
        figures=[(name, inline_svg(figures[f"{name}.svg"], name)) for name in NAMES if f"{name}.svg" in figures],
        figure_captions=captions.figure_captions(comparison),
        changes_caption=captions.changes_caption(),
        recipe_caption=captions.recipe_caption(),
        what_was_done=captions.what_was_done(comparison),
        provenance=provenance(study, records),
        recipe=flat_recipe(study.baseline.recipe),
        variants=study.variants[1:],
        value_text=value_text,
    )


def _sortable(comparison: Comparison, table: pd.DataFrame) -> list[list[tuple[str, str]]]:
    """Rows of (text, sort key); the key is the number behind the text, empty where there is none."""
    summary = comparison.summary
    raw = {"n": "n", comparison.metric_title: "mean", "Difference": "difference", "p (Holm)": "p_holm"}
    columns: list[str | None] = [None, None, *raw.values(), "verdict"]
    columns += ["parameters"] if "Parameters" in table.columns else []
    columns += ["seconds"]
    for label in published_columns(comparison.study):
        columns += [f"published.{label}", f"minus.{label}"]
    rows = []
    for i, cells in enumerate(table.itertuples(index=False, name=None)):
        keys = [
            str(cell) if column is None else _key(summary[column].iloc[i])
            for cell, column in zip(cells, columns, strict=True)
        ]
        rows.append(list(zip(map(str, cells), keys, strict=True)))
    return rows


def _key(value: object) -> str:
    return "" if isinstance(value, float) and not math.isfinite(value) else str(value)


def _logs(comparison: Comparison, records: Mapping[str, Record]) -> list[tuple[str, str]]:
    """Title and log of every Trial that left one."""
    found = []
    trials = [(f"teacher {t['teacher']}", t) for t in comparison.teachers.to_dict("records")]
    trials += [(t["variant"], t) for t in comparison.trials.drop_duplicates("trial_id").to_dict("records")]
    for name, trial in trials:
        record = records.get(str(trial["trial_id"]))
        if record is not None and record.log_tail:
            found.append((f"{name}, seed {trial['seed']}", record.log_tail))
    return found


def inline_svg(svg: bytes, prefix: str) -> Markup:
    """Matplotlib's SVG for use inside HTML: without prologue, metadata and namespaces, its identifiers its own.

    Safe to mark as such: matplotlib escapes the texts that it is given, and draws them as outlines.
    """
    text = svg.decode("utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text)
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = text.replace('href="#', f'href="#{prefix}-').replace("url(#", f"url(#{prefix}-")
    size = re.search(r'<svg[^>]*?width="([\d.]+)pt"', text)
    assert size is not None
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    return Markup(text.strip())  # noqa: S704
