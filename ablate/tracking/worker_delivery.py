"""Delivery from within a job, of its own Trials and without their Study: what a driver prepares and a job runs."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ablate.study.study import Study, Trial
from ablate.tracking.courier import Courier
from ablate.tracking.destination import Destination
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.spool import Spool
from ablate.tracking.store import StoreUnavailable, is_server

_logger = logging.getLogger(__name__)

#: What all workers together ask of a server: their pauses grow with their number.
_REQUESTS_PER_S = 20.0
#: Requests of one pass of one worker.
_REQUESTS = 2
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 5.0, 60.0


@dataclass(frozen=True)
class WorkerDelivery:
    """All that a job needs to deliver its Trials; it travels by pickle."""

    uri: str
    """Of a tracking server."""
    destination: Destination
    every_s: float = _SHORTEST_PAUSE_S
    """Seconds between two deliveries of one Trial."""

    def only(self, trial_ids: Iterable[str]) -> WorkerDelivery:
        """The same for the Trials of one Pack."""
        return replace(self, destination=self.destination.only(trial_ids))

    @contextmanager
    def delivering(self, spool: Spool, wait_s: float = 20.0) -> Iterator[Courier]:
        """A thread that delivers each Trial told to `Courier.watch`; raises nothing, whatever becomes of it.

        Leaving the block waits up to ``wait_s`` (`Courier.wait_s`) for what is outstanding; the rest is in the spool.
        """
        # Its own patience: the pauses are the Courier's, and a request whose answer was lost is not sent again blindly.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")  # many jobs ask at once, and nobody waits here
        courier = Courier(MlflowStore(self.uri, patient=True), spool, self.destination, self.every_s, wait_s)
        courier.start()
        try:
            yield courier
        finally:
            courier.stop()


def prepare(store: MlflowStore, study: Study, trials: Sequence[Trial], side_by_side: int = 1) -> WorkerDelivery | None:
    """What jobs need to deliver these Trials, ``side_by_side`` of them at a time.

    Makes the experiment and the parent runs, so that no worker has to. None where the Store is no tracking server
    (a database in a file has one writer, the driver) or cannot be reached now, which is a warning in the log: then
    the driver delivers, or a later command does.
    """
    if not trials or not is_server(store.uri):
        return None
    try:
        destination = store.destination(study, trials)
    except StoreUnavailable as error:
        _logger.warning("the jobs will not deliver to MLflow themselves: %s", error)
        return None
    every_s = min(max(_SHORTEST_PAUSE_S, side_by_side * _REQUESTS / _REQUESTS_PER_S), _LONGEST_PAUSE_S)
    return WorkerDelivery(store.uri, destination, every_s)
