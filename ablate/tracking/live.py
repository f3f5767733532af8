"""Delivery while a study runs: a thread that brings curves and results to the Store and disturbs nothing."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from types import TracebackType

from ablate.study.study import Study
from ablate.tracking.delivery import Delivery, DeliveryReport
from ablate.tracking.record import Record
from ablate.tracking.spool import Spool
from ablate.tracking.store import Store

_LONGEST_PAUSE_S = 60.0


class LiveDelivery:
    """Polls the spool and delivers what is new, from `start` to `stop` or within a ``with`` block.

    Importing MLflow and reaching the Store happen on the thread, so that training starts at once. Nothing that
    goes wrong there is raised: it is in the report, and the pauses between attempts double up to a minute.
    """

    def __init__(self, store: Store, spool: Spool, study: Study, every_s: float = 5.0) -> None:
        self._delivery = Delivery(store, spool, study)
        self._spool = spool
        self._study = study
        self._every_s = every_s
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
            pause_s = min(2 * pause_s, max(_LONGEST_PAUSE_S, self._every_s)) if self._reason else self._every_s
            if last:
                return
            self._stopping.wait(pause_s)

    def _pass(self, last: bool) -> None:
        open_ids = [trial.id for trial in self._study.all_trials if trial.id not in self._finished]
        records = self._spool.records(open_ids)
        news = [r for r in records.values() if self._seen.get(r.trial_id) != _state(r)]
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
                if record.status == "finished":
                    self._finished.add(record.trial_id)

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
