"""Watching a study's jobs: those of every submission that nobody has concluded, held against Slurm's queue."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ablate.execution.cluster import queue
from ablate.execution.cluster.queue import Living
from ablate.execution.cluster.submission import Submission, SubmittedJob, submissions

#: A job must be missing from the queue for so long before it counts as ended, s: one that Slurm starts again after its
#: node was lost may be missing for some seconds.
GONE_S = 8.0
#: A submission whose array nobody has seen is forgotten after that, s.
LOST_S = 120.0


@dataclass
class _Watched:
    job: SubmittedJob
    missing_since: float | None = None
    """When it was first not in the queue, by the monotonic clock."""


class Watch:
    """The jobs of one study, whoever submitted them."""

    def __init__(self, home: Path, slug: str) -> None:
        self._home = home
        self._slug = slug
        self._jobs: dict[str, _Watched] = {}
        self._listing: Mapping[str, Living] = {}
        self.job_name = queue.job_name(slug)

    def look(self) -> None:
        """Ask Slurm what lives. Raises `SlurmError`; then what was seen before stands."""
        self._listing = queue.living(self.job_name)

    def attach(self) -> float | None:
        """Take over what earlier drivers have submitted; when the oldest of it that still lives was, if any does."""
        for submission in submissions(self._home, self._slug):
            found = self._found(submission)
            if found is not None:
                self.add(found)
        alive = [w.job.submission.submitted for job_id, w in self._jobs.items() if job_id in self._listing]
        return min(alive, default=None)

    def add(self, submission: Submission) -> None:
        """Watch its jobs, too."""
        self._jobs |= {job.job_id: _Watched(job) for job in submission.jobs()}

    @property
    def jobs(self) -> list[SubmittedJob]:
        """All that have not been concluded."""
        return [watched.job for watched in self._jobs.values()]

    @property
    def living(self) -> list[tuple[SubmittedJob, Living]]:
        """Those in Slurm's queue, and what it says of them."""
        return [(w.job, self._listing[job_id]) for job_id, w in self._jobs.items() if job_id in self._listing]

    def gone(self, is_open: Callable[[str], bool]) -> list[SubmittedJob]:
        """Jobs that have left the queue for good: those none of whose Trials is open at once, others after a while."""
        now, gone = time.monotonic(), []
        for job_id, watched in self._jobs.items():
            if job_id in self._listing:
                watched.missing_since = None
                continue
            watched.missing_since = now if watched.missing_since is None else watched.missing_since
            if now - watched.missing_since >= GONE_S or not any(map(is_open, watched.job.trials)):
                gone.append(watched.job)
        return gone

    def missing_s(self, job: SubmittedJob) -> float:
        """For how long a job has been missing from the queue."""
        since = self._jobs[job.job_id].missing_since
        return 0.0 if since is None else time.monotonic() - since

    def conclude(self, jobs: Iterable[SubmittedJob]) -> None:
        """Watch these no longer, and write down that nobody needs to."""
        by_key: dict[str, list[SubmittedJob]] = {}
        for job in jobs:
            by_key.setdefault(job.submission.key, []).append(self._jobs.pop(job.job_id).job)
        newest = {
            key: members[0].submission.conclude([job.index for job in members]) for key, members in by_key.items()
        }
        for watched in self._jobs.values():
            if watched.job.submission.key in newest:
                watched.job = replace(watched.job, submission=newest[watched.job.submission.key])

    def _found(self, submission: Submission) -> Submission | None:
        """The submission with its array's id, which its driver may not have lived to write down."""
        if submission.array is not None:
            return submission
        arrays = {job_id.partition("_")[0] for job_id, job in self._listing.items() if job.key == submission.key}
        if arrays:
            return submission.begun_as(arrays.pop())
        if time.time() - submission.submitted > LOST_S:
            submission.forget()
        return None
