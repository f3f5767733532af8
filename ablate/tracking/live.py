"""Delivery while a study runs: a thread of the driver that brings curves and results to the Store."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from types import TracebackType

from ablate.study.study import Study
from ablate.tracking.delivery import BUSY, Delivery, DeliveryReport
from ablate.tracking.news import News
from ablate.tracking.record import Record
from ablate.tracking.spool import Spool
from ablate.tracking.store import Store

_LONGEST_PAUSE_S = 60.0
#: An outcome is its worker's to deliver for so long.
_LEFT_TO_WORKERS_S = 60.0


class LiveDelivery:
    """Polls the spool and delivers what is new, from `start` to `stop` or within a ``with`` block.

    Importing MLflow and reaching the Store happen on the thread, so that training starts at once. Nothing that
    goes wrong there is raised: it is in the report, and the pauses between attempts double up to a minute.

    ``workers_deliver``: jobs deliver their Trials themselves (`WorkerDelivery`). Then this one sweeps up after them:
    outcomes that they have not delivered a minute later and, at the end, Trials that nobody trains any more.
    ``active`` gives the Trials that jobs may be at now: between the first pass and the last no others are looked at.
    """

    def __init__(
        self,
        store: Store,
        spool: Spool,
        study: Study,
        every_s: float = 5.0,
        *,
        workers_deliver: bool = False,
        active: Callable[[], Iterable[str]] | None = None,
    ) -> None:
        self._delivery = Delivery(store, spool, study, trust_marks=workers_deliver)
        self._news = News(spool, outcomes_after_s=_LEFT_TO_WORKERS_S if workers_deliver else None)
        self._spool = spool
        self._study = study
        self._every_s = every_s
        self._active = active
        self._watched: set[str] | None = None
        """Trials that were active when last asked and since, as far as they are not settled; None before."""
        self._finished: set[str] = set()
        """Trials that need no more looking at: a failed one may be tried again."""
        self._how: dict[str, str] = {}
        """Trial with an outcome in the Store -> `delivered` or `already`."""
        self._seen: dict[str, tuple[object, ...]] = {}
        self._stopping = threading.Event()
        self._deadline = float("inf")
        self._reason = ""
        self._thread: threading.Thread | None = None
        self.report = DeliveryReport()
        """What came of it, once stopped."""

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 30.0) -> DeliveryReport:
        """Deliver what is left, for at most about ``timeout_s``, and end. The rest stays in the spool."""
        self._deadline = time.monotonic() + timeout_s
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
        self.report = self._sum_up()
        if self._thread is not None and self._thread.is_alive():
            # Whatever is missing: the thread still holds the delivery's lock, and nobody must wait for that.
            reason = self._reason or f"still not delivered after {timeout_s:g} s"
            self.report = replace(self.report, reason=reason)
        return self.report

    def __enter__(self) -> LiveDelivery:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        pause_s = self._every_s
        while True:
            last = self._stopping.is_set()
            try:
                self._pass(last)
            except Exception as error:  # noqa: BLE001 - training must not die of its bookkeeping
                self._reason = f"{type(error).__name__}: {error}"
            trouble = self._reason not in ("", BUSY)
            pause_s = min(2 * pause_s, max(_LONGEST_PAUSE_S, self._every_s)) if trouble else self._every_s
            if last:
                return
            self._stopping.wait(pause_s)

    def _pass(self, last: bool) -> None:
        active = frozenset(self._active()) if self._active is not None else None
        records = self._news.records(self._worth_a_look(active, last), active or frozenset(), last=last)
        news = [r for r in records.values() if self._seen.get(r.trial_id) != _state(r) and not self._delivery.leaves(r)]
        for record in records.values():
            if self._seen.get(record.trial_id) == _state(record):
                self._news.settle(record)
        # Between two passes another process may deliver as well as we: no need to wait for it, but at the end.
        wait_s = max(0.0, self._deadline - time.monotonic()) if last else 0.0
        report = self._delivery.deliver_all(news, wait_s, stop=lambda: time.monotonic() > self._deadline)
        self._reason = report.reason
        self._how |= dict.fromkeys(report.delivered, "delivered")
        for trial_id in report.already:
            self._how.setdefault(trial_id, "already")
        for record in news:
            if not report.reason or record.trial_id in report.delivered + report.already:
                self._seen[record.trial_id] = _state(record)
                self._news.settle(record)
                if record.status == "finished":
                    self._finished.add(record.trial_id)

    def _worth_a_look(self, active: frozenset[str] | None, last: bool) -> list[str]:
        ids = [trial.id for trial in self._study.all_trials if trial.id not in self._finished]
        if active is not None and self._watched is not None and not last:
            self._watched |= active
            return [trial_id for trial_id in ids if trial_id in self._watched]
        self._watched = set(active or ())
        return ids

    def _sum_up(self) -> DeliveryReport:
        how, seen, finished = dict(self._how), dict(self._seen), set(self._finished)
        left = self._spool.records(t.id for t in self._study.all_trials if t.id not in finished)
        outcomes = [r for r in left.values() if r.status in ("finished", "failed")]
        missing = tuple(r.trial_id for r in outcomes if seen.get(r.trial_id) != _state(r))
        return DeliveryReport(
            delivered=tuple(t for t, h in how.items() if h == "delivered" and t not in missing),
            already=tuple(t for t, h in how.items() if h == "already" and t not in missing),
            undelivered=missing,
            reason=self._reason if missing else "",
        )


def _state(record: Record) -> tuple[object, ...]:
    """Changes whenever there is something new to deliver."""
    last = record.history[-1].step if record.history else None
    return record.status, record.attempts, len(record.history), last
