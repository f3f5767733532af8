"""The scheduler: keeps the slots busy until every Trial is trained once, failed or stopped.

It trusts nothing but the spool. Jobs come and go and may die at any moment; what counts is which Trials
have a Record. Every job is given all open Trials, and the spool's locks decide who trains which, so slots
balance themselves, and a second driver with the same Trials is one more set of slots. A Trial that needs others is
free once these have finished; where one of them has failed, it fails with it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ablate.execution.executors import Executor, Job
from ablate.execution.handover import fail_untaught
from ablate.execution.ledger import Ledger
from ablate.execution.pack import Pack
from ablate.execution.progress import Observer, Progress, Running, RunSummary, total_steps
from ablate.execution.slots import Slot
from ablate.execution.status import JobStatus, read_status
from ablate.execution.stopping import Stop
from ablate.execution.strikes import Strikes
from ablate.study.study import Trial
from ablate.tracking.record import Record
from ablate.tracking.spool import Spool

#: How often jobs are looked at, s.
POLL_S = 0.2
#: How often the spool is looked through for Trials that somebody has settled, s.
SCAN_S = 1.0
#: A Trial whose process died this often in one invocation, without getting further in between, is given up as `lost`.
MAX_STRIKES = 2
#: So many jobs in a row that died without touching a Trial mean that no job will get further,
MAX_FRUITLESS = 3
#: and so many that ended of themselves although Trials were free mean that locks do not work here.
MAX_IDLE = 20
#: How long jobs have to checkpoint when the driver itself fails, s.
GRACE_S = 10.0


class ExecutionError(RuntimeError):
    """Jobs cannot do their work at all: the first line says why, the end of a log follows."""


class MakePack(Protocol):
    """Puts Trials into a Pack for a slot."""

    def __call__(self, trials: tuple[Trial, ...], slot: Slot) -> Pack:
        """The Pack; the scheduler itself fills in `job` and `failed_before`."""
        ...


def run_trials(
    trials: Sequence[Trial],
    *,
    make_pack: MakePack,
    executor: Executor,
    spool: Spool,
    slots: Sequence[Slot],
    observer: Observer,
    stop: Stop,
) -> RunSummary:
    """Train what is not settled yet, and say what became of every Trial.

    A failure of an earlier invocation counts as not settled. Returns when nothing is left to do, or when
    `stop` was requested and the jobs have ended; no job outlives the call. Raises `ExecutionError` where
    jobs end before they reach a Trial.
    """
    ledger = Ledger(trials, spool)
    run = _Run(ledger, make_pack, executor, spool, slots[: executor.max_slots], observer, stop)
    try:
        run.drive()
    finally:
        run.abandon()
        summary = ledger.summary()
        observer.ended(summary)
    return summary


@dataclass
class _Active:
    """A job in a slot."""

    slot: Slot
    pack: Pack
    job: Job

    def status(self) -> JobStatus:
        return read_status(self.pack.status_file) or JobStatus()


class _Run:
    """The jobs of one call of `run_trials`."""

    def __init__(
        self,
        ledger: Ledger,
        make_pack: MakePack,
        executor: Executor,
        spool: Spool,
        slots: Sequence[Slot],
        observer: Observer,
        stop: Stop,
    ) -> None:
        self.ledger = ledger
        self.make_pack = make_pack
        self.executor = executor
        self.spool = spool
        self.slots = slots
        self.observer = observer
        self.stop = stop
        self.active: dict[str, _Active] = {}
        self.strikes: dict[str, Strikes] = {}
        self.fruitless = 0
        self.submitted = 0

    def drive(self) -> None:
        """Until all is settled, or stopped."""
        self.observer.started(self.progress())
        scanned = time.monotonic()
        while True:
            if self._reap() or time.monotonic() - scanned >= SCAN_S:
                self._scan()
                scanned = time.monotonic()
            self.stop.heed_file()
            if self.stop.at_once:
                self._kill()
            elif not self.stop.requested:
                self._fill()
            if not self.active and (self.stop.requested or not self.ledger.open):
                return
            self.observer.updated(self.progress())
            time.sleep(POLL_S)

    def abandon(self) -> None:
        """See to it that no job outlives the driver's interest in it; does nothing after a normal end."""
        if self.active and not self.stop.requested:
            self.stop.request()
        deadline = time.monotonic() + GRACE_S
        while self.active:
            if self.stop.at_once or time.monotonic() > deadline:
                self._kill()
            self.active = {name: active for name, active in self.active.items() if not active.job.done()}
            time.sleep(POLL_S / 4)

    def progress(self) -> Progress:
        """The run at this moment."""
        running = []
        for active in self.active.values():
            status = active.status()
            trial = self.ledger.open.get(status.trial or "")
            if trial is not None:
                row, steps = self.spool.last_row(trial.id), total_steps(trial, active.pack.trainable)
                running.append(Running(active.slot.name, trial, status.since, status.first_step, row, steps))
        return self.ledger.progress(running, len(self.slots), self.stop.requested)

    def _scan(self) -> None:
        """Look for Trials that have been settled since the last time, by whomever."""
        settled = self.ledger.newly_settled()
        # After the records: a job that settled one either shows it still or lists it as done.
        for active in self.active.values():
            self.ledger.note(active.status())
        for record in settled:
            self._settle(record)
        for trial in self.ledger.untaught():
            self._fail_untaught(trial)

    def _settle(self, record: Record) -> None:
        self.fruitless = 0
        trial = self.ledger.settle(record)
        self.observer.settled(trial, record, self.progress())

    def _fail_untaught(self, trial: Trial) -> None:
        """Record that a Trial was not trained because its teacher failed."""
        pack = self.make_pack((trial,), self.slots[0])
        if self.ledger.is_open(trial.id):
            failure = fail_untaught(trial, self.spool, pack.trainable, pack.data_fingerprint)
            if failure is not None:
                self._settle(failure)

    def _reap(self) -> bool:
        """Take ended jobs out of their slots; whether there were any."""
        self.stop.interrupt_in_process = self.executor.in_process
        ended = [name for name, active in self.active.items() if active.job.done()]
        self.stop.interrupt_in_process = False
        for name in ended:
            self._conclude(self.active.pop(name))
        return bool(ended)

    def _conclude(self, active: _Active) -> None:
        """Draw the conclusions from a job that has ended."""
        status, reason = active.status(), active.job.error()
        self.ledger.note(status)
        if self.stop.requested:
            return
        if reason is not None and status.trial is not None:
            self._strike(active, status.trial, reason)
        elif status.fruitless:
            self._count_fruitless(active, reason)

    def _strike(self, active: _Active, trial_id: str, reason: str) -> None:
        """Count the death of a process against the Trial in its hands, and give that up in the end."""
        row = self.spool.last_row(trial_id)
        strikes = self.strikes.get(trial_id, Strikes()).one_more(row.step if row else None)
        self.strikes[trial_id] = strikes
        trial = self.ledger.open.get(trial_id)
        if trial is not None:
            self.observer.noticed(f"{active.slot.name}: {reason}, while it trained {trial.variant} seed {trial.seed}")
        if trial is None or strikes.count < MAX_STRIKES or not self.ledger.is_open(trial_id):
            return
        claim = self.spool.claim(trial, active.pack.trainable, active.pack.data_fingerprint)
        if claim is not None:  # else another slot has begun it already, and its death will be the next strike
            with claim:
                error = f"its process died {strikes.count} times without getting any further: {reason}"
                claim.fail("lost", error, active.job.log_tail())

    def _count_fruitless(self, active: _Active, reason: str | None) -> None:
        """Raise `ExecutionError` when jobs keep ending before they have touched a Trial."""
        self.fruitless += 1
        if self.fruitless >= (MAX_IDLE if reason is None else MAX_FRUITLESS):
            why = reason or "they found every Trial taken; do file locks work in the spool's folder?"
            raise ExecutionError(f"{self.fruitless} jobs in a row reached no Trial: {why}\n{active.job.log_tail()}")
        if reason is not None:
            self.observer.noticed(f"{active.slot.name}: {reason}, before it reached a Trial")

    def _fill(self) -> None:
        """Start jobs in free slots, as long as there are Trials that no job is about to take."""
        idle = [slot for slot in self.slots if slot.name not in self.active]
        if not idle or not self.ledger.open:
            return
        between = sum(active.status().trial is None for active in self.active.values())
        free = self.ledger.free(len(idle) + between)
        for slot in idle[: max(0, len(free) - between)]:
            whole = self.executor.trials_per_job is None
            trials = tuple(self.ledger.open.values()) if whole else tuple(free[: self.executor.trials_per_job])
            self.submitted += 1
            pack = replace(
                self.make_pack(trials, slot),
                job=f"{slot.name}-{self.submitted}",
                failed_before=dict(self.ledger.failed_before),
            )
            self.active[slot.name] = _Active(slot, pack, self.executor.submit(pack))

    def _kill(self) -> None:
        for active in self.active.values():
            active.job.kill()
