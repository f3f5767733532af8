"""The report folder: every file of it made from what was compared, and from nothing else.

Equal inputs give equal bytes (with one version of the libraries that draw), so that a committed report
changes only when results do.
"""

from __future__ import annotations

import gc
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ablate.reporting import captions, html, latex, markdown, renderers
from ablate.reporting.comparison import Comparison, comparison
from ablate.reporting.figures.drawn import COLUMN, NAMES, PDF, SVG, draw_all
from ablate.reporting.formats import CSV, FORMATS, HTML, MARKDOWN, TEX
from ablate.reporting.frame import history_frame
from ablate.reporting.further_tables import further_tables
from ablate.reporting.kept import Kept
from ablate.reporting.named_table import NamedTable
from ablate.reporting.tables import comparison_table, failures_table
from ablate.study.study import Study
from ablate.tracking.record import Record

__all__ = ["Comparison", "Report", "comparison", "write_comparison", "write_report"]

#: Every table that a report may have; one that is missing here would stay when a later report has it no more.
TABLES = (
    "comparison", "failures", "main-effects", "interactions", "variance", "aliases", "ladder", "shapley", "pairs",
    "classes", "cost",
)  # fmt: skip
#: Forms of figures that earlier versions wrote.
_FORMER = frozenset(f"figures/{n}{c}.{e}" for n in NAMES for c in ("", COLUMN) for e in ("png", SVG))


@dataclass(frozen=True, eq=False)
class Report:
    """A report on disk."""

    folder: Path
    comparison: Comparison
    files: tuple[Path, ...]
    """Every file written, sorted."""

    @property
    def html(self) -> Path:
        """The page to open."""
        return self.folder / "report.html"

    @property
    def markdown(self) -> Path:
        """The page for a repository."""
        return self.folder / "report.md"


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without garbage collection: drawing makes so many objects that all Records are searched for cycles many times."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@_uncollected()
def write_report(
    study: Study,
    records: Mapping[str, Record],
    folder: Path,
    kept: Kept = Kept(),  # noqa: B008 - frozen
    formats: Collection[str] = FORMATS,
) -> Report:
    """Write the report of a study into `folder`; as `write_comparison`."""
    compared = comparison(study, records, kept)
    return write_comparison(compared, records, history_frame(study, records), folder, kept, formats)


@_uncollected()
def write_comparison(
    compared: Comparison,
    records: Mapping[str, Record],
    history: pd.DataFrame,
    folder: Path,
    kept: Kept = Kept(),  # noqa: B008 - frozen
    formats: Collection[str] = FORMATS,
) -> Report:
    """Write the report of a comparison into `folder`, made if need be, and remove what an earlier one left over.

    `records` may be empty, where there are only tables of results: then there are no logs and less provenance.
    `history` is a `history_frame`. Of `formats`, a part of `FORMATS`, those that are not asked for are neither written
    nor removed.

    Everything is written beside its place first and then moved there file by file, `report.html` last, so
    that no reader meets half a file. Other files in the folder are left alone. Raises OSError.
    """
    contents = _contents(compared, records, history, kept, frozenset(formats))
    folder.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".report-", dir=folder))
    try:
        for name, content in contents.items():
            path = scratch / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        for name in contents:
            (folder / name).parent.mkdir(exist_ok=True)
            (scratch / name).replace(folder / name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    for name in _possible(formats) - contents.keys():
        (folder / name).unlink(missing_ok=True)
    return Report(folder, compared, tuple(sorted(folder / name for name in contents)))


def _possible(formats: Collection[str]) -> set[str]:
    """Files that an earlier report may have left and one in these formats may not have; no others are removed."""
    kinds = {MARKDOWN: SVG, TEX: PDF}
    figures = {f"figures/{n}{c}.{kinds[f]}" for n in NAMES for c in ("", COLUMN) for f in formats if f in kinds}
    ends = {MARKDOWN: (".md",), TEX: (".tex", f"{COLUMN}.tex"), CSV: (".csv",)}
    tables = {f"tables/{name}{end}" for name in TABLES for f in formats for end in ends.get(f, ())}
    return figures | tables | (set(_FORMER) if MARKDOWN in formats else set())


def _contents(
    compared: Comparison, records: Mapping[str, Record], history: pd.DataFrame, kept: Kept, formats: frozenset[str]
) -> dict[str, bytes]:
    """Relative path -> bytes, in the order in which they are put in place."""
    kinds = {SVG} if formats & {MARKDOWN, HTML} else set()
    figures = draw_all(compared, history, kinds | ({PDF} if TEX in formats else set()))
    svgs = {name: content for name, content in figures.items() if name.endswith(SVG)}
    tables = further_tables(compared)
    texts = _texts(compared, history, tables, formats)
    if MARKDOWN in formats:
        texts["report.md"] = markdown.to_report(compared, records, svgs, tables)
    if HTML in formats:
        texts["report.html"] = html.to_html(compared, records, svgs, kept, tables)
    written = {name: content for name, content in figures.items() if MARKDOWN in formats or name not in svgs}
    files = {f"figures/{name}": content for name, content in written.items()}
    return files | {name: text.encode("utf-8", errors="replace") for name, text in texts.items()}


def _texts(
    compared: Comparison, history: pd.DataFrame, tables: Sequence[NamedTable], formats: frozenset[str]
) -> dict[str, str]:
    """The tables in each format, and the frames."""
    all_tables = [*_first(compared), *tables]
    texts: dict[str, str] = {}
    if CSV in formats:
        texts |= {"trials.csv": renderers.to_csv(compared.trials), "history.csv": renderers.to_csv(history)}
        texts |= {f"tables/{table.name}.csv": renderers.to_csv(table.numbers) for table in all_tables}
    if MARKDOWN in formats:
        texts |= {f"tables/{table.name}.md": markdown.table_page(table) for table in all_tables}
    if TEX in formats:
        texts["tables/comparison.tex"] = latex.comparison_tex(compared)
        texts[f"tables/comparison{COLUMN}.tex"] = latex.column_tex(compared)
        texts |= {f"tables/{table.name}.tex": latex.named_tex(table, compared.study.slug) for table in all_tables[1:]}
    return texts


def _first(compared: Comparison) -> list[NamedTable]:
    """The comparison, and the failures if there are any."""
    caption = captions.comparison_caption(compared)
    found = [NamedTable("comparison", "Comparison", comparison_table(compared), compared.summary, caption)]
    if len(failures := failures_table(compared)):
        caption = captions.failures_caption(compared)
        found.append(NamedTable("failures", "Without a result", failures, compared.failures, caption))
    return found
