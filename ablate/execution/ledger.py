"""The ledger: which Trials of a run are open and which are settled, as the spool tells it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from itertools import islice

from ablate.execution.pack import is_settled
from ablate.execution.progress import Progress, Running, RunSummary, estimate_left
from ablate.execution.status import JobStatus
from ablate.study.study import Trial
from ablate.tracking.record import Record
from ablate.tracking.spool import Spool


class Ledger:
    """Keeps account of the Trials of one invocation, whoever trains them."""

    def __init__(self, trials: Sequence[Trial], spool: Spool) -> None:
        self.open: dict[str, Trial] = {}
        """Trials that still need training, in their order."""
        self.failed_before: dict[str, float] = {}
        """Trial id -> when it failed, for failures of earlier invocations."""
        self._spool = spool
        self._seconds: dict[str, list[float]] = {}
        self._known = frozenset(trial.id for trial in trials)
        self._finished: list[str] = []
        self._failed: list[str] = []
        self._dropped: dict[str, Trial] = {}
        self._touched: set[str] = set()
        self._taught: set[str] = set()
        """Trials that others need, and that have finished."""
        self._begun = time.monotonic()
        for trial in trials:
            record = spool.record(trial.id)
            if record is not None and record.status == "finished":
                self._finished.append(trial.id)
                self._seconds.setdefault(trial.variant, []).append(record.seconds)
                continue
            if record is not None and record.status == "failed" and record.ended is not None:
                self.failed_before[trial.id] = record.ended
            self.open[trial.id] = trial

    def newly_settled(self, ids: Iterable[str] | None = None) -> list[Record]:
        """Records of open Trials that need no more training; `settle` takes them off the list.

        Of thousands, each is a look at the disk: ``ids`` are those that may have been settled, where that is known.
        """
        wanted = self.open if ids is None else [trial_id for trial_id in dict.fromkeys(ids) if trial_id in self.open]
        records = map(self._spool.record, wanted)
        return [record for record in records if record is not None and is_settled(record, self.failed_before)]

    def keep_failures(self, since: float) -> list[Record]:
        """Take what failed from ``since`` on (s since the Unix epoch) for an outcome that is not tried again.

        Returns the Records, for `settle`: of jobs that were left to themselves the failures are this run's own.
        """
        kept = [trial_id for trial_id, ended in self.failed_before.items() if ended >= since]
        for trial_id in kept:
            del self.failed_before[trial_id]
        return self.newly_settled(kept)

    def settle(self, record: Record) -> Trial:
        """Close a Trial."""
        trial = self.open.pop(record.trial_id)
        if record.status == "finished":
            self._finished.append(trial.id)
            self._seconds.setdefault(trial.variant, []).append(record.seconds)
        else:
            self._failed.append(trial.id)
        return trial

    def drop(self, trial_id: str) -> list[Trial]:
        """Take an open Trial off this run, which goes on without it: its job was cancelled.

        With it go those that need it, for they can no more be trained here, and have not failed. Returns all of them;
        none where the Trial is not open.
        """
        gone = [self.open.pop(trial_id)] if trial_id in self.open else []
        for trial in gone:  # grows while it is gone through
            gone += [self.open.pop(t.id) for t in list(self.open.values()) if trial.id in t.needs]
        self._dropped |= {trial.id: trial for trial in gone}
        return gone

    def note(self, status: JobStatus) -> None:
        """Remember what a job of this run has had in its hands."""
        self._touched.update(status.trained, status.failed, [status.trial] if status.trial else [])

    def knows(self, trial_id: str) -> bool:
        """Whether a Trial is one of this run's, whatever has become of it."""
        return trial_id in self._known

    def is_open(self, trial_id: str) -> bool:
        """Whether a Trial needs training, asked of the spool and not of memory."""
        return trial_id in self.open and not is_settled(self._spool.record(trial_id), self.failed_before)

    def free(self, most: int | None = None) -> list[Trial]:
        """Open Trials that no process has in its hands, and whose teachers have finished: the first so many, or all."""
        self._see_who_taught()
        free = (t for t in self.open.values() if self._taught.issuperset(t.needs) and not self._spool.held(t.id))
        return list(islice(free, most))

    def untaught(self) -> list[Trial]:
        """Open Trials that can never be trained here: what they wait for is not open any more, if it ever was."""
        self._see_who_taught()
        return [t for t in self.open.values() if any(n not in self._taught and n not in self.open for n in t.needs)]

    def _see_who_taught(self) -> None:
        """Look in the spool, once for all pupils, which of the Trials that are needed and not open have finished."""
        needed = {need for trial in self.open.values() for need in trial.needs}
        records = self._spool.records(need for need in needed if need not in self.open and need not in self._taught)
        self._taught.update(i for i, record in records.items() if record.status == "finished")

    def progress(
        self,
        running: Sequence[Running],
        slots: int,
        stopping: bool,
        *,
        queued: int | None = None,
        place: str = "slot",
    ) -> Progress:
        """The run at this moment, given what is in the slots; ``queued`` and ``place`` as in `Progress`."""
        now = time.time()
        busy = {item.trial.id for item in running}
        waiting = [trial for trial in self.open.values() if trial.id not in busy]
        own = sum(trial_id in self._touched for trial_id in self._finished)
        return Progress(
            total=len(self._known),
            slots=slots,
            trained=own,
            reused=len(self._finished) - own,
            failed=len(self._failed),
            running=tuple(running),
            waiting=len(waiting),
            elapsed_s=time.monotonic() - self._begun,
            now=now,
            left=None if stopping else estimate_left(waiting, running, self._seconds, slots, now),
            stopping=stopping,
            queued=queued,
            place=place,
            dropped=len(self._dropped),
        )

    def summary(self) -> RunSummary:
        """What became of every Trial."""
        left = self.open | self._dropped
        records = self._spool.records(left)
        begun = {i for i, record in records.items() if record.status in {"running", "interrupted"}}
        return RunSummary(
            trained=tuple(i for i in self._finished if i in self._touched),
            reused=tuple(i for i in self._finished if i not in self._touched),
            failed=tuple(self._failed),
            interrupted=tuple(i for i in left if i in begun),
            waiting=tuple(i for i in left if i not in begun),
        )
