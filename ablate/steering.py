"""Steering a study that runs: cancelling its jobs, and choosing what is trained again."""

from __future__ import annotations

import fnmatch
import re
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ablate.execution.cluster import queue
from ablate.execution.cluster.queue import SlurmError
from ablate.execution.known_jobs import Jobs, KnownJob, local_jobs
from ablate.execution.run_folder import RunFolder
from ablate.standing import State, StudyStanding, TrialStanding
from ablate.study.study import Study
from ablate.tracking.disk import is_held
from ablate.tracking.glance import glances
from ablate.wording import listing, nearest

#: Lines of one kind that a person is shown.
_SHOWN = 25
#: How often it is looked whether what was cancelled has ended, s.
POLL_S = 1.0
#: What a job may need besides Slurm's KillWait, s: for its epilogue, and for the queue to forget it.
_AFTER_KILL_S = 15.0
_KILL_WAIT_S = 30.0
"""Slurm's default of KillWait."""
#: States that `ablate retry` takes up.
_LOST: tuple[State, ...] = ("failed", "stale", "interrupted", "cancelled")


@dataclass(frozen=True)
class Cancelled:
    """What was told to end."""

    running: tuple[KnownJob, ...] = ()
    """Jobs on Slurm that had begun."""
    waiting: tuple[KnownJob, ...] = ()
    """Those that had not."""
    drivers: tuple[RunFolder, ...] = ()
    """Runs on one machine, whose `ablate run` stops."""
    others: int = 0
    """Jobs on Slurm that go on, since they have none of the Trials."""

    @property
    def jobs(self) -> tuple[KnownJob, ...]:
        """All jobs on Slurm."""
        return self.running + self.waiting


def variants_like(study: Study, patterns: Sequence[str]) -> set[str]:
    """Variants, teachers among them, by patterns on their names; all of them without a pattern.

    Raises ValueError, in one line for the user, for a pattern that fits none.
    """
    names = [variant.name for variant in (*study.teacher_variants, *study.variants)]
    chosen = set() if patterns else set(names)
    for pattern in patterns:
        hits = fnmatch.filter(names, pattern)
        if not hits:
            raise ValueError(f"--only {pattern}: there is no such Variant; {listing(names)}{nearest(pattern, names)}")
        chosen.update(hits)
    return chosen


def cancel(home: Path, slug: str, trials: Collection[str] | None = None) -> Cancelled:
    """Tell a study's jobs to end: with a checkpoint, and without a driver taking it for a failure.

    With ``trials`` only jobs that have one of them, each as a whole; without, all that this ``home`` knows of. Raises
    `SlurmError` where Slurm does not answer or refuses.
    """
    jobs = Jobs.of(home, slug)
    known = {job.job_id: job for held in jobs.by_trial.values() for job in held}
    chosen = [job for job in known.values() if trials is None or not set(job.trials).isdisjoint(trials)]
    drivers = tuple(_drivers(home, slug)) if trials is None or _open(home, trials) else ()
    for driver in drivers:
        driver.stop_file.touch()
    if jobs.living is None:
        raise SlurmError(jobs.slurm)
    living = [job for job in chosen if jobs.in_queue(job) is not None]
    for job in living:
        if job.submitted is not None:
            job.submitted.mark_cancelled()  # before Slurm is told, lest a driver take the end for a failure
    try:
        queue.cancel([job.job_id for job in living])
    except SlurmError:
        for job in living:
            if job.submitted is not None:
                job.submitted.unmark_cancelled()  # it lives on, and how it ends is another matter
        raise
    waiting = tuple(job for job in living if jobs.living[job.job_id].waits)
    others = sum(jobs.in_queue(job) is not None for job in known.values()) - len(living)
    return Cancelled(tuple(job for job in living if job not in waiting), waiting, drivers, others)


def wait_until_ended(slug: str, cancelled: Cancelled, patience_s: float) -> list[str]:
    """Wait until what was cancelled has ended; what had not after ``patience_s``. Raises `SlurmError`."""
    until = time.monotonic() + patience_s
    while left := _left(slug, cancelled):
        if time.monotonic() >= until:
            break
        time.sleep(min(POLL_S, patience_s))
    return left


def patience() -> float:
    """How long jobs may take to end, s: by Slurm's KillWait, after which it kills them."""
    try:
        match = re.search(r"^KillWait\s*=\s*(\d+)", queue.slurm("scontrol", "show", "config"), re.MULTILINE)
    except SlurmError:
        match = None
    return (float(match[1]) if match else _KILL_WAIT_S) + _AFTER_KILL_S


