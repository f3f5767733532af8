"""What `ablate report --from-mlflow` does: read someone else's runs, and write the tables a study would have."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from rich.console import Console
from rich.text import Text

from ablate.foreign import ForeignQuestion, ForeignStudy, foreign_study
from ablate.reporting.comparison import comparison
from ablate.reporting.formats import FORMATS
from ablate.reporting.renderers import TerminalReport
from ablate.reporting.report import write_report
from ablate.reporting.table_page import write_page
from ablate.reporting.unpaired_page import unpaired_page
from ablate.tracking.mlflow_foreign import read_histories, read_runs

OK, FAILED = 0, 1


def report_runs(
    experiment: str,
    question: ForeignQuestion,
    reports: Path,
    tracking_uri: str | None = None,
    condition: str = "",
    curves: bool = False,
    formats: Collection[str] = FORMATS,
    quiet: bool = False,
) -> int:
    """Write the report of an experiment's runs below ``reports``; the exit code is 1 where one has no result.

    ``condition`` is a search string of MLflow's, ``curves`` reads what was logged at each step, which takes a request
    for each metric of each run. Raises `ForeignError`, `NoSuchExperiment`, `BadSearch`, `StoreUnavailable` and OSError.
    """
    console = Console(quiet=quiet)
    found = read_runs(tracking_uri, experiment, condition)
    made = foreign_study(found, question)
    if curves:
        chosen = [run for run in found.runs if run.run_id in made.records]
        made = foreign_study(found, question, read_histories(tracking_uri, chosen))
    folder = runs_folder(found.name, reports)
    if question.seed_param is None:
        page = unpaired_page(comparison(made.study, made.records))
        folder /= "unpaired"  # its tables are no leftovers of a paired report, and the other way round
        write_page(page, folder, formats)
        console.print(page)
    else:
        report = write_report(made.study, made.records, folder, formats=formats)
        console.print(TerminalReport(report.comparison))
        _say(made, console)
    console.print(Text(f"report: {folder / 'report.md'} and {folder / 'report.html'}"), soft_wrap=True)
    lacking = sum(record.status != "finished" for record in made.records.values())
    print(f"runs {len(made.records)}, Variants {len(made.study.variants)}, without a result {lacking}", flush=True)  # noqa: T201
    return FAILED if lacking else OK


def runs_folder(experiment: str, reports: Path) -> Path:
    """`mlflow/<experiment>`, with what no file name should have as dashes."""
    name = re.sub(r"[^\w.+=-]+", "-", experiment).strip("-.") or "experiment"
    return reports / "mlflow" / name


def _say(made: ForeignStudy, console: Console) -> None:
    console.print()
    for subject, text in made.told.items():
        console.print(Text(f"{subject}: {text}"), soft_wrap=True)
