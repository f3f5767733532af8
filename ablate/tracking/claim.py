"""The right to train one Trial, held by one process at a time: its folder, its journal, its end."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from ablate.tracking.codec import decode, encode, pack_metrics, unpack_metrics
from ablate.tracking.disk import Lock, set_aside, write_atomically
from ablate.tracking.journal import How, Journal, Story, read
from ablate.tracking.record import Cause, Record, Status

RESULT, JOURNAL, WORK, ARTIFACTS = "result.json", "journal", "work", "artifacts"


class Claim:
    """A Trial that this process may train; made by `Spool.claim`, released on leaving its ``with`` block.

    Asking for `folder` starts an attempt. One of `finish`, `fail` and `interrupted` ends it; a process that
    dies in between leaves an attempt without an end.
    """

    def __init__(self, home: Path, about: Mapping[str, Any], lock: Lock) -> None:
        self._home = home
        self._about = about
        self._lock = lock
        self._journal = Journal(home / JOURNAL)
        self._attempt: int | None = None
        self._since = 0.0
        story = read(home / JOURNAL)
        self.trial_id: str = about["id"]
        self.record = standing(home, story) or compose(about, story, "interrupted")
        """What is known so far; None where no attempt was ever started."""
        if self.record is not None and self.record.status == "finished":
            _keep_artifacts_only(home / WORK)  # a kill may have come between the result and the cleaning

    @property
    def folder(self) -> Path:
        """The Trainable's folder. Asking for it the first time starts an attempt.

        What an earlier attempt left there is kept, for it to resume from, except after a divergence: the
        checkpoint of a diverged Trial would diverge again.
        """
        work = self._home / WORK
        if self._attempt is None:
            diverged = self.record is not None and self.record.cause == "diverged"
            if diverged:
                shutil.rmtree(work, ignore_errors=True)
            self._attempt = read(self._home / JOURNAL).attempts + 1
            self._since = time.monotonic()
            self._journal.begin(self._attempt, time.time(), clean=diverged)
        (work / ARTIFACTS).mkdir(parents=True, exist_ok=True)
        return work

    def report(self, step: int, metrics: Mapping[str, float]) -> None:
        """Journal what was measured at a step; durable when this returns."""
        self._journal.row(self._started(), step, metrics, time.time(), time.monotonic() - self._since)

    def finish(self, metrics: Mapping[str, float], environment: Mapping[str, str]) -> Record:
        """Write the result, last of all, and drop the checkpoint. Returns the Record that stands.

        That is an earlier finished one where there is one: a late writer replaces nothing.
        """
        self._started()
        self._end("finished")
        return self._write("finished", unpack_metrics(pack_metrics(metrics)), environment)

    def fail(
        self, cause: Cause, error: str, log_tail: str = "", environment: Mapping[str, str] | None = None
    ) -> Record:
        """Write a failure; a later claim may try again. Returns the Record that stands.

        Without an attempt of its own (`lost`) it ends the one whose process died, and starts none.
        """
        if self._attempt is not None:
            self._end("failed")
        elif self.record is not None:
            self._journal.end(self.record.attempts, "failed", time.time(), 0.0)
        return self._write("failed", {}, environment or {}, cause, " ".join(error.split()), log_tail)

    def interrupted(self) -> None:
        """Note that this attempt stopped on request; the Trial can be resumed."""
        if self._attempt is not None:
            self._end("interrupted")

    def release(self) -> None:
        """Let others claim the Trial."""
        self._lock.release()

    def __enter__(self) -> Claim:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _started(self) -> int:
        if self._attempt is None:
            raise RuntimeError("ask for the claim's folder first: that starts the attempt")
        return self._attempt

    def _end(self, how: How) -> None:
        self._journal.end(self._started(), how, time.time(), time.monotonic() - self._since)

    def _write(
        self,
        status: Status,
        metrics: Mapping[str, float],
        environment: Mapping[str, str],
        cause: Cause | None = None,
        error: str = "",
        log_tail: str = "",
    ) -> Record:
        home, story = self._home, read(self._home / JOURNAL)
        orphaned = not self._lock.valid or (self._attempt is not None and self._attempt != story.attempts)
        earlier = _load(home)
        if earlier is not None and (earlier.status == "finished" or orphaned):
            return earlier
        about = self._about
        record = Record(
            trial_id=about["id"],
            seed=about["seed"],
            trainable=about["trainable"],
            recipe=about["recipe"],
            status=status,
            started=story.started if story.started is not None else time.time(),
            ended=time.time(),
            seconds=story.seconds,
            attempts=max(1, story.attempts),
            metrics=metrics,
            history=story.history,
            cause=cause,
            error=error,
            log_tail=log_tail,
            data_fingerprint=about["data_fingerprint"],
            environment=dict(environment),
            artifacts=_artifact_names(home / WORK / ARTIFACTS),
        )
        if orphaned and status == "failed":
            return record  # another process has the Trial now, and its outcome counts
        if not write_atomically(home / RESULT, encode(record), replace=earlier is not None):
            return _load(home) or record
        if status == "finished" and not orphaned:
            _keep_artifacts_only(home / WORK)
        return record


def standing(home: Path, story: Story | None = None) -> Record | None:
    """The result that a Trial's folder holds, unless an attempt was started after that failure."""
    record = _load(home)
    if record is None or record.status == "finished":
        return record
    story = read(home / JOURNAL) if story is None else story
    return record if story.attempts <= record.attempts else None


def compose(about: Mapping[str, Any], story: Story, status: Status) -> Record | None:
    """The Record of a Trial without a result; None where it was never started."""
    if story.started is None:
        return None
    return Record(
        trial_id=about["id"],
        seed=about["seed"],
        trainable=about["trainable"],
        recipe=about["recipe"],
        status=status,
        started=story.started,
        seconds=story.seconds,
        attempts=story.attempts,
        history=story.history,
        data_fingerprint=about["data_fingerprint"],
    )


def _load(home: Path) -> Record | None:
    """The result; None without one, and where it is damaged or of a newer format: then it is set aside."""
    try:
        return decode((home / RESULT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:  # a RecordError, or bytes that are no text
        set_aside(home / RESULT, error)
        return None


def _artifact_names(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()))


def _keep_artifacts_only(work: Path) -> None:
    if not work.is_dir():
        return
    for path in work.iterdir():
        if path.name == ARTIFACTS:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
