"""How long a study of thousands of Trials keeps a person waiting, apart from training: plan, polls, display, report.

    python tests/benchmarks/scale.py [--trials 100 1000 10000] [--kinds vision own] [--slurm] [--profile STEP]

The study is a factorial of 5 seeds of the vision recipe, or of 10 seeds of a user's own Trainable. Its results are
made up and lie in a spool as a worker would leave them. CPU seconds of one process, which other work on the machine
changes little, after imports and with warm file caches; of a driver on Slurm (`scale_slurm.py`, alone with ``--slurm``)
seconds by the wall clock, too, since it waits for files and commands. ``--profile`` also says where the time of a step
goes.
"""

from __future__ import annotations

import argparse
import cProfile
import hashlib
import io
import json
import math
import pstats
import random
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from scale_slurm import on_slurm

from ablate.execution.display import render
from ablate.execution.ledger import Ledger
from ablate.execution.progress import Running, total_steps
from ablate.plan import make_plan, render_plan
from ablate.reporting import captions, html, latex, markdown, renderers
from ablate.reporting.comparison import comparison
from ablate.reporting.figures.drawn import draw_all
from ablate.reporting.frame import history_frame
from ablate.reporting.report import write_report
from ablate.study.load import load_study
from ablate.study.study import Study, Trial
from ablate.tracking.codec import encode
from ablate.tracking.record import Record, Row
from ablate.tracking.spool import Spool

T = TypeVar("T")
SIMPLEVIT = Path(__file__).resolve().parents[2] / "studies" / "simplevit.yaml"
#: Reports of a Trial while it trains, Trials settled in a poll, and Trials that run at once.
EPOCHS, SETTLED, RUNNING = 30, 50, 500
OWN_TRAINABLE = "def train(recipe, seed, report, folder):\n    return {'score': 1.0}\n"


@dataclass(frozen=True)
class Kind:
    """A study to make: what trains it, and how many seeds each Variant has."""

    metric: str
    seeds: int
    make: Callable[[Sequence[int]], Mapping[str, Any]]
    """The rest of the study's file, given how many Levels each of its three Factors has."""


def vision(sizes: Sequence[int]) -> Mapping[str, Any]:
    """Learning rate, weight decay and position embedding of SimpleViT on digits."""
    positions: list[Any] = ["sincos2d", "learned", "none", "sincos1d", "learned2d"]
    settings = [
        ("position", "model.position", positions[: sizes[0]]),
        ("decay", "optimizer.weight_decay", [0.1 + i / 100 for i in range(sizes[1])]),
        ("rate", "optimizer.learning_rate", [1e-3 + i / 1e5 for i in range(sizes[2])]),
    ]
    base = load_study(SIMPLEVIT, "digits").baseline.recipe
    return {"base": base | {"model": {**base["model"], "position": "sincos2d"}}, "factors": factors(settings)}


def own(sizes: Sequence[int]) -> Mapping[str, Any]:
    """Three numbers of a user's own training."""
    settings = [(name, f"training.{name}", [i / 8 for i in range(n)]) for name, n in zip("abc", sizes, strict=True)]
    base = {"training": {"a": 0.0, "b": 0.0, "c": 0.0, **{f"other{i}": i for i in range(40)}}}
    return {"base": base, "factors": factors(settings), "trainable": "scale_own:train"}


def factors(settings: Sequence[tuple[str, str, Sequence[Any]]]) -> dict[str, Any]:
    """Factors in the form of a study file; the first value of each is the base's, and one alone is no Factor."""
    return {
        name: {"reference": str(values[0]), "levels": {str(v): {field: v} for v in values[1:]}}
        for name, field, values in settings
        if len(values) > 1
    }


KINDS = {"vision": Kind("top1", 5, vision), "own": Kind("score", 10, own)}
#: (kind, Trials) -> Levels of the three Factors.
SIZES = {
    ("vision", 100): (5, 2, 2),
    ("vision", 1000): (5, 8, 5),
    ("vision", 10_000): (5, 20, 20),
    ("own", 100): (5, 2, 1),
    ("own", 1000): (5, 5, 4),
    ("own", 10_000): (10, 10, 10),
}


def write_study(name: str, trials: int, folder: Path) -> Path:
    """The study's file: JSON is YAML."""
    kind = KINDS[name]
    (folder / "scale_own.py").write_text(OWN_TRAINABLE)
    whole = {
        "study": f"{name}-{trials}",
        "question": "How long does it take?",
        "metric": {"name": kind.metric, "direction": "maximize", "unit": "%"},
        "seeds": list(range(kind.seeds)),
        "design": "factorial",
        **kind.make(SIZES[name, trials]),
    }
    path = folder / "study.yaml"
    path.write_text(json.dumps(whole, indent=1))
    return path


