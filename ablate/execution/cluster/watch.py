"""Watching a study's jobs: those of every submission that nobody has concluded, held against Slurm's queue."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ablate.execution.cluster import queue
from ablate.execution.cluster.queue import Living
from ablate.execution.cluster.submission import Submission, SubmittedJob, submissions
from ablate.execution.progress import Running, total_steps
from ablate.study.study import Trial
from ablate.tracking.spool import Spool

#: A job must be missing from the queue for so long before it counts as ended, s: one that Slurm starts again after its
#: node was lost may be missing for some seconds.
GONE_S = 8.0
#: A submission whose array nobody has seen is forgotten after that, s: so long may an `sbatch` that outlived its driver
#: try to reach Slurm.
LOST_S = 120.0


@dataclass
class _Watched:
    job: SubmittedJob
    missing_since: float | None = None
    """When it was first not in the queue, by the monotonic clock."""
    seen: bool = False
    """Whether it has been in the queue while this driver watched, and nobody had cancelled it before."""


class Watch:
    """The jobs of one study, whoever submitted them."""

    def __init__(self, home: Path, slug: str, concerns: Callable[[str], bool] = lambda _: True) -> None:
        """``concerns``: whether a Trial is one of those that are trained. Jobs that have none are not watched."""
        self._home = home
        self._slug = slug
        self._concerns = concerns
        self._jobs: dict[str, _Watched] = {}
        self._left: set[str] = set()
        """Jobs that are over for this driver, and not for others."""
        self._listing: Mapping[str, Living] = {}
        self.unanswered: list[Submission] = []
        """What a driver was about to hand to Slurm as it died: nobody knows whether Slurm has it, or will."""
        self.job_name = queue.job_name(slug)

    def look(self) -> None:
        """Ask Slurm what lives. Raises `SlurmError`; then what was seen before stands."""
        self._listing = queue.living(self.job_name)
        self._note_seen()
        if self.unanswered:
            self.attach()

    def attach(self) -> None:
        """Take over what other drivers have submitted."""
        self.unanswered = []
        for submission in submissions(self._home, self._slug):
            found = self._found(submission)
            if found is not None:
                self.add(found)
        self._note_seen()

    @property
    def since(self) -> float | None:
        """When the oldest submission was that still lives, seconds since the Unix epoch; None where none does."""
        return min((job.submission.submitted for job, _ in self.living), default=None)

    def add(self, submission: Submission) -> None:
        """Watch those of its jobs that concern this driver, too."""
        for job in submission.jobs():
            if job.job_id not in self._left and any(map(self._concerns, job.trials)):
                self._jobs.setdefault(job.job_id, _Watched(job))

    @property
    def jobs(self) -> list[SubmittedJob]:
        """All that have not been concluded."""
        return [watched.job for watched in self._jobs.values()]

    @property
    def living(self) -> list[tuple[SubmittedJob, Living]]:
        """Those in Slurm's queue, and what it says of them."""
        return [(w.job, self._listing[job_id]) for job_id, w in self._jobs.items() if job_id in self._listing]

    @property
    def in_doubt(self) -> bool:
        """Whether there are jobs that are not in the queue, and that may be there all the same."""
        return bool(self.unanswered) or len(self.living) < len(self._jobs)

    def gone(self, is_open: Callable[[str], bool]) -> list[SubmittedJob]:
        """Jobs that have left the queue for good: those none of whose Trials is open at once, others after a while."""
        now, gone = time.monotonic(), []
        for job_id, watched in self._jobs.items():
            if job_id in self._listing:
                watched.missing_since = None
                continue
            watched.missing_since = now if watched.missing_since is None else watched.missing_since
            over = watched.job.cancelled or not any(map(is_open, watched.job.trials))
            if over or now - watched.missing_since >= GONE_S:
                gone.append(watched.job)
        return gone

    def was_over(self, job: SubmittedJob) -> bool:
        """Whether it had ended, or been cancelled, before this driver came."""
        return not self._jobs[job.job_id].seen

    def missing_s(self, job: SubmittedJob) -> float:
        """For how long a job has been missing from the queue."""
        since = self._jobs[job.job_id].missing_since
        return 0.0 if since is None else time.monotonic() - since

    def leave(self, jobs: Iterable[SubmittedJob]) -> None:
        """Watch these no longer, and leave the conclusions to somebody else."""
        for job in jobs:
            del self._jobs[job.job_id]
            self._left.add(job.job_id)

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
        else:
            self.unanswered.append(submission)
        return None

    def _note_seen(self) -> None:
        for job_id, watched in self._jobs.items():
            watched.seen = watched.seen or (job_id in self._listing and not watched.job.cancelled)


def running_in(job: SubmittedJob, trials: Mapping[str, Trial], spool: Spool, trainable: str) -> Running | None:
    """Which of the ``trials`` a job has in its hands, and how far it is; None where it has none of them."""
    status = job.status()
    trial = trials.get(status.trial or "") if status is not None else None
    if status is None or trial is None:
        return None
    place, steps = f"{job.job_id} on {status.host}", total_steps(trial, trainable)
    return Running(place, trial, status.since, status.first_step, spool.last_row(trial.id), steps)
