"""All that is known of a Study's Trials, from here and from the Store."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from ablate.study.study import Study
from ablate.tracking.record import Record
from ablate.tracking.spool import Spool
from ablate.tracking.store import Store, StoreUnavailable
from ablate.trainable import WEIGHTS

_logger = logging.getLogger(__name__)


def collect(study: Study, spool: Spool, store: Store | None = None) -> dict[str, Record]:
    """Trial id -> Record, for every Trial that was ever started, in the order of the study, teachers first.

    What the spool has no outcome of is asked of the Store, and kept in the spool when it is found. A Store that
    cannot be reached is a warning in the log: the spool's Records still hold.
    """
    return collect_ids([trial.id for trial in study.all_trials], spool, store)


def collect_ids(ids: Sequence[str], spool: Spool, store: Store | None = None) -> dict[str, Record]:
    """The same for Trials given by their ids, of whichever study."""
    records = spool.records(ids)
    missing = [i for i in ids if i not in records or records[i].status in ("interrupted", "failed")]
    if store is not None and missing:
        try:
            _fetch(missing, records, spool, store)
        except StoreUnavailable as error:
            _logger.warning("results are those of the spool alone: %s", error)
    return {trial_id: records[trial_id] for trial_id in ids if trial_id in records}


def bring_weights(trial_id: str, spool: Spool, store: Store | None = None) -> bool:
    """See to it that the spool has the weights of a finished Trial, from the Store where it lacks them.

    Returns whether it has them. Raises `StoreUnavailable`.
    """
    if spool.artifact(trial_id, WEIGHTS) is None and store is not None:
        _bring_files([trial_id], spool, store)
    return spool.artifact(trial_id, WEIGHTS) is not None


def bring_kept(records: Mapping[str, Record], ending: str, spool: Spool, store: Store | None = None) -> None:
    """See to it that the spool has the files of finished Trials whose names end so, from the Store where it lacks them.

    A Store that cannot be reached is a warning in the log.
    """
    lacking = [
        trial_id
        for trial_id, record in records.items()
        if record.status == "finished"
        and any(name.endswith(ending) and spool.artifact(trial_id, name) is None for name in record.artifacts)
    ]
    if store is not None and lacking:
        try:
            _bring_files(lacking, spool, store)
        except StoreUnavailable as error:
            _logger.warning("files of %d Trials are missing here: %s", len(lacking), error)


def _bring_files(trial_ids: Sequence[str], spool: Spool, store: Store) -> None:
    for trial_id in store.known(trial_ids):
        with tempfile.TemporaryDirectory(dir=spool.root) as folder:
            store.fetch(trial_id, Path(folder))
            spool.restore(trial_id, Path(folder))


def _fetch(missing: list[str], records: dict[str, Record], spool: Spool, store: Store) -> None:
    for trial_id, stamp in store.known(missing).items():
        if stamp.status != "finished" and trial_id in records:
            continue  # the spool knows the same failure, or a later attempt
        spool.root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=spool.root) as folder:
            record = store.fetch(trial_id, Path(folder))
            if not spool.save(record, Path(folder)):
                # A process trains it here, or has just ended: what is here stands.
                here = spool.record(trial_id)
                record = record if here is None else here
        records[trial_id] = record