def made_up(study: Study, trial: Trial) -> Record:
    """The Record of a Trial as if it had been trained; one in 500 has diverged."""
    draws = random.Random(trial.id)
    effect = random.Random(trial.variant).gauss(0, 2)
    final = 90 + effect + draws.gauss(0, 0.5)
    curve = [final * (1 - math.exp(-5 * (i + 1) / EPOCHS)) for i in range(EPOCHS)]
    rows = (
        Row(i + 1, {f"test/{study.metric.name}": v, "train/loss": 3 - v / 50, "lr": 1e-3}, 1000.0 + i)
        for i, v in enumerate(curve)
    )
    diverged = draws.random() < 0.002
    return Record(
        trial_id=trial.id,
        seed=trial.seed,
        trainable=study.trainable,
        recipe=trial.recipe,
        status="failed" if diverged else "finished",
        started=1000.0,
        ended=1030.0,
        seconds=30 + draws.random(),
        metrics={} if diverged else {study.metric.name: final, "loss": 3 - final / 50, "parameters": 102_666.0},
        history=tuple(rows),
        cause="diverged" if diverged else None,
        error="loss is nan at step 7" if diverged else "",
        log_tail="loss is nan at step 7" if diverged else "",
        data_fingerprint=study.data_fingerprint,
        environment={"commit": "0123abc", "torch": "2.14.1", "machine": f"node{draws.randrange(40)}"},
    )


def spool_record(spool: Spool, record: Record) -> None:
    """Leave a Record as a worker leaves it, though without waiting for the disk."""
    home = spool.home(record.trial_id)
    home.mkdir(parents=True, exist_ok=True)
    about = {"id": record.trial_id, "seed": record.seed, "trainable": record.trainable, "recipe": record.recipe}
    (home / "trial.json").write_text(json.dumps(about | {"data_fingerprint": record.data_fingerprint}))
    (home / "result.json").write_text(encode(record))


