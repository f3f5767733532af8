"""Executors: the ways in which a Pack becomes a running job.

An executor knows how to start, watch and kill one job. How many run side by side, what is tried again and
what happens to Trials is the scheduler's affair, and the same for all of them.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from ablate.execution.pack import Pack

#: Name on the command line -> the class, imported when it is asked for.
EXECUTORS: Mapping[str, str] = MappingProxyType(
    {
        "local": "ablate.execution.executors.local:LocalExecutor",
        "debug": "ablate.execution.executors.debug:DebugExecutor",
    }
)


class Job(Protocol):
    """One Pack on its way."""

    def done(self) -> bool:
        """Whether it has ended, well or not."""
        ...

    def error(self) -> str | None:
        """In one line, why it died; None while it runs and when it ended by itself.

        A job whose Trials failed or were stopped has not died.
        """
        ...

    def log_tail(self) -> str:
        """The last lines of what it printed."""
        ...

    def kill(self) -> None:
        """End it and every process it started, at once. Does nothing to a job that has ended."""
        ...


class Executor(Protocol):
    """Starts jobs."""

    max_slots: int | None
    """How many jobs may run side by side; None for as many as there are slots."""
    trials_per_job: int | None
    """How many Trials to put into a Pack; None for all that are left."""
    in_process: bool
    """Whether `Job.done` itself trains, in the driver's process."""

    def submit(self, pack: Pack) -> Job:
        """Start a job. It calls `ablate.execution.worker.run_pack` or does the same."""
        ...


def make_executor(name: str, folder: Path) -> Executor:
    """The executor of that name, with its pickles and logs in ``folder``.

    Raises ValueError for an unknown name.
    """
    if name not in EXECUTORS:
        raise ValueError(f"there is no executor named {name!r}; allowed: {', '.join(EXECUTORS)}")
    module, _, class_name = EXECUTORS[name].partition(":")
    executor: Executor = getattr(importlib.import_module(module), class_name)(folder)
    return executor
