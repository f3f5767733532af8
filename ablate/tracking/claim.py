"""The right to train one Trial, held by one process at a time: its folder, its journal, its end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from ablate.tracking.attempt import ARTIFACTS, Attempt, Superseded, artifacts, recover, settle
from ablate.tracking.codec import encode, pack_metrics, unpack_metrics
from ablate.tracking.disk import Lock, write_atomically
from ablate.tracking.journal import Journal, Story, read
from ablate.tracking.marks import Marks
from ablate.tracking.outcome import FAILURE, JOURNAL, compose, load, standing
from ablate.tracking.record import Cause, Record


class Claim:
    """A Trial that this process may train; made by `Spool.claim`, released on leaving its ``with`` block.

    Asking for `folder` starts an attempt. One of `finish`, `fail` and `interrupted` ends it; a process that
    dies in between leaves an attempt without an end. Where another process has begun a later attempt, as this one's
    lock was lost, or has finished the Trial, this attempt is an orphan: nothing that it says is written, whatever it
    believes.
    """

    def __init__(self, home: Path, about: Mapping[str, Any], lock: Lock, marks: Marks) -> None:
        self._home = home
        self._about = about
        self._lock = lock
        self._marks = marks
        self._journal = Journal(home / JOURNAL)
        self._attempt: Attempt | None = None
        self._since = 0.0
        self._seconds_before = 0.0
        recover(home)
        story = read(home / JOURNAL)
        self._attempts_before = story.attempts
        self.trial_id: str = about["id"]
        self.deaths = story.deaths
        """Attempts that were killed, in a row and without getting further (`Story.deaths`), before this claim."""
        self.record = standing(home, story) or compose(about, story, "interrupted")
        """What is known so far; None where no attempt was ever started."""
        if self.record is not None and self.record.status == "finished":
            settle(home)  # a kill may have come before all was in its place
            marks.add(self.record)

    @property
    def folder(self) -> Path:
        """The Trainable's folder, at one path as long as the attempt lives. Asking the first time starts an attempt.

        What an earlier attempt left there is kept, for it to resume from, except after a divergence: the
        checkpoint of a diverged Trial would diverge again. Raises `Superseded`, a FileNotFoundError, where another
        process takes the Trial over at this very moment, or has finished it.
        """
        if self._attempt is None:
            self._attempt = self._begin()
        return self._attempt.path

    def report(self, step: int, metrics: Mapping[str, float]) -> None:
        """Journal what was measured at a step; durable when this returns.

        Raises `Superseded`, a FileNotFoundError, where another process has taken the Trial over.
        """
        attempt = self._started()
        if not attempt.alive:
            raise Superseded(f"attempt {attempt.number} of Trial {self.trial_id} was taken over by another process")
        self._journal.row(attempt.number, step, metrics, time.time(), self._elapsed())

    def finish(self, metrics: Mapping[str, float], environment: Mapping[str, str]) -> Record:
        """Write the result, last of all, and drop the checkpoint. Returns the Record that stands.

        That is an earlier finished one where there is one: a late writer replaces nothing.
        """
        self._started()
        return self._conclude("finished", unpack_metrics(pack_metrics(metrics)), environment)

    def fail(
        self, cause: Cause, error: str, log_tail: str = "", environment: Mapping[str, str] | None = None
    ) -> Record:
        """Write a failure; a later claim may try again. Returns the Record that stands.

        Without an attempt of its own (`lost`) it ends the one whose process died, and starts none.
        """
        return self._conclude("failed", {}, environment or {}, cause, " ".join(error.split()), log_tail)

    def interrupted(self) -> None:
        """Note that this attempt stopped on request; the Trial can be resumed."""
        if self._attempt is not None and self._attempt.alive:
            self._journal.end(self._attempt.number, "interrupted", time.time(), self._elapsed())

    def release(self) -> None:
        """Let others claim the Trial."""
        self._lock.release()

    def __enter__(self) -> Claim:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _begin(self) -> Attempt:
        story = read(self._home / JOURNAL)
        attempt = Attempt.take(self._home, story.attempts + 1)
        diverged = self.record is not None and self.record.cause == "diverged"
        if diverged:
            attempt.clear()  # before the line that says so: after a kill in between it is still a diverged Trial
        self._since, self._seconds_before = time.monotonic(), story.seconds
        self._journal.begin(attempt.number, time.time(), clean=diverged)
        return attempt

    def _started(self) -> Attempt:
        if self._attempt is None:
            raise RuntimeError("ask for the claim's folder first: that starts the attempt")
        return self._attempt

    def _elapsed(self) -> float:
        return time.monotonic() - self._since

    def _conclude(
        self,
        status: Literal["finished", "failed"],
        metrics: Mapping[str, float],
        environment: Mapping[str, str],
        cause: Cause | None = None,
        error: str = "",
        log_tail: str = "",
    ) -> Record:
        home, about = self._home, self._about
        story, earlier = read(home / JOURNAL), load(home)
        if earlier is not None and earlier.status == "finished":
            return earlier
        record = Record(
            trial_id=about["id"],
            seed=about["seed"],
            trainable=about["trainable"],
            recipe=about["recipe"],
            status=status,
            started=story.started if story.started is not None else time.time(),
            ended=time.time(),
            seconds=story.seconds if self._attempt is None else self._seconds_before + self._elapsed(),
            attempts=max(1, story.attempts),
            metrics=metrics,
            history=story.history,
            cause=cause,
            error=error,
            log_tail=log_tail,
            data_fingerprint=about["data_fingerprint"],
            environment=dict(environment),
            artifacts=_names(artifacts(home) if self._attempt is None else self._attempt.path / ARTIFACTS),
        )
        if not self._write(record, story):
            return load(home) or record
        # The outcome stands: a disk that has no room for more must not turn it into another one.
        with suppress(OSError):
            self._journal.end(story.attempts, status, time.time(), 0.0 if self._attempt is None else self._elapsed())
        self._marks.add(record)
        return record

    def _write(self, record: Record, story: Story) -> bool:
        """Put an outcome into effect; whether it was, which it is not where another attempt has begun."""
        attempt = self._attempt
        if attempt is None:
            if story.attempts != self._attempts_before:
                return False
            return write_atomically(self._home / FAILURE, encode(record))
        if attempt.number != story.attempts:
            return False
        return attempt.finish(encode(record)) if record.status == "finished" else attempt.fail(encode(record))


def _names(folder: Path | None) -> tuple[str, ...]:
    if folder is None:
        return ()
    return tuple(sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()))
