"""From spool to Store: everything once, whatever happens on the way."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ablate.study.study import Study
from ablate.tracking.disk import Lock
from ablate.tracking.record import Record
from ablate.tracking.spool import Spool
from ablate.tracking.store import Stamp, Store, StoreUnavailable, database, places, variant_key

#: So many failures in a row and the rest is left for the next time.
_GIVE_UP_AFTER = 2
_BUSY = "another process is delivering"


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
    """Delivers the Records of one Study's Trials from one spool, and the summary of them.

    Each delivery holds a lock in the spool, and one beside the database where the Store is an SQLite file
    (``mlflow.db.lock``), so that two processes never write at once, be it from the same spool or from two.
    """

    def __init__(self, store: Store, spool: Spool, study: Study) -> None:
        self.store = store
        self.spool = spool
        self.study = study
        keys = {variant.name: variant_key(variant) for variant in (*study.variants, *study.teacher_variants)}
        self._variant_keys = {trial_id: keys[variant.name] for trial_id, (variant, _) in places(study).items()}

    def deliver_all(
        self, records: Iterable[Record], wait_s: float = 60.0, stop: Callable[[], bool] = lambda: False
    ) -> DeliveryReport:
        """Deliver what the Store lacks; running and interrupted Trials as far as they go.

        A Trial that the Store holds under an earlier name of its Variant is delivered too, which moves it. Waits
        up to ``wait_s`` for other processes. Does not raise when the Store is unavailable: the report has the
        reason, the spool the Records. ``stop`` is asked before each Record.
        """
        queue = list(records)
        outcomes = tuple(r.trial_id for r in queue if r.status in ("finished", "failed"))
        if not queue:
            return DeliveryReport()
        try:
            with self._alone(wait_s):
                stamps = self.store.known([r.trial_id for r in queue], self.study)
                settled = {r.trial_id for r in queue if self._settled(stamps.get(r.trial_id), r)}
                missing, reason = self._deliver([r for r in queue if r.trial_id not in settled], stop)
        except StoreUnavailable as error:
            return DeliveryReport(undelivered=outcomes, reason=str(error))
        return DeliveryReport(
            delivered=tuple(t for t in outcomes if t not in settled and t not in missing),
            already=tuple(t for t in outcomes if t in settled),
            undelivered=tuple(t for t in outcomes if t in missing),
            reason=reason,
        )

    def summarise(self, aggregates: Mapping[str, Mapping[str, float]], files: list[Path], wait_s: float = 60.0) -> str:
        """Write Variant name -> aggregates, and the report's files, into the Store, as `Store.summarise` does.

        Returns the reason where that was not possible, and an empty string where it was. Waits up to ``wait_s``
        for other processes.
        """
        try:
            with self._alone(wait_s):
                self.store.summarise(self.study, aggregates, files)
        except StoreUnavailable as error:
            return str(error)
        return ""

    @contextmanager
    def _alone(self, wait_s: float) -> Iterator[None]:
        """Hold the locks. Raises `StoreUnavailable` where another process has one of them for ``wait_s``."""
        until = time.monotonic() + wait_s
        self.spool.root.mkdir(parents=True, exist_ok=True)
        with ExitStack() as held:
            if not held.enter_context(Lock(self.spool.root / "delivery.lock")).acquire(wait_s):
                raise StoreUnavailable(_BUSY)
            place = database(self.store.uri)
            if place is not None:
                lock = held.enter_context(Lock(place.with_name(f"{place.name}.lock")))
                # A folder where no lock can be made has no writable database either; the Store says so better.
                with contextlib.suppress(OSError):
                    if not lock.acquire(max(0.0, until - time.monotonic())):
                        raise StoreUnavailable(_BUSY)
            yield

    def _settled(self, stamp: Stamp | None, record: Record) -> bool:
        """Whether the Store has all of the Record, and has it where the study now has its Trial."""
        if stamp is None or not stamp.settles(record):
            return False
        return stamp.variant_key == self._variant_keys.get(record.trial_id, stamp.variant_key)

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
