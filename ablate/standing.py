"""What is known of every Trial of a study at this moment, whoever trains it and from wherever one asks.

Three witnesses are heard. Trials' folders say what is finished, failed or begun; Slurm's queue says which jobs live; a
job's status file says what it has in its hands, and when it last gave a sign of life. Submissions are read before the
queue, and the queue before the folders: so a job that is missing from the queue has ended, and its results are seen.
Nothing is written, locked or set aside.
"""

from __future__ import annotations

import platform
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

from ablate.execution.cluster.queue import Ended, Living, endings
from ablate.execution.known_jobs import Jobs, KnownJob
from ablate.execution.progress import Running, total_steps
from ablate.execution.status import JobStatus
from ablate.study.study import Study, Trial
from ablate.tracking.glance import Glance, glances
from ablate.tracking.record import Row

State = Literal[
    "failed", "stale", "running", "requeued", "waiting", "unknown", "interrupted", "cancelled", "new", "finished"
]
#: In the order in which a person wants to see them. `stale`: its job has ended without a result. `requeued`: begun, and
#: in Slurm's queue again. `unknown`: Slurm does not answer, so that nobody knows whether its job waits or runs. `new`:
#: not begun.
STATES: tuple[State, ...] = get_args(State)
#: A job that has been silent for longer is not taken for alive on its word alone, s: it speaks every 15 s.
SILENT_S = 60.0


@dataclass(frozen=True)
class TrialStanding:
    """One Trial at this moment. Times are seconds since the Unix epoch."""

    trial: Trial
    state: State
    why: str = ""
    """What it waits for, or what became of its job, in a few words."""
    job: str = ""
    """The job that has it, or had it last."""
    node: str = ""
    step: int | None = None
    """The last one reported; for the vision trainer an epoch."""
    steps: int | None = None
    """Of how many, where that is known."""
    value: float | None = None
    """The study's metric, as it was last reported."""
    heartbeat: float | None = None
    """The latest sign of life; None of a Trial that has finished or was never begun."""
    seconds_left: float | None = None
    """At the pace of this attempt's rows, from now."""
    limit_left: float | None = None
    """Until Slurm's time limit, s."""
    attempts: int = 0
    cause: str | None = None
    """Why it failed, as `tracking.record.Cause`."""
    error: str = ""

    @property
    def name(self) -> str:
        """The Trial as people call it."""
        return f"{self.trial.variant} seed {self.trial.seed}"

    @property
    def lives(self) -> bool:
        """Whether something trains it, or will without being asked again, as far as is known."""
        return self.state in ("running", "requeued", "waiting", "unknown")


@dataclass(frozen=True)
class StudyStanding:
    """A study at one moment."""

    trials: tuple[TrialStanding, ...]
    """Teachers first, then the study's own, in its order."""
    now: float
    """Seconds since the Unix epoch."""
    slurm: str = ""
    """Why Slurm did not answer; empty where it did, and where there was nothing to ask."""
    seen: Mapping[str, Glance] = field(default_factory=dict, repr=False)
    """What Trials' folders said."""


def standing(study: Study, home: Path, before: StudyStanding | None = None) -> StudyStanding:
    """How every Trial of a study stands. Raises nothing over files that are being written, nor where Slurm is away.

    Given how they stood ``before``, what was finished then is not read again.
    """
    jobs = Jobs.of(home, study.slug)
    trials = (*study.teachers, *study.trials)
    now, seen = time.time(), glances(home, (trial.id for trial in trials), before.seen if before else None)
    judge = _Judge(study, jobs, seen, now)
    return StudyStanding(tuple(map(judge.of, trials)), now, jobs.slurm, seen)


