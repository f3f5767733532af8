"""From spool to Store: everything once, whatever happens on the way."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from ablate.study.study import Study
from ablate.tracking.delivered import delivery_lock, mark, marked
from ablate.tracking.disk import Lock
from ablate.tracking.mlflow_client import is_outage
from ablate.tracking.record import Record
from ablate.tracking.spool import Spool
from ablate.tracking.store import Stamp, Store, StoreUnavailable, database, is_server, places, variant_key

#: So many outages in a row and the rest is left for the next time. What is merely refused stops nothing else.
_GIVE_UP_AFTER = 2
#: For so long after its last sign a Trial that was not ended may be in training where locks do not show it.
_MAY_LIVE_S = 300.0
BUSY = "another process is delivering"


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

    Two processes never write one run at once: each holds the Trial's lock (`delivery_lock`). To a tracking server
    many processes deliver side by side. Any other Store has one writer: a delivery holds a lock in the spool, and one
    beside the database where the Store is an SQLite file (``mlflow.db.lock``).
    """

    def __init__(self, store: Store, spool: Spool, study: Study, *, trust_marks: bool = False) -> None:
        """``trust_marks``: what the spool has noted as delivered is not asked of the Store."""
        self.store = store
        self.spool = spool
        self.study = study
        self._trust_marks = trust_marks
        keys = {variant.name: variant_key(variant) for variant in (*study.variants, *study.teacher_variants)}
        self._variant_keys = {trial_id: keys[variant.name] for trial_id, (variant, _) in places(study).items()}

    def deliver_all(
        self, records: Iterable[Record], wait_s: float = 60.0, stop: Callable[[], bool] = lambda: False
    ) -> DeliveryReport:
        """Deliver what the Store lacks; running and interrupted Trials as far as they go.

        A Trial that the Store holds under an earlier name of its Variant is delivered too, which moves it. Waits
        up to ``wait_s`` for other processes, but for none that delivers to a server: what it is at is left to it.
        To a server nothing is said of a Trial that may be running (`may_be_running`): its worker is at it.
        Does not raise when the Store is unavailable: the report has the reason, the spool the Records. ``stop`` is
        asked before each Record.
        """
        queue = [record for record in records if not self.leaves(record)]
        outcomes = tuple(r.trial_id for r in queue if r.status in ("finished", "failed"))
        if not queue:
            return DeliveryReport()
        try:
            with nullcontext() if is_server(self.store.uri) else self._alone(wait_s):
                settled = self._settled(queue)
                missing, reason = self._deliver([r for r in queue if r.trial_id not in settled], stop)
        except StoreUnavailable as error:
            return DeliveryReport(undelivered=outcomes, reason=str(error))
        return DeliveryReport(
            delivered=tuple(t for t in outcomes if t not in settled and t not in missing),
            already=tuple(t for t in outcomes if t in settled),
            undelivered=tuple(t for t in outcomes if t in missing),
            reason=reason,
        )

    def leaves(self, record: Record) -> bool:
        """Whether a Record is left for later, as it may be out of date: a server's is also written by workers."""
        return is_server(self.store.uri) and may_be_running(self.spool, record)

    def summarise(
        self,
        aggregates: Mapping[str, Mapping[str, float]],
        files: Sequence[Path],
        description: str = "",
        wait_s: float = 60.0,
    ) -> str:
        """Write Variant name -> aggregates, and the report's files, into the Store, as `Store.summarise` does.

        Returns the reason where that was not possible, and an empty string where it was. Waits up to ``wait_s``
        for other processes.
        """
        try:
            with self._alone(wait_s):
                self.store.summarise(self.study, aggregates, files, description)
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
                raise StoreUnavailable(BUSY)
            place = database(self.store.uri)
            if place is not None:
                lock = held.enter_context(Lock(place.with_name(f"{place.name}.lock")))
                # A folder where no lock can be made has no writable database either; the Store says so better.
                with contextlib.suppress(OSError):
                    if not lock.acquire(max(0.0, until - time.monotonic())):
                        raise StoreUnavailable(BUSY)
            yield

    def _settled(self, queue: Sequence[Record]) -> set[str]:
        """Trials of which the Store has all, and has it where the study now has them."""
        if self._trust_marks:
            noted = {r.trial_id: marked(self.spool, r.trial_id, self.store.uri, self.study.slug) for r in queue}
            stamps = {trial_id: stamp for trial_id, stamp in noted.items() if stamp is not None}
        else:
            stamps = self.store.known([r.trial_id for r in queue], self.study)
        return {r.trial_id for r in queue if self._settles(stamps.get(r.trial_id), r)}

    def _settles(self, stamp: Stamp | None, record: Record) -> bool:
        if stamp is None or not stamp.settles(record):
            return False
        return stamp.variant_key == self._variant_keys.get(record.trial_id, stamp.variant_key)

    def _deliver(self, queue: Sequence[Record], stop: Callable[[], bool]) -> tuple[set[str], str]:
        """Ids that could not be delivered, and why the first of them could not."""
        missing: set[str] = set()
        reason, busy = "", False
        outages: list[str] = []  # in a row
        for record in queue:
            if len(outages) >= _GIVE_UP_AFTER or stop():
                missing.add(record.trial_id)
                reason = reason or "stopped before all was delivered"
                continue
            try:
                if not self._write(record):
                    missing.add(record.trial_id)
                    busy = True
                    continue
                outages.clear()
            except StoreUnavailable as error:
                missing.add(record.trial_id)
                reason = reason or str(error)
                if is_outage(error) or str(error) in outages:  # told once more without asking (`Connection`)
                    outages.append(str(error))
                else:
                    outages.clear()
        return missing, reason or (BUSY if busy else "")

    def _write(self, record: Record) -> bool:
        """Deliver one Record; False where another process is at it."""
        with delivery_lock(self.spool, record.trial_id) as lock:
            if not lock.acquire():
                return False
            self.store.deliver(self.study, record, artifacts_of(self.spool, record))
            if record.status in ("finished", "failed"):
                stamp = Stamp(record.status, record.attempts, self._variant_keys[record.trial_id])
                mark(self.spool, record.trial_id, self.store.uri, self.study.slug, stamp)
        return True


def may_be_running(spool: Spool, record: Record) -> bool:
    """Whether a Trial that looks interrupted may be in training on another machine, whose locks are not seen here.

    Not one whose last attempt ended by itself, nor one that has given no sign for five minutes.
    """
    if record.status != "interrupted" or not spool.deaths(record.trial_id):
        return False
    sign = spool.last_sign(record.trial_id)
    return sign is not None and time.time() - sign < _MAY_LIVE_S


def artifacts_of(spool: Spool, record: Record) -> dict[str, Path]:
    """Name -> file, of what is kept with a Trial and is there."""
    found = {name: spool.artifact(record.trial_id, name) for name in record.artifacts}
    return {name: path for name, path in found.items() if path is not None}
