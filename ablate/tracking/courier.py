"""The thread of a job that brings the Trial in hand, and those before it, to a tracking server."""

from __future__ import annotations

import logging
import random
import threading
import time

from ablate.tracking.delivered import delivery_lock, mark
from ablate.tracking.delivery import artifacts_of, may_be_running
from ablate.tracking.destination import Destination
from ablate.tracking.disk import Lock
from ablate.tracking.lanes import lane
from ablate.tracking.mlflow_client import is_outage
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.news import News
from ablate.tracking.record import Record
from ablate.tracking.spool import Spool
from ablate.tracking.store import Stamp, StoreUnavailable

_logger = logging.getLogger(__name__)
_LONGEST_PAUSE_S = 60.0
#: At the job's end, between two attempts.
_LAST_PAUSE_S = 1.0
_OUTCOMES = ("finished", "failed")


class Courier:
    """Delivers the Trials that it is told to watch, from `start` to `stop`. Nothing that goes wrong is raised.

    It holds each Trial's `delivery_lock` from the first delivery until the outcome is delivered: so no sweep of a
    driver interferes, and what a run holds need not be asked again. After trouble it lets go of those that have ended,
    for a sweep to bring if it can. Pauses double up to a minute, with jitter, lest all workers come back at once: in an
    outage those between passes, else those of the one Trial that is refused, while the others go on.
    """

    def __init__(
        self, store: MlflowStore, spool: Spool, destination: Destination, every_s: float = 5.0, wait_s: float = 20.0
    ) -> None:
        self.wait_s = wait_s
        """For how long `stop` waits; lower it where the job must end soon."""
        self._store = store
        self._spool = spool
        self._destination = destination
        self._every_s = every_s
        self._news = News(spool)
        self._guard = threading.Lock()
        self._queue: list[str] = []
        self._in_hand = ""
        self._locks: dict[str, Lock] = {}
        self._lost = 0
        """Passes in a row that an outage cut short."""
        self._refused: dict[str, tuple[int, float]] = {}
        """Trial -> how often in a row it was refused, and when it is tried again (monotonic)."""
        self._wake = threading.Event()
        self._stopping = False
        self._deadline = float("inf")
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)

    def watch(self, trial_id: str) -> None:
        """From now on this Trial is in hand: its rows are delivered as they come, and the outcomes of those before."""
        with self._guard:
            self._in_hand = trial_id
            if trial_id in self._destination.places and trial_id not in self._queue:
                self._queue.append(trial_id)

    def start(self) -> None:
        """Begin. Imports MLflow here and now: a process forked in the midst of an import could wait for it for ever."""
        try:
            self._store.prepare()
        except StoreUnavailable as error:
            _logger.warning("this job delivers nothing to MLflow: %s", error)
            return
        self._thread.start()

    def stop(self) -> None:
        """Deliver what is outstanding, for at most about `wait_s`, and end. The rest is left to a later sweep."""
        self._deadline = time.monotonic() + self.wait_s
        with self._guard:
            self._in_hand = ""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(self.wait_s)

    def _run(self) -> None:
        self._wake.wait(random.uniform(0.0, self._every_s))  # many jobs of an array start at one moment
        while True:
            stopping = self._stopping
            try:
                self._deliver_queue()
                self._lost = 0
            except Exception as error:  # noqa: BLE001 - training must not die of its bookkeeping
                if not self._lost:
                    _logger.warning("MLflow has to wait, the spool has it all: %s", error)
                self._lost += 1
                self._let_go()
            if stopping and (not self._queue or time.monotonic() >= self._deadline):
                break
            self._wake.wait(self._pause_s(stopping))
            if not stopping:
                self._wake.clear()
        self._let_go(everything=True)

    def _pause_s(self, stopping: bool) -> float:
        if stopping:
            time.sleep(min(_LAST_PAUSE_S, max(0.0, self._deadline - time.monotonic())))
            return 0.0
        return self._doubled_s(self._lost)

    def _doubled_s(self, times: int) -> float:
        longest = max(self._every_s, _LONGEST_PAUSE_S)
        return random.uniform(0.5, 1.0) * min(longest, self._every_s * 2.0 ** min(times, 10))

    def _deliver_queue(self) -> None:
        """Each Trial in turn; raises what would stop the others as well."""
        with self._guard:
            queue, in_hand = list(self._queue), self._in_hand
        for trial_id in queue:
            if time.monotonic() >= self._deadline:
                return
            if not self._stopping and time.monotonic() < self._refused.get(trial_id, (0, 0.0))[1]:
                continue
            try:
                record = self._news.records([trial_id]).get(trial_id)
                done = record is None or may_be_running(self._spool, record) or self._deliver(record)
            except Exception as error:
                if is_outage(error):
                    raise
                self._put_off(trial_id, error)
                continue
            self._refused.pop(trial_id, None)
            if done and trial_id != in_hand:
                with self._guard:
                    self._queue.remove(trial_id)
                self._release(trial_id)

    def _put_off(self, trial_id: str, error: Exception) -> None:
        """To the end of the queue with a Trial that cannot be delivered now, for reasons of its own."""
        times = self._refused.get(trial_id, (0, 0.0))[0] + 1
        if times == 1:
            _logger.warning("Trial %s has to wait for MLflow, the spool has it all: %s", trial_id, error)
        self._refused[trial_id] = times, time.monotonic() + self._doubled_s(times)
        with self._guard:
            self._queue.remove(trial_id)
            self._queue.append(trial_id)
            in_hand = self._in_hand
        if trial_id != in_hand:
            self._release(trial_id)

    def _deliver(self, record: Record) -> bool:
        """Whether the server has all of the Record now. Raises `StoreUnavailable`."""
        with lane(self._spool, lambda: time.monotonic() < self._deadline) as free:
            return free and self._write(record)

    def _write(self, record: Record) -> bool:
        trial_id = record.trial_id
        held = self._locks.get(trial_id)
        if held is None or not held.valid:
            lock = delivery_lock(self._spool, trial_id)
            if not lock.acquire():
                return False
            self._locks[trial_id], held = lock, None
        artifacts = artifacts_of(self._spool, record)
        self._store.deliver_to(self._destination, record, artifacts, alone=held is not None)
        if record.status in _OUTCOMES:
            self._note(record)
        self._news.settle(record)
        return True

    def _note(self, record: Record) -> None:
        key = self._destination.places[record.trial_id].variant_key
        stamp = Stamp(record.status, record.attempts, key)
        mark(self._spool, record.trial_id, self._store.uri, self._destination.study, stamp)

    def _let_go(self, *, everything: bool = False) -> None:
        for trial_id in list(self._locks):
            if everything or trial_id != self._in_hand:
                self._release(trial_id)

    def _release(self, trial_id: str) -> None:
        if trial_id in self._locks:
            self._locks.pop(trial_id).release()
