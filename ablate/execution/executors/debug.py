"""Trials in the driver's own process, over submitit's debug executor: for breakpoints and profilers."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import submitit

from ablate.execution.pack import Pack
from ablate.execution.worker import train_pack


class DebugExecutor:
    """One job at a time, one Trial a job, so that the display is up to date between two."""

    max_slots: int | None = 1
    trials_per_job: int | None = 1
    in_process = True

    def __init__(self, folder: Path) -> None:
        self._executor = submitit.DebugExecutor(folder.absolute())

    def submit(self, pack: Pack) -> DebugJob:
        """Set the Pack aside; it is trained when the job is asked whether it is done."""
        return DebugJob(self._executor.submit(train_pack, pack))


class DebugJob:
    """A Pack that is trained by `done`."""

    def __init__(self, job: Any) -> None:
        self._job = job
        self._ended = False
        self._error: str | None = None
        self._traceback = ""

    def done(self) -> bool:
        """Train, the first time; a KeyboardInterrupt (the second Ctrl-C) ends the job."""
        if self._ended:
            return True
        try:
            # `exception`, and not `result`, which opens a debugger on any error.
            failure = self._job.exception()
        except KeyboardInterrupt:
            failure = KeyboardInterrupt("interrupted")
        if failure is not None:
            self._error = f"{type(failure).__name__}: {failure}"
            self._traceback = "".join(traceback.format_exception(failure))
        self._ended = True
        return True

    def error(self) -> str | None:
        """The exception which the harness raised."""
        return self._error

    def log_tail(self) -> str:
        """Its traceback; what Trials printed went to the driver's own output."""
        return self._traceback

    def kill(self) -> None:
        """A job that has not begun never will; one that runs is in the same process and cannot be killed."""
        self._ended = True
