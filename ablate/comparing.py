"""What `ablate report A B ...` does: put the results of several studies beside each other. Trains nothing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from ablate.reporting.across import across
from ablate.reporting.across_report import across_page
from ablate.reporting.formats import FORMATS
from ablate.reporting.table_page import write_page
from ablate.results import results_of
from ablate.study.study import Study

OK, FAILED = 0, 1


def compare_studies(
    studies: Sequence[Study],
    home: Path,
    reports: Path,
    tracking_uri: str | None = None,
    formats: Collection[str] = FORMATS,
    quiet: bool = False,
) -> int:
    """Write the comparison below ``reports``, show it, and give the exit code: 1 where Trials lack a result.

    The studies' own reports are left as they are. Raises `StudyError` where nothing of a study has been trained and
    ValueError where a study is given twice.
    """
    console = Console(quiet=quiet)
    found = across([results_of(study, home, reports, tracking_uri).comparison for study in studies])
    page, folder = across_page(found), comparison_folder(studies, reports)
    try:
        written = write_page(page, folder, formats)
    except OSError as error:
        Console(stderr=True).print(Text(f"{type(error).__name__}: {error}"), soft_wrap=True)
        return FAILED
    console.print(page)
    lacking = sum(int(compared.trials["metric"].isna().sum()) for compared in found.comparisons)
    pages = [str(path) for path in written if path.name in ("report.md", "report.html")]
    console.print(Text(f"report: {' and '.join(pages) or folder}"), soft_wrap=True)
    shared = found.effects["effect"].nunique() if len(found.effects) else 0
    print(f"compared {len(studies)} studies, shared effects {shared}, Trials without a result {lacking}", flush=True)  # noqa: T201
    return FAILED if lacking else OK


def comparison_folder(studies: Sequence[Study], reports: Path) -> Path:
    """`compare/<a>+<b>/<profile>`, the profiles joined where they differ; of a selection, a folder below it."""
    profiles = dict.fromkeys(study.profile for study in studies)
    folder = reports / "compare" / "+".join(study.name for study in studies) / "+".join(profiles)
    selection = next((study.selection for study in studies if study.selection), "")
    if not selection:
        return folder
    name = re.sub(r"[^A-Za-z0-9.]+", "-", selection).strip("-")
    return folder / "selections" / f"{name[:60]}-{hashlib.sha256(selection.encode()).hexdigest()[:6]}"
