"""Submissions: what was handed to Slurm, as the spool's side remembers it.

::

    <home>/runs/<study>/<run>/submissions/<key>.json    one job array
                              packs/<key>/<index>.pkl     what a task of it is told
                              cancelled/<job>           an empty file: this job was cancelled with `ablate cancel`
                              jobs/                     submitit's pickles and the logs
                              status/<job>.json         what a job is doing; touched every few seconds while it lives

A file is written before `sbatch` is called and again when it has answered. A driver that is killed in between leaves
one without an array's id, and the next driver finds that array in Slurm's queue by the key, which is the jobs' comment.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ablate.execution.run_folder import RunFolder
from ablate.execution.status import JobStatus, logs_of, read_status
from ablate.tracking.disk import set_aside, write_atomically

_CANCELLED = "cancelled"


@dataclass(frozen=True)
class Submission:
    """One job array: a Pack a task, all of one resource shape."""

    run: Path
    """Folder of the invocation that submitted it."""
    key: str
    """Comment of its jobs in Slurm."""
    packs: tuple[tuple[str, ...], ...]
    """Ids of the Trials of each task, by the task's index."""
    submitted: float
    """Seconds since the Unix epoch."""
    array: str | None = None
    """Slurm's id of the array; None as long as `sbatch` has not answered."""
    resources: Mapping[str, Any] = field(default_factory=dict)
    """What each job asks for."""
    snapshot: str = ""
    """Folder of the code that the jobs run."""
    concluded: frozenset[int] = frozenset()
    """Tasks that have ended and of which a driver has drawn the conclusions."""

    @property
    def file(self) -> Path:
        """Where it is kept."""
        return RunFolder(self.run).submissions / f"{self.key}.json"

    def jobs(self) -> Iterator[SubmittedJob]:
        """The array's jobs that are not concluded; none before it has an id."""
        if self.array is not None:
            for index, trials in enumerate(self.packs):
                if index not in self.concluded:
                    yield SubmittedJob(self, f"{self.array}_{index}", index, trials)

    def save(self) -> Submission:
        """Write it down, and give it back."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        values = {**asdict(self), "concluded": sorted(self.concluded)}
        del values["run"], values["key"]
        write_atomically(self.file, json.dumps(values))
        return self

    def conclude(self, indices: Sequence[int]) -> Submission:
        """The same with these tasks concluded, written down."""
        return replace(self, concluded=self.concluded | frozenset(indices)).save()

    def begun_as(self, array: str) -> Submission:
        """The same with the id that Slurm gave the array, written down."""
        return replace(self, array=array).save()

    def forget(self) -> None:
        """Delete it, with its Packs: Slurm has never had it."""
        self.file.unlink(missing_ok=True)
        shutil.rmtree(pack_folder(self.run, self.key), ignore_errors=True)


@dataclass(frozen=True)
class SubmittedJob:
    """A task of an array."""

    submission: Submission
    job_id: str
    """As Slurm writes it: ``<array>_<index>``."""
    index: int
    trials: tuple[str, ...]

    @property
    def status_file(self) -> Path:
        """What the job says of itself; its time of change is the job's latest sign of life."""
        return RunFolder(self.submission.run).status_file(self.job_id)

    def status(self) -> JobStatus | None:
        """What it last said; None before it has begun."""
        return read_status(self.status_file)

    def log_files(self) -> list[Path]:
        """Those of all its processes that there are, standard output before standard error."""
        return logs_of(self.job_id, RunFolder(self.submission.run).jobs)

    @property
    def cancelled(self) -> bool:
        """Whether `ablate cancel` ended it."""
        return self._cancel_mark.exists()

    def mark_cancelled(self) -> None:
        """Say so, before Slurm is told: a driver must not take its end for a failure."""
        self._cancel_mark.parent.mkdir(parents=True, exist_ok=True)
        self._cancel_mark.touch()

    def unmark_cancelled(self) -> None:
        """Take it back: Slurm would not."""
        self._cancel_mark.unlink(missing_ok=True)

    @property
    def _cancel_mark(self) -> Path:
        return self.submission.run / _CANCELLED / self.job_id


def pack_folder(run: Path, key: str) -> Path:
    """Where the Packs of a submission lie."""
    return run / "packs" / key


def new_key() -> str:
    """A name for a submission that no other one has."""
    return f"ablate-{uuid.uuid4().hex[:16]}"


def any_submitted(home: Path, slug: str) -> bool:
    """Whether anything of a study is on record, without reading it."""
    return any((home / "runs" / slug).glob("*/submissions/*"))


def submissions(home: Path, slug: str) -> list[Submission]:
    """All that is known of a study's submissions below ``home``, the oldest first.

    A file that cannot be read is set aside with a warning.
    """
    found = []
    for file in (home / "runs" / slug).glob("*/submissions/*.json"):
        try:
            found.append(read_submission(file))
        except FileNotFoundError:  # a driver has just concluded its run
            continue
        except (ValueError, TypeError, KeyError) as error:
            set_aside(file, error)
    return sorted(found, key=lambda submission: submission.submitted)


def snapshots_in_use(home: Path) -> set[str]:
    """The code that jobs of any study below ``home`` may still run."""
    found = set()
    for file in (home / "runs").rglob("submissions/*.json"):
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):  # told where its own study is looked at
            submission = read_submission(file)
            if submission.array is None or any(submission.jobs()):
                found.add(submission.snapshot)
    return found


def forget_concluded(home: Path, slug: str) -> None:
    """Delete the folders of invocations whose jobs have all ended and been concluded: pickles, logs, what jobs said."""
    by_run: dict[Path, list[Submission]] = {}
    for submission in submissions(home, slug):
        by_run.setdefault(submission.run, []).append(submission)
    for run, members in by_run.items():
        if not any(submission.array is None or any(submission.jobs()) for submission in members):
            shutil.rmtree(run, ignore_errors=True)


def read_submission(file: Path) -> Submission:
    """What a file says. Raises OSError, ValueError, TypeError or KeyError where it cannot be read."""
    values = json.loads(file.read_text(encoding="utf-8"))
    values["packs"] = tuple(map(tuple, values["packs"]))
    values["concluded"] = frozenset(values["concluded"])
    return Submission(run=file.parents[1].absolute(), key=file.stem, **values)