class Clock:
    """The table: seconds by step and by size."""

    def __init__(self, profiled: str) -> None:
        self.seconds: dict[str, dict[str, float]] = {}
        self.notes: dict[str, str] = {}
        self.column = ""
        self._profiled = profiled

    def time(self, step: str, call: Callable[[], T]) -> T:
        """Call it, and note how long it took; of three calls the middle one where it is quick."""
        if self._profiled and self._profiled in step:
            self._profile(step, call)
        taken = []
        while not taken or (len(taken) < 3 and sum(taken) < 0.5):
            begun = time.process_time()
            result = call()
            taken.append(time.process_time() - begun)
        self.seconds.setdefault(step, {})[self.column] = sorted(taken)[len(taken) // 2]
        return result

    def once(self, step: str, call: Callable[[], object]) -> float:
        """Note how long a call takes that cannot be repeated; its seconds by the wall clock."""
        begun, cpu = time.perf_counter(), time.process_time()
        if self._profiled and self._profiled in step:
            self._profile(step, call)
        else:
            call()
        self.seconds.setdefault(step, {})[self.column] = time.process_time() - cpu
        return time.perf_counter() - begun

    def _profile(self, step: str, call: Callable[[], object]) -> None:
        profile = cProfile.Profile()
        profile.runcall(call)
        stream = io.StringIO()
        pstats.Stats(profile, stream=stream).sort_stats("cumulative").print_stats(45)
        print(f"\n{self.column}: {step}\n{stream.getvalue()}")

    def table(self) -> str:
        """Markdown."""
        columns = list(dict.fromkeys(column for row in self.seconds.values() for column in row))
        lines = [f"| CPU seconds | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
        for step, row in self.seconds.items():
            lines.append(f"| {step} | {' | '.join(f'{row[c]:.3f}' if c in row else '' for c in columns)} |")
        return "\n".join(lines)


def measure(clock: Clock, name: str, trials: int, folder: Path, *, slurm_alone: bool = False) -> None:
    """Every step of one study, or those on Slurm."""
    clock.column = f"{name} {trials:,}"
    path = write_study(name, trials, folder)
    study = clock.time("load the study", lambda: load_study(path))
    assert len(study.all_trials) == trials
    records = {trial.id: made_up(study, trial) for trial in study.all_trials}

    def finish(spool: Spool, trial: Trial) -> None:
        spool_record(spool, replace(records[trial.id], ended=time.time()))

    on_slurm(clock.once, study, finish, folder / "on-slurm")
    if slurm_alone:
        return
    plan(clock, study, records)
    polls(clock, study, records, Spool(folder / "polled"))
    spool = Spool(folder / "finished")
    for record in records.values():
        spool_record(spool, record)
    clock.time("Ledger of a finished study", lambda: Ledger(study.all_trials, spool))
    read = clock.time("read every Record", lambda: spool.records(trial.id for trial in study.all_trials))
    report(clock, study, read, folder)
    ids = hashlib.sha256(" ".join(trial.id for trial in study.all_trials).encode()).hexdigest()[:12]
    clock.notes[clock.column] = f"ids {ids}"


def plan(clock: Clock, study: Study, records: Mapping[str, Record]) -> None:
    """`ablate plan`, with nothing trained and with everything."""
    clock.time("plan, nothing trained", lambda: make_plan(study, {}, [], 8))
    done = [record for record in records.values() if record.status == "finished"]
    made = clock.time("plan, all trained", lambda: make_plan(study, records, done, 8))
    console = Console(file=io.StringIO(), width=120)
    clock.time("plan on the terminal", lambda: console.print(render_plan(made)))


def polls(clock: Clock, study: Study, records: Mapping[str, Record], spool: Spool) -> None:
    """A driver's rounds: 50 Trials have settled since the last, 500 run."""
    trials = study.all_trials
    ledger = clock.time("Ledger of a new study", lambda: Ledger(trials, spool))
    settled = [trial.id for trial in trials[:SETTLED]]
    for trial_id in settled:
        spool_record(spool, records[trial_id])
    clock.time("poll, told where to look", lambda: ledger.newly_settled(settled))
    found = clock.time("poll, all of the spool", ledger.newly_settled)
    assert len(found) == min(SETTLED, len(trials))
    for record in found:
        ledger.settle(record)
    now, tasks = time.time(), list(ledger.open.values())[:RUNNING]
    row = Row(7, {study.metric.name: 80.0}, now - 5)
    running = [
        Running(f"{i} on node{i % 40}", trial, now - 60 - i, 0, row, total_steps(trial, study.trainable))
        for i, trial in enumerate(tasks)
    ]
    clock.time("free", ledger.free)
    clock.time("free, the first few", lambda: ledger.free(8))
    clock.time("untaught", ledger.untaught)
    progress = clock.time("progress", lambda: ledger.progress(running, RUNNING, stopping=False))
    clock.time("summary", ledger.summary)
    console = Console(file=io.StringIO(), width=100, height=40, force_terminal=True)
    clock.time("display", lambda: console.print(render(progress, study.metric.name, console.height)))


def report(clock: Clock, study: Study, records: Mapping[str, Record], folder: Path) -> None:
    """The report, whole and in parts."""
    compared = clock.time("statistics", lambda: comparison(study, records))
    history = clock.time("history", lambda: history_frame(study, records))
    clock.time("history.csv", lambda: renderers.to_csv(history))
    figures = clock.time("figures", lambda: draw_all(compared, history))
    clock.time("report.md", lambda: markdown.to_report(compared, records, figures))
    page = clock.time("report.html", lambda: html.to_html(compared, records, figures))
    clock.time("comparison.tex", lambda: latex.comparison_tex(compared))
    clock.time("captions", lambda: captions.comparison_caption(compared))
    console = Console(file=io.StringIO(), width=120)
    clock.time("report on the terminal", lambda: console.print(renderers.TerminalReport(compared)))
    written = clock.time("the whole report", lambda: write_report(study, records, folder / "report"))
    sizes = {file.relative_to(written.folder).as_posix(): file.stat().st_size / 1e6 for file in written.files}
    clock.seconds.setdefault("(report.html, MB)", {})[clock.column] = len(page) / 1e6
    clock.seconds.setdefault("(all files, MB)", {})[clock.column] = sum(sizes.values())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="+", choices=(100, 1000, 10_000), default=[100, 1000, 10_000])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--profile", metavar="STEP", default="", help="words of a row of the table")
    parser.add_argument("--slurm", action="store_true", help="measure a driver on Slurm alone")
    given = parser.parse_args()
    clock = Clock(given.profile)
    for name in given.kinds:
        for trials in given.trials:
            with tempfile.TemporaryDirectory() as folder:
                measure(clock, name, trials, Path(folder), slurm_alone=given.slurm)
    print(clock.table())
    for column, note in clock.notes.items():
        print(f"{column}: {note}")


if __name__ == "__main__":
    main()
