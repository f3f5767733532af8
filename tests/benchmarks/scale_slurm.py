"""A driver of a study on Slurm with thousands of jobs: what submitting, watching and concluding them takes.

Slurm is four shell scripts over files, which answer at once, and the jobs are made up: what is measured is the
driver. Called by `scale.py`.
"""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from rich.console import Console

from ablate.execution.cluster.driver import Driver
from ablate.execution.cluster.packing import batches
from ablate.execution.cluster.queue import job_name, max_array_size
from ablate.execution.cluster.snapshot import Snapshot
from ablate.execution.cluster.submission import SubmittedJob
from ablate.execution.cluster.submitter import SLOT, Submitter
from ablate.execution.cluster.watch import Watch
from ablate.execution.display import LiveDisplay
from ablate.execution.ledger import Ledger
from ablate.execution.pack import Pack
from ablate.execution.progress import RunSummary
from ablate.execution.resources import Resources
from ablate.execution.run_folder import RunFolder
from ablate.execution.status import JobStatus
from ablate.execution.stopping import Stop
from ablate.study.study import Study, Trial
from ablate.tracking.record import Record
from ablate.tracking.spool import Spool

#: Jobs that run at once, those of them that end between two rounds, and elements of an array.
RUNNING, ENDING, ARRAY = 500, 50, 1001
SCRIPTS = {
    "squeue": "cat {folder}/queue",
    "sacct": "cat {folder}/ended",
    "scontrol": f"echo MaxArraySize = {ARRAY}",
    "sbatch": """\
[ "$1" = --test-only ] && exit 0
n=$(( $(cat {folder}/last) + 1 )); echo $n > {folder}/last
sed -n "s/#SBATCH --comment=/$n /p" "$1" >> {folder}/arrays
echo "Submitted batch job $n\"""",
    "srun": "exit 1",
}
Measure = Callable[[str, Callable[[], object]], float]
"""Measures a step, and says how long it took by the wall clock, s."""
Measured = Callable[[str, Callable[[], object]], None]


