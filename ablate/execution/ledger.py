"""The ledger: which Trials of a run are open and which are settled, as the spool tells it."""

from __future__ import annotations

import time
from collections.abc import Sequence

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
        self._total = len(trials)
        self._finished: list[str] = []
        self._failed: list[str] = []
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

    def newly_settled(self) -> list[Record]:
        """Records of open Trials that need no more training; `settle` takes them off the list."""
        records = (self._spool.record(trial_id) for trial_id in self.open)
        return [record for record in records if record is not None and is_settled(record, self.failed_before)]

    def settle(self, record: Record) -> Trial:
        """Close a Trial."""
        trial = self.open.pop(record.trial_id)
        if record.status == "finished":
            self._finished.append(trial.id)
            self._seconds.setdefault(trial.variant, []).append(record.seconds)
        else:
            self._failed.append(trial.id)
        return trial

    def note(self, status: JobStatus) -> None:
        """Remember what a job of this run has had in its hands."""
        self._touched.update(status.trained, status.failed, [status.trial] if status.trial else [])

    def is_open(self, trial_id: str) -> bool:
        """Whether a Trial needs training, asked of the spool and not of memory."""
        return trial_id in self.open and not is_settled(self._spool.record(trial_id), self.failed_before)

    def free(self) -> list[Trial]:
        """Open Trials that no process has in its hands, and whose teachers have finished."""
        return [t for t in self.open.values() if not self._waits_for(t) and not self._spool.held(t.id)]

    def untaught(self) -> list[Trial]:
        """Open Trials that can never be trained here: what they wait for is not open any more, if it ever was."""
        return [t for t in self.open.values() if any(need not in self.open for need in self._waits_for(t))]

    def _waits_for(self, trial: Trial) -> list[str]:
        """Ids of the Trials that one needs and that have not finished, as far as this ledger has seen."""
        for need in trial.needs:
            if need not in self.open and need not in self._taught:
                record = self._spool.record(need)
                if record is not None and record.status == "finished":
                    self._taught.add(need)
        return [need for need in trial.needs if need not in self._taught]

    def progress(self, running: Sequence[Running], slots: int, stopping: bool) -> Progress:
        """The run at this moment, given what is in the slots."""
        now = time.time()
        busy = {item.trial.id for item in running}
        waiting = [trial for trial in self.open.values() if trial.id not in busy]
        own = sum(trial_id in self._touched for trial_id in self._finished)
        return Progress(
            total=self._total,
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
        )

    def summary(self) -> RunSummary:
        """What became of every Trial."""
        records = self._spool.records(self.open)
        begun = {i for i, record in records.items() if record.status in {"running", "interrupted"}}
        return RunSummary(
            trained=tuple(i for i in self._finished if i in self._touched),
            reused=tuple(i for i in self._finished if i not in self._touched),
            failed=tuple(self._failed),
            interrupted=tuple(i for i in self.open if i in begun),
            waiting=tuple(i for i in self.open if i not in begun),
        )
