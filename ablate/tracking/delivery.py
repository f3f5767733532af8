"""From spool to Store: everything once, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ablate.study.study import Study
from ablate.tracking.disk import Lock
from ablate.tracking.record import Record
from ablate.tracking.spool import Spool
from ablate.tracking.store import Store, StoreUnavailable

#: So many failures in a row and the rest is left for the next time.
_GIVE_UP_AFTER = 2


@dataclass(frozen=True)
class DeliveryReport:
    """Ids of the Trials with an outcome (finished or failed), by what became of them."""

    delivered: tuple[str, ...] = ()
    """Written by this delivery."""
    already: tuple[str, ...] = ()
    """Held by the Store before."""
    undelivered: tuple[str, ...] = ()
    """Still in the spool alone."""
    reason: str = ""
    """Why, where something is undelivered."""


class Delivery:
    """Delivers the Records of one Study's Trials from one spool."""

    def __init__(self, store: Store, spool: Spool, study: Study) -> None:
        self.store = store
        self.spool = spool
        self.study = study

    def deliver_all(
        self, records: Iterable[Record], wait_s: float = 60.0, stop: Callable[[], bool] = lambda: False
    ) -> DeliveryReport:
        """Deliver what the Store lacks; running and interrupted Trials as far as they go.

        Holds a lock in the spool, for which it waits up to ``wait_s``, so that two processes never deliver at
        once. Does not raise when the Store is unavailable: the report has the reason, the spool the Records.
        ``stop`` is asked before each Record.
        """
        queue = list(records)
        outcomes = tuple(r.trial_id for r in queue if r.status in ("finished", "failed"))
        if not queue:
            return DeliveryReport()
        self.spool.root.mkdir(parents=True, exist_ok=True)
        with Lock(self.spool.root / "delivery.lock") as lock:
            if not lock.acquire(wait_s):
                return DeliveryReport(undelivered=outcomes, reason="another process is delivering")
            try:
                stamps = self.store.known([r.trial_id for r in queue], self.study)
            except StoreUnavailable as error:
                return DeliveryReport(undelivered=outcomes, reason=str(error))
            settled = {r.trial_id for r in queue if r.trial_id in stamps and stamps[r.trial_id].settles(r)}
            missing, reason = self._deliver([r for r in queue if r.trial_id not in settled], stop)
        return DeliveryReport(
            delivered=tuple(t for t in outcomes if t not in settled and t not in missing),
            already=tuple(t for t in outcomes if t in settled),
            undelivered=tuple(t for t in outcomes if t in missing),
            reason=reason,
        )

    def _deliver(self, queue: list[Record], stop: Callable[[], bool]) -> tuple[set[str], str]:
        """Ids that could not be delivered, and why the first of them could not."""
        missing: set[str] = set()
        reason, in_a_row = "", 0
        for record in queue:
            if in_a_row >= _GIVE_UP_AFTER or stop():
                missing.add(record.trial_id)
                reason = reason or "stopped before all was delivered"
                continue
            try:
                self.store.deliver(self.study, record, self._artifacts(record))
                in_a_row = 0
            except StoreUnavailable as error:
                missing.add(record.trial_id)
                reason, in_a_row = reason or str(error), in_a_row + 1
        return missing, reason

    def _artifacts(self, record: Record) -> dict[str, Path]:
        found = {name: self.spool.artifact(record.trial_id, name) for name in record.artifacts}
        return {name: path for name, path in found.items() if path is not None}
