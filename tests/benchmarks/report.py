"""How long a report takes, from Records in memory to files on disk, and where the time goes.

    python tests/benchmarks/report.py [--trials 100 1000 10000] [--kind own] [--format html,md,tex,csv] [--profile]

The studies are those of `scale.py`, with made-up results. The whole comes first, with nothing warmed up, then each step
by itself, by the CPU seconds of the process, which other work on the machine changes less, and by the wall clock; both
after imports. ``--profile`` says which functions the whole spends its time in.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from scale import KINDS, made_up, write_study

from ablate.reporting import captions, html, latex, markdown, renderers
from ablate.reporting.comparison import comparison
from ablate.reporting.figures.drawn import PDF, SVG, draw_all
from ablate.reporting.formats import FORMATS
from ablate.reporting.frame import history_frame, trial_frame
from ablate.reporting.further_tables import further_tables
from ablate.reporting.judging import differences
from ablate.reporting.report import write_report
from ablate.study.load import load_study

T = TypeVar("T")


class Steps:
    """The seconds of each step."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, float, float]] = []

    def time(self, name: str, call: Callable[[], T]) -> T:
        """Call it once, and note how long it took."""
        cpu, wall = time.process_time(), time.perf_counter()
        result = call()
        self.rows.append((name, time.process_time() - cpu, time.perf_counter() - wall))
        return result

    def table(self) -> str:
        """Markdown."""
        lines = ["| step | CPU s | wall s |", "|---|---:|---:|"]
        return "\n".join([*lines, *(f"| {name} | {cpu:.3f} | {wall:.3f} |" for name, cpu, wall in self.rows)])


def measure(kind: str, trials: int, formats: frozenset[str], folder: Path, profiled: bool) -> str:
    """The table of one size."""
    study = load_study(write_study(kind, trials, folder))
    records = {trial.id: made_up(study, trial) for trial in study.all_trials}
    whole, steps = Steps(), Steps()
    report = whole.time("the whole report", lambda: write_report(study, records, folder / "report", formats=formats))

    frame = steps.time("trial frame", lambda: trial_frame(study, records))
    steps.time("differences and verdicts", lambda: differences(study, frame))
    compared = steps.time("comparison (has both)", lambda: comparison(study, records))
    history = steps.time("history frame", lambda: history_frame(study, records))
    steps.time("trials.csv, history.csv", lambda: [renderers.to_csv(table) for table in (compared.trials, history)])
    svgs = steps.time("figures as SVG", lambda: draw_all(compared, history, [SVG]))
    steps.time("figures as PDF", lambda: draw_all(compared, history, [PDF]))
    tables = steps.time("further tables", lambda: further_tables(compared))
    steps.time("captions", lambda: captions.comparison_caption(compared))
    steps.time("report.md", lambda: markdown.to_report(compared, records, svgs, tables))
    page = steps.time("report.html", lambda: html.to_html(compared, records, svgs, tables=tables))
    steps.time("comparison.tex", lambda: latex.comparison_tex(compared))
    if profiled:
        profile = cProfile.Profile()
        profile.runcall(write_report, study, records, folder / "again", formats=formats)
        pstats.Stats(profile).sort_stats("cumulative").print_stats(60)
    size = sum(file.stat().st_size for file in report.files) / 1e6
    rows = Steps()
    rows.rows = [*whole.rows, *steps.rows]
    return (
        f"{kind}, {trials:,} Trials; report.html {len(page) / 1e6:.1f} MB, all files {size:.1f} MB\n\n{rows.table()}\n"
    )


def main() -> None:
    """Print a table for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="+", choices=(100, 1000, 10_000), default=[100, 1000, 10_000])
    parser.add_argument("--kind", choices=KINDS, default="own")
    parser.add_argument("--format", default=",".join(sorted(FORMATS)))
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    for trials in given.trials:
        with tempfile.TemporaryDirectory() as folder:
            print(measure(given.kind, trials, frozenset(given.format.split(",")), Path(folder), given.profile))


if __name__ == "__main__":
    main()