def told(study: Study, cancelled: Cancelled, variants: Collection[str]) -> list[str]:
    """What is being ended, and who is hit besides those that were meant."""
    if not cancelled.jobs and not cancelled.drivers:
        if cancelled.others:
            jobs = "a job" if cancelled.others == 1 else f"{cancelled.others:,} jobs"
            return [f"no job of these Trials; {jobs} with other Trials of {study.slug}, or of another --set, go on"]
        return [f"no job of {study.slug} runs or waits"]
    lines = []
    if cancelled.jobs:
        number = f"{len(cancelled.jobs):,} {'job' if len(cancelled.jobs) == 1 else 'jobs'}"
        lines.append(f"cancelling {number}: {len(cancelled.running):,} running, {len(cancelled.waiting):,} waiting")
    lines += [f"stopping the `ablate run` of {run.path}, and all that it trains" for run in cancelled.drivers]
    names = {t.id: (t.variant, t.seed) for t in reversed((*study.teachers, *study.trials))}
    hit = []
    for job in cancelled.jobs:
        others = [names[i] for i in job.trials if i in names and names[i][0] not in variants]
        if others:
            listed = ", ".join(f"{variant} seed {seed}" for variant, seed in others)
            hit.append(f"job {job.job_id} was to train others, too: {listed}")
    if hit:
        lines += [*_cut(hit), "the next `ablate run` submits them again"]
    return lines


def reached(standing: StudyStanding, jobs: Iterable[KnownJob]) -> list[str]:
    """How far those Trials of some jobs are that have begun, for the user."""
    ids = {job.job_id for job in jobs}
    begun = [item for item in standing.trials if item.job in ids and item.attempts]
    return _cut([f"{item.name} (job {item.job}): {item.state}{_step(item)}" for item in begun])


def to_retry(standing: StudyStanding, variants: Collection[str], *, failed_only: bool) -> list[TrialStanding]:
    """The Trials to train again: those that failed, whatever the cause, and unless ``failed_only`` those that were
    interrupted, cancelled or lost with their job. What runs or waits is left alone.
    """
    states = ("failed",) if failed_only else _LOST
    return [item for item in standing.trials if item.state in states and item.trial.variant in variants]


def why_again(items: Sequence[TrialStanding]) -> list[str]:
    """The Trials, and why each is trained again, for the user."""
    causes = [f"{item.cause}: {item.error}" if item.state == "failed" else item.why for item in items]
    named = zip(items, causes, strict=True)
    return _cut([f"{i.name}: {i.state}{_step(i)}{f', {cause}' if cause else ''}" for i, cause in named])


def with_teachers(chosen: Iterable[TrialStanding], standing: StudyStanding) -> frozenset[str]:
    """The ids of Trials to train, with those of the study's own that they learn from and that have not finished."""
    known = {item.trial.id: item for item in standing.trials}
    ids: set[str] = set()
    left = [item.trial.id for item in chosen]
    while left:
        trial_id = left.pop()
        if trial_id not in ids:
            ids.add(trial_id)
            needs = known[trial_id].trial.needs
            left += [need for need in needs if need in known and known[need].state != "finished"]
    return frozenset(ids)


def _drivers(home: Path, slug: str) -> Iterator[RunFolder]:
    """The runs of drivers that live on this machine and have jobs of their own there, and not on Slurm."""
    for lock in (home / "runs" / slug).glob("*/driver.lock"):
        if is_held(lock) and any(job.run == lock.parent.absolute() for job in local_jobs(home, slug)):
            yield RunFolder(lock.parent)


def _open(home: Path, trials: Collection[str]) -> bool:
    """Whether one of these Trials has no outcome that stands."""
    seen = glances(home, trials)
    return any(i not in seen or seen[i].status not in ("finished", "failed") for i in trials)


def _left(slug: str, cancelled: Cancelled) -> list[str]:
    """What was cancelled and has not ended."""
    queued = queue.living(queue.job_name(slug)) if cancelled.jobs else {}
    drivers = [f"the run in {run.path}" for run in cancelled.drivers if is_held(run.driver_lock)]
    return [*(f"job {job.job_id}" for job in cancelled.jobs if job.job_id in queued), *drivers]


def _cut(lines: list[str]) -> list[str]:
    return lines[:_SHOWN] + ([f"and {len(lines) - _SHOWN:,} more"] if len(lines) > _SHOWN else [])


def _step(item: TrialStanding) -> str:
    of = f" of {item.steps}" if item.steps is not None else ""
    return f" at step {item.step}{of}" if item.step is not None else ""
