"""The jobs of a study, on Slurm and on one machine, as their run folders and Slurm's queue tell of them.

Nothing is written, locked or set aside, so that it can be asked at any moment, by anybody who may read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ablate.execution.cluster.queue import Living, SlurmError, job_name, living
from ablate.execution.cluster.submission import Submission, SubmittedJob, read_submission
from ablate.execution.run_folder import RunFolder
from ablate.execution.status import JobStatus, logs_of, read_status

_SLURM_ID = re.compile(r"\d+_\d+")


@dataclass(frozen=True)
class KnownJob:
    """A job that was started once, whatever became of it."""

    job_id: str
    """As Slurm writes it; of a job on one machine, its name within its run."""
    run: Path
    """Folder of the invocation that started it."""
    trials: tuple[str, ...]
    """Ids of the Trials that it was given; of a job on one machine, of those that it has had in its hands."""
    began: float
    """When it was submitted, or last gave a sign of life, seconds since the Unix epoch."""
    submitted: SubmittedJob | None = None
    """None for a job on one machine."""
    concluded: bool = False
    """Whether a driver has drawn the conclusions from its end."""

    @property
    def status_file(self) -> Path:
        """What it says of itself."""
        return RunFolder(self.run).status_file(self.job_id)

    def status(self) -> JobStatus:
        """What it last said; an empty one where it has said nothing, or nothing readable."""
        return _status(self.status_file)

    def heartbeat(self) -> float | None:
        """Its latest sign of life, seconds since the Unix epoch; None before the first."""
        try:
            return self.status_file.stat().st_mtime
        except OSError:
            return None

    @property
    def cancelled(self) -> bool:
        """Whether `ablate cancel` ended it."""
        return self.submitted is not None and self.submitted.cancelled

    def log_files(self) -> list[Path]:
        """Those of all its processes that there are, standard output before standard error."""
        folder = RunFolder(self.run).jobs
        return logs_of(self.job_id, folder if self.submitted else folder / self.job_id)


def readable_submissions(home: Path, slug: str) -> list[Submission]:
    """What is known of a study's submissions, the oldest first; files that cannot be read are left where they are."""
    found = []
    for file in (home / "runs" / slug).glob("*/submissions/*.json"):
        try:
            found.append(read_submission(file))
        except (OSError, ValueError, TypeError, KeyError):
            continue
    return sorted(found, key=lambda submission: submission.submitted)


def with_arrays(submissions: Iterable[Submission], living: Mapping[str, Living]) -> list[Submission]:
    """The same, with the ids of those arrays whose driver was killed before it could note them."""
    arrays = {job.key: job_id.partition("_")[0] for job_id, job in living.items()}
    return [replace(s, array=arrays.get(s.key)) if s.array is None else s for s in submissions]


def slurm_jobs(submissions: Iterable[Submission]) -> Iterator[KnownJob]:
    """Every job of these submissions, concluded ones included; none of an array without an id."""
    for submission in submissions:
        if submission.array is None:
            continue
        for index, trials in enumerate(submission.packs):
            job = SubmittedJob(submission, f"{submission.array}_{index}", index, trials)
            concluded = index in submission.concluded
            yield KnownJob(job.job_id, submission.run, trials, submission.submitted, job, concluded)


def local_jobs(home: Path, slug: str) -> list[KnownJob]:
    """The jobs on one machine of which run folders still tell, the oldest first."""
    found = []
    for file in (home / "runs" / slug).glob("*/status/*.json"):
        if _SLURM_ID.fullmatch(file.stem):
            continue
        job = KnownJob(file.stem, file.parents[1].absolute(), (), 0.0)
        status = job.status()
        had = (*status.trained, *status.failed, *([status.trial] if status.trial else []))
        found.append(replace(job, trials=had, began=job.heartbeat() or 0.0))
    return sorted(found, key=lambda job: job.began)


@dataclass(frozen=True)
class Jobs:
    """A study's jobs, and which of them Slurm has in its queue."""

    by_trial: Mapping[str, Sequence[KnownJob]]
    """On Slurm, the oldest first."""
    local: Mapping[str, KnownJob]
    """Trial id -> the job on one machine that has it in its hands, or died with it."""
    living: Mapping[str, Living] | None
    """None where Slurm did not answer."""
    slurm: str = ""
    """Why it did not."""

    @classmethod
    def of(cls, home: Path, slug: str) -> Jobs:
        """Those that are known below ``home``; Slurm is asked once, and only where jobs may be there still."""
        submissions = readable_submissions(home, slug)
        queue: Mapping[str, Living] | None = {}
        error = ""
        if any(len(submission.concluded) < len(submission.packs) for submission in submissions):
            try:
                queue = living(job_name(slug))
            except SlurmError as away:
                queue, error = None, str(away)
        by_trial: dict[str, list[KnownJob]] = {}
        for job in slurm_jobs(with_arrays(submissions, queue or {})):
            for trial_id in job.trials:
                by_trial.setdefault(trial_id, []).append(job)
        at_work = {job.status().trial: job for job in local_jobs(home, slug)}
        return cls(by_trial, {trial_id: job for trial_id, job in at_work.items() if trial_id}, queue, error)

    def latest(self, trial_id: str) -> KnownJob | None:
        """The job on Slurm that has a Trial: of several the one that lives, else the newest."""
        known = self.by_trial.get(trial_id, ())
        return next((job for job in reversed(known) if self.in_queue(job)), known[-1] if known else None)

    def in_queue(self, job: KnownJob) -> Living | None:
        """What Slurm says of a job that it has in its queue."""
        return None if self.living is None else self.living.get(job.job_id)


def _status(file: Path) -> JobStatus:
    try:
        return read_status(file) or JobStatus()
    except (OSError, ValueError, TypeError, KeyError):  # damaged, or of another version
        return JobStatus()