class FastSlurm:
    """A Slurm whose queue is a file that this class writes."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        folder.mkdir()
        (folder / "last").write_text("1000\n")
        for file in ("queue", "ended", "calls"):
            (folder / file).write_text("")
        for command, script in SCRIPTS.items():
            path = folder / "bin" / command
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"#!/bin/sh\necho {command} >> {folder}/calls\n{script.format(folder=folder)}\n")
            path.chmod(0o755)

    @contextmanager
    def on_path(self) -> Iterator[None]:
        """Its commands are found before any others."""
        before = os.environ["PATH"]
        os.environ["PATH"] = f"{self.folder / 'bin'}{os.pathsep}{before}"
        try:
            yield
        finally:
            os.environ["PATH"] = before

    def calls(self) -> str:
        """How often each command was called since the last time this was asked."""
        file = self.folder / "calls"
        names = file.read_text().split()
        file.write_text("")
        return ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))

    def show(self, running: Sequence[SubmittedJob], waiting: Sequence[SubmittedJob]) -> None:
        """Let the queue be these."""
        lines = [f"{j.job_id}|RUNNING|node{i % 40}|1:00:00|{j.submission.key}|None" for i, j in enumerate(running)]
        lines += [f"{job.job_id}|PENDING||1:00:00|{job.submission.key}|Priority" for job in waiting]
        (self.folder / "queue").write_text("".join(f"{line}\n" for line in lines))


class World:
    """A study whose jobs run as they are told."""

    def __init__(self, study: Study, folder: Path, finish: Callable[[Spool, Trial], None]) -> None:
        self.study, self.folder, self.finish = study, folder, finish
        self.spool, self.home = Spool(folder / "spool"), folder
        self.run = RunFolder(folder / "runs" / study.slug / "20260101-000000-1")
        self.slurm = FastSlurm(folder / "slurm", job_name(study.slug))
        self.trials = {trial.id: trial for trial in study.all_trials}
        console = Console(file=io.StringIO(), width=120, height=40, force_terminal=True)
        self.observer = LiveDisplay(console, study.metric.name)

    def driver(self) -> Driver:
        """One who has just been started."""
        watch = Watch(self.home, self.study.slug)
        submitter = Submitter(
            run=self.run,
            job_name=job_name(self.study.slug),
            trainable=self.study.trainable,
            make_pack=self._pack,
            resources_for=lambda _variant: Resources(),
            seconds=dict,
            snapshot=lambda: Snapshot(self.folder / "code", (self.folder / "code",), ()),
            delivery=None,
        )
        seen = self.spool.settled_since()[1]
        return Driver(Ledger(self.study.all_trials, self.spool), watch, submitter, self.spool, self.observer, seen)

    def _pack(self, trials: tuple[Trial, ...], slot: object) -> Pack:
        return Pack(trials, self.study.trainable, self.study.metric.name, "", self.spool.root, self.run.path, SLOT)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """While it is on, the display has standard output and standard error."""
        try:
            yield
        finally:
            self.observer.ended(RunSummary((), (), (), (), ()))

    def begin(self, job: SubmittedJob) -> None:
        """A job has a Trial in its hands and has reported a step."""
        status = JobStatus(trial=job.trials[0], since=time.time() - 60, host="node1")
        job.status_file.parent.mkdir(parents=True, exist_ok=True)
        job.status_file.write_text(json.dumps(vars(status)))
        home = self.spool.home(job.trials[0])
        home.mkdir(parents=True, exist_ok=True)
        with mock.patch("os.fsync"):  # a worker waits for its disk, the benchmark need not
            self._report(job)

    def _report(self, job: SubmittedJob) -> None:
        claim = self.spool.claim(self.trials[job.trials[0]], self.study.trainable, "")
        assert claim is not None
        with claim:
            _ = claim.folder
            claim.report(1, {self.study.metric.name: 50.0})

    def end(self, job: SubmittedJob) -> None:
        """Its Trial has finished."""
        for trial_id in job.trials:
            self.finish(self.spool, self.trials[trial_id])
            self.spool._marks.add(Record(trial_id, 0, "", {}, "finished", started=0.0, ended=1.0))


def on_slurm(time_it: Measure, study: Study, finish: Callable[[Spool, Trial], None], folder: Path) -> None:
    """Every step of a driver that begins the study, watches it for some rounds, is killed, comes back, and ends."""
    folder.mkdir()
    world = World(study, folder, finish)

    def measured(step: str, call: Callable[[], object]) -> None:
        world.slurm.calls()
        seconds = time_it(step, call)
        asked.append(f"{step}: {seconds:.3f} s by the wall clock, asked Slurm {world.slurm.calls() or 'nothing'}")

    asked: list[str] = []
    with world.slurm.on_path(), world.shown():
        driver = world.driver()
        size = max_array_size()
        measured("slurm: packing", lambda: batches(study.all_trials, {}, lambda _v: Resources(), size))
        measured("slurm: submitting all", driver.begin)
        jobs = driver.watch.jobs
        rounds(world, driver, jobs, measured)
    print(*asked, sep="\n")


def rounds(
    world: World, driver: Driver, jobs: list[SubmittedJob], measured: Callable[[str, Callable[[], object]], None]
) -> None:
    """From all waiting to all done; an early, a middle and a late round are measured."""
    alive = min(RUNNING, len(jobs) // 4)
    ending = min(ENDING, alive // 4)
    for at, when in enumerate(("early", "middle", "late")):
        done = (len(jobs) - alive - ending) * at // 2
        for job in jobs[:done]:
            if job.trials[0] in driver.ledger.open:
                world.end(job)
        world.slurm.show(jobs[done : done + alive], jobs[done + alive :])
        driver.round()
        for job in jobs[done : done + alive]:
            world.begin(job)
        for job in jobs[done : done + ending]:
            world.end(job)
        world.slurm.show(jobs[done + ending : done + alive], jobs[done + alive :])
        measured(f"slurm: {when} round", driver.round)
        measured(f"slurm: {when} look at what runs", lambda: driver.wait(0.0, Stop(None)))
        measured(f"slurm: {when} tick", lambda: driver.observer.updated(driver._progress()))
        measured(f"slurm: {when} round without news", driver.round)
    again = world.driver()
    measured("slurm: attaching again", again.begin)
    for job in again.watch.jobs:
        world.end(job)
    world.slurm.show([], [])
    measured("slurm: the end", again.round)
    assert not again.ledger.open
    assert not again.has_work()
