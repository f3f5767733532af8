"""The report as Markdown, for a repository's own pages: tables, figures by relative links, provenance."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import pandas as pd

from ablate.reporting import captions, renderers
from ablate.reporting.comparison import Comparison, value_text
from ablate.reporting.escaping import markdown, prose_markdown
from ablate.reporting.figure_captions import figure_captions
from ablate.reporting.figures.drawn import NAMES
from ablate.reporting.named_table import NamedTable
from ablate.reporting.provenance import flat_recipe, provenance
from ablate.reporting.tables import comparison_table, failures_table
from ablate.tracking.record import Record


def to_report(
    comparison: Comparison,
    records: Mapping[str, Record],
    figures: Collection[str],
    tables: Sequence[NamedTable] = (),
) -> str:
    """The page; `figures` are the names of the files in the folder `figures` beside it, `tables` the further ones."""
    study, words = comparison.study, figure_captions(comparison)
    facts = {"Source": study.source, "Expected": study.expected}
    facts |= {key.capitalize(): value for key, value in study.header.items()}
    parts = [
        f"# {markdown(study.name)} · {markdown(study.profile)}",
        prose_markdown(study.question),
        _list(facts, prose_markdown),
        "## Comparison",
        renderers.to_markdown(comparison_table(comparison)).rstrip(),
        markdown(captions.comparison_caption(comparison)),
        *_failures(comparison),
        *_figures(figures, words, tables),
        *(part for table in tables for part in _further(table, figures, words)),
        "## What was done",
        markdown(captions.what_was_done(comparison)),
        "## What each Variant changes",
        *_changes(comparison),
        "## Recipe of the baseline",
        _rows([("Field", "Value"), *flat_recipe(study.baseline.recipe).items()]),
        captions.recipe_caption(),
        "## Provenance",
        _list(provenance(study, records)),
    ]
    if study.citation:
        parts += ["## Cite the source", _code(study.citation)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _failures(comparison: Comparison) -> list[str]:
    table = failures_table(comparison)
    if table.empty:
        return []
    shown = renderers.to_markdown(table).rstrip()
    return ["## Without a result", shown, markdown(captions.failures_caption(comparison))]


def table_page(table: NamedTable) -> str:
    """One table and what its columns are, as a file of its own."""
    return f"{_shown(table)}\n\n{markdown(table.caption)}\n"


def _further(table: NamedTable, figures: Collection[str], words: Mapping[str, str]) -> list[str]:
    """A section of the report: the table, what its columns are, its figures."""
    drawn = [part for name in table.figures if f"{name}.svg" in figures for part in _figure(name, words)]
    return [f"## {markdown(table.title)}", _shown(table), markdown(table.caption), *drawn]


def _figure(name: str, words: Mapping[str, str]) -> list[str]:
    return [f"![{name}](figures/{name}.svg)", markdown(words[name])]


def _shown(table: NamedTable) -> str:
    return renderers.to_markdown(table.text).rstrip()


def _figures(figures: Collection[str], words: Mapping[str, str], tables: Sequence[NamedTable]) -> list[str]:
    """All but those that stand with a table."""
    placed = {name for table in tables for name in table.figures}
    shown = [name for name in NAMES if name in words and name not in placed and f"{name}.svg" in figures]
    parts = [part for name in shown for part in _figure(name, words)]
    return ["## Figures", *parts] if parts else []


def _changes(comparison: Comparison) -> list[str]:
    rows = [("Variant", "Field", "Baseline", "Here")]
    for variant in comparison.study.variants[1:]:
        name = variant.name
        for field, (old, new) in variant.changes.items():
            rows.append((name, field, value_text(old), value_text(new)))
            name = ""
    return [_rows(rows), captions.changes_caption()] if len(rows) > 1 else ["There is only the baseline."]


def _rows(rows: Sequence[tuple[str, ...]]) -> str:
    table = pd.DataFrame(rows[1:], columns=list(rows[0]))
    return renderers.to_markdown(table, left=rows[0]).rstrip()


def _list(facts: Mapping[str, str], written: Callable[[str], str] = markdown) -> str:
    return "\n".join(f"- {markdown(key)}: {written(value)}" for key, value in facts.items() if value)


def _code(text: str) -> str:
    """A fenced block whose fence is longer than any run of backticks inside."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}bibtex\n{text.rstrip()}\n{fence}"
