"""The report folder: every file of it made from the study and its Records, and from nothing else.

Equal inputs give equal bytes (with one version of the libraries that draw), so that a committed report
changes only when results do.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ablate.reporting import captions, escaping, html, latex, markdown, renderers
from ablate.reporting.comparison import Comparison, comparison
from ablate.reporting.figures.drawn import COLUMN, NAMES, draw_all
from ablate.reporting.frame import history_frame
from ablate.reporting.kept import Kept
from ablate.reporting.tables import comparison_table, failures_table
from ablate.study.study import Study
from ablate.tracking.record import Record

__all__ = ["Comparison", "Report", "comparison", "write_report"]

#: Files that an earlier report may have left and this one may not have; nothing else is ever removed.
_FIGURES = frozenset(f"figures/{n}{c}.{e}" for n in NAMES for c in ("", COLUMN) for e in ("svg", "png"))
_TABLES = frozenset(f"tables/{n}.{e}" for n in ("comparison", "failures") for e in ("csv", "md", "tex"))


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


def write_report(
    study: Study,
    records: Mapping[str, Record],
    folder: Path,
    kept: Kept = Kept(),  # noqa: B008 - frozen
) -> Report:
    """Write the report of a study into `folder`, made if need be, and remove what an earlier one left over.

    Everything is written beside its place first and then moved there file by file, `report.html` last, so
    that no reader meets half a file. Other files in the folder are left alone. Raises OSError.
    """
    compared = comparison(study, records, kept)
    contents = _contents(compared, records)
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
    for name in (_FIGURES | _TABLES) - contents.keys():
        (folder / name).unlink(missing_ok=True)
    return Report(folder, compared, tuple(sorted(folder / name for name in contents)))


def _contents(compared: Comparison, records: Mapping[str, Record]) -> dict[str, bytes]:
    """Relative path -> bytes, in the order in which they are put in place."""
    history = history_frame(compared.study, records)
    figures = draw_all(compared, history)
    texts = {
        "trials.csv": renderers.to_csv(compared.trials),
        "history.csv": renderers.to_csv(history),
        **_table_texts(compared),
        "report.md": markdown.to_report(compared, records, figures),
        "report.html": html.to_html(compared, records, figures),
    }
    files = {f"figures/{name}": content for name, content in figures.items()}
    return files | {name: text.encode("utf-8", errors="replace") for name, text in texts.items()}


def _table_texts(compared: Comparison) -> dict[str, str]:
    table, caption = comparison_table(compared), captions.comparison_caption(compared)
    texts = {
        "tables/comparison.csv": renderers.to_csv(compared.summary),
        "tables/comparison.md": f"{renderers.to_markdown(table)}\n{escaping.markdown(caption)}\n",
        "tables/comparison.tex": latex.comparison_tex(compared),
    }
    failures = failures_table(compared)
    if len(failures):
        caption = captions.failures_caption(compared)
        texts |= {
            "tables/failures.csv": renderers.to_csv(compared.failures),
            "tables/failures.md": f"{renderers.to_markdown(failures)}\n{escaping.markdown(caption)}\n",
            "tables/failures.tex": latex.failures_tex(compared),
        }
    return texts
