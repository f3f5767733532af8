"""Which Trials of a spool have changed, told from the times and sizes of their files: most need not be read."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from pathlib import Path

from ablate.tracking.outcome import FAILURE, JOURNAL, RESULT
from ablate.tracking.record import Record
from ablate.tracking.spool import Spool

#: A failure that is so much older than the journal was followed by another attempt: its own last line comes at once.
_TRIED_AGAIN_NS = 10 * 10**9

_Mark = tuple[int, int] | None
"""Time of change, ns, and size, bytes, of a file; None where it is not there."""


class News:
    """What changed in a spool since it was settled.

    With ``outcomes_after_s`` only outcomes count, and only those so many seconds old: for a sweep behind workers that
    deliver by themselves. A look at the end (``last``) takes them at any age, and Trials that ended without an outcome.
    """

    def __init__(self, spool: Spool, outcomes_after_s: float | None = None) -> None:
        self._spool = spool
        self._outcomes_after_s = outcomes_after_s
        self._settled: dict[str, tuple[_Mark, _Mark]] = {}
        self._looked: dict[str, tuple[_Mark, _Mark]] = {}
        """The files as they were just before the Record was read."""
        self._running: set[str] = set()

    def records(
        self, trial_ids: Iterable[str], active: Collection[str] = (), *, last: bool = False
    ) -> dict[str, Record]:
        """Those of the Trials that may have changed since they were settled; ``active``: a job may be at them now."""
        found: dict[str, Record] = {}
        for trial_id in trial_ids:
            marks = self._marks(trial_id)
            if not self._counts(trial_id, marks, active, last):
                continue
            record = self._spool.record(trial_id)
            if record is not None:
                self._looked[trial_id] = marks
                found[trial_id] = record
        return found

    def settle(self, record: Record) -> None:
        """Take note that this Record, as `records` gave it, is no news any more."""
        trial_id = record.trial_id
        self._settled[trial_id] = self._looked[trial_id]
        (self._running.add if record.status == "running" else self._running.discard)(trial_id)

    def _counts(self, trial_id: str, marks: tuple[_Mark, _Mark], active: Collection[str], last: bool) -> bool:
        journal, outcome = marks
        if journal is None and outcome is None:
            return False
        if marks == self._settled.get(trial_id):
            # A killed process leaves no trace in the files.
            return trial_id in self._running and not self._spool.held(trial_id)
        if self._outcomes_after_s is None:
            return True
        if outcome is None:
            return last and trial_id not in active
        return last or time.time() - outcome[0] / 1e9 > self._outcomes_after_s

    def _marks(self, trial_id: str) -> tuple[_Mark, _Mark]:
        home = self._spool.home(trial_id)
        journal, failure = _mark(home / JOURNAL), _mark(home / FAILURE)
        if journal is not None and failure is not None and journal[0] - failure[0] > _TRIED_AGAIN_NS:
            failure = None
        return journal, _mark(home / RESULT) or failure


def _mark(path: Path) -> _Mark:
    try:
        there = path.stat()
    except FileNotFoundError:
        return None
    return there.st_mtime_ns, there.st_size