class _Judge:
    """Hears the witnesses."""

    def __init__(self, study: Study, jobs: Jobs, seen: Mapping[str, Glance], now: float) -> None:
        self.study = study
        self.jobs = jobs
        self.seen = seen
        self.now = now
        self._statuses: dict[Path, JobStatus] = {}

    def of(self, trial: Trial) -> TrialStanding:
        """How a Trial stands."""
        seen, job = self.seen.get(trial.id), self.jobs.latest(trial.id)
        queued = self.jobs.in_queue(job) if job else None
        if seen is not None and (seen.status == "finished" or self._has_failed(seen, job, queued)):
            return self._told(trial, "finished" if seen.status == "finished" else "failed", job=job)
        if job is not None and queued is not None:
            return self._told(trial, *self._in_queue(trial, job, queued), job, queued)
        local = self.jobs.local.get(trial.id)
        if seen is not None and seen.status == "running":
            return self._told(trial, "running", "", local or (job if self._holds(job, trial) else None))
        if local is not None and self._lives_elsewhere(local):
            return self._told(trial, "running", "", local)
        if job is None:
            return self._told(trial, *self._left(trial), job=local)
        if self.jobs.living is None and not job.concluded:
            return self._told(trial, *self._unheard(trial, job), job)
        return self._told(trial, *self._after(trial, job), job)

    def _has_failed(self, seen: Glance, job: KnownJob | None, queued: Living | None) -> bool:
        """Whether a failure stands: not one from before its job was submitted, which is to try it again."""
        return seen.status == "failed" and (job is None or queued is None or seen.latest >= job.began)

    def _in_queue(self, trial: Trial, job: KnownJob, queued: Living) -> tuple[State, str]:
        seen = self.seen.get(trial.id)
        turn: State = "waiting" if seen is None else "requeued"
        if queued.waits:
            return turn, _reason(queued.reason)
        if self._holds(job, trial) or (seen is not None and seen.status == "running"):
            return "running", "" if queued.state == "RUNNING" else queued.state.lower()
        return turn, "its job begins" if self._status(job).fruitless else "for its turn in its job"

    def _unheard(self, trial: Trial, job: KnownJob) -> tuple[State, str]:
        """Of a Trial whose job may live: Slurm has not said."""
        lives = self._holds(job, trial) and self._speaks(job)
        return ("running", "") if lives else ("unknown", "Slurm does not answer")

    def _after(self, trial: Trial, job: KnownJob) -> tuple[State, str]:
        """Of a Trial whose job on Slurm has ended, and which has no outcome."""
        if job.cancelled:
            return "cancelled", ""
        if job.concluded:
            return self._left(trial)
        if stopped := self._status(job).stopped:
            return self._left(trial)[0], f"its job was stopped ({stopped})"
        ended = self._endings.get(job.job_id)
        return "stale", f"its job has ended without a result{f': {ended.state}' if ended else ''}"

    def _left(self, trial: Trial) -> tuple[State, str]:
        """Of a Trial that no job has."""
        if trial.id in self.seen:
            return "interrupted", ""
        unmet = any(need not in self.seen or self.seen[need].status != "finished" for need in trial.needs)
        return "new", "its teacher comes first" if unmet else ""

    @cached_property
    def _endings(self) -> Mapping[str, Ended]:
        """How jobs ended that left a Trial without an outcome: one question, at the first such Trial."""
        open_ids = [i for i in self.jobs.by_trial if i not in self.seen or self.seen[i].status == "interrupted"]
        jobs = [job for trial_id in open_ids if (job := self.jobs.latest(trial_id)) is not None]
        lost = [job for job in jobs if not job.concluded and self.jobs.in_queue(job) is None]
        return endings(job.job_id.partition("_")[0] for job in lost)

    def _told(
        self, trial: Trial, state: State, why: str = "", job: KnownJob | None = None, queued: Living | None = None
    ) -> TrialStanding:
        """The verdict, with what there is to say besides."""
        told = TrialStanding(
            trial, state, why, job.job_id if job else "", steps=total_steps(trial, self.study.trainable)
        )
        if job is not None and state not in ("finished", "failed", "waiting", "new"):
            told = replace(told, node=(queued.node if queued else "") or self._status(job).host)
        if queued is not None and state == "running":
            told = replace(told, limit_left=_seconds(queued.time_left))
        seen = self.seen.get(trial.id)
        if seen is None:
            return told
        row = seen.history[-1] if seen.history else None
        return replace(
            told,
            step=told.steps if state == "finished" else row.step if row else None,
            value=seen.latest_value(self.study.metric_of(trial.recipe)),
            heartbeat=None if state == "finished" else self._beat(trial, seen, job),
            seconds_left=self._pace(trial, row, job) if state == "running" else None,
            attempts=seen.attempts,
            cause=seen.cause,
            error=seen.error,
        )

    def _beat(self, trial: Trial, seen: Glance, job: KnownJob | None) -> float:
        """A Trial's latest sign of life: its journal's, or that of the job which has it in its hands."""
        beat = job.heartbeat() if job is not None and self._holds(job, trial) else None
        return max(seen.latest, beat or 0.0)

    def _pace(self, trial: Trial, row: Row | None, job: KnownJob | None) -> float | None:
        """Time left by the pace of its job's rows, s."""
        if job is None or row is None or not self._holds(job, trial):
            return None
        status, steps = self._status(job), total_steps(trial, self.study.trainable)
        left = Running(job.job_id, trial, status.since, status.first_step, row, steps).seconds_left()
        return None if left is None else max(0.0, left - (self.now - row.time))

    def _status(self, job: KnownJob) -> JobStatus:
        if job.status_file not in self._statuses:
            self._statuses[job.status_file] = job.status()
        return self._statuses[job.status_file]

    def _holds(self, job: KnownJob | None, trial: Trial) -> bool:
        return job is not None and self._status(job).trial == trial.id

    def _speaks(self, job: KnownJob) -> bool:
        """Whether a job has given a sign of life of late."""
        beat = job.heartbeat()
        return beat is not None and self.now - beat < SILENT_S

    def _lives_elsewhere(self, job: KnownJob) -> bool:
        """Whether a job of another machine, whose locks may be invisible here, has given a sign of life of late."""
        return self._status(job).host not in ("", platform.node()) and self._speaks(job)


def _reason(reason: str) -> str:
    """Slurm's reason for what a job does; empty where it has none."""
    return "" if reason in ("None", "(null)", "N/A") else reason


def _seconds(slurm: str) -> float | None:
    """Of a time as Slurm writes it (`12:34`, `1:02:03`, `2-03:04:05`), s; None for UNLIMITED and the like."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", slurm)
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
