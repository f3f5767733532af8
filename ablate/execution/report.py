"""The Report that a Trainable is given: measurements go into the journal, requests to stop come back."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Protocol

from ablate.execution.measurements import checked_metrics
from ablate.execution.stopping import StopWatch
from ablate.trainable import Stopped


class Journal(Protocol):
    """Where rows go: a Claim of the spool."""

    def report(self, step: int, metrics: Mapping[str, float]) -> None:
        """Keep one row."""
        ...


class JournalReport:
    """`ablate.trainable.Report` over a journal.

    Who decides when to stop: a Trainable that has looked at `stop_requested` once is trusted to go on
    looking, to checkpoint and to raise `Stopped` itself. For one that never looks, the call raises
    `Stopped` as soon as the row is in the journal, and its next attempt starts at its last checkpoint.
    """

    def __init__(self, journal: Journal, watch: StopWatch) -> None:
        self._journal = journal
        self._watch = watch
        self._polled = False
        self._last_step: int | None = None

    @property
    def stop_requested(self) -> bool:
        """Whether to checkpoint and raise `Stopped` soon; cheap, the answer is at most 0.2 s old."""
        self._polled = True
        return self._watch.requested()

    def __call__(self, step: int, metrics: Mapping[str, float]) -> None:
        """Journal a step's metrics.

        Raises TypeError for metrics that are not numbers, ValueError for a step that does not rise within
        the attempt, `Stopped` as the class says.
        """
        step = operator.index(step)
        if self._last_step is not None and step <= self._last_step:
            raise ValueError(f"steps must rise: step {step} was reported after step {self._last_step}")
        self._journal.report(step, checked_metrics(metrics, f"the report of step {step}"))
        self._last_step = step
        if not self._polled and self._watch.requested():
            raise Stopped
