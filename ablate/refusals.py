"""What a run is refused for before anything trains, told in one line that says what to do."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ablate.study.fingerprint import ABSENT
from ablate.study.study import Study, Trial
from ablate.study.weights import weights_file
from ablate.tracking.disk import Lock
from ablate.tracking.results import bring_weights, collect_ids
from ablate.tracking.spool import Spool
from ablate.tracking.store import Store, StoreUnavailable
from ablate.trainable import WEIGHTS

_RELATIVE = "a relative path starts at $ABLATE_DATA, or here where that is not set"


class Refused(Exception):  # noqa: N818 - a mistake of the user's, told in one line
    """The run cannot begin; the message says why and what to do."""


@contextmanager
def only_driver(study: Study, home: Path) -> Iterator[None]:
    """Hold the study for one driver at a time; refused where another one has it."""
    folder = home / "runs" / study.slug
    folder.mkdir(parents=True, exist_ok=True)
    lock = Lock(folder / "study.lock")
    if not lock.acquire():
        raise Refused(
            f"another `ablate run` of {study.slug} is at work in {home}, and a second one would only get in its way: "
            f"wait for it, or stop it with Ctrl-C and give the command again; `ablate plan {study.path}` shows how "
            "far it is"
        )
    try:
        yield
    finally:
        lock.release()


def check_places(study: Study, *written: Path) -> None:
    """Refuse where data or weights are not there, or where results cannot be ``written``."""
    if study.data_fingerprint == ABSENT:
        source = study.baseline.recipe["data"]["source"]
        raise Refused(
            f"{study.path}: the data of profile {study.profile!r} ({source}) is not on this machine; {_RELATIVE}"
        )
    for checkpoint in study.absent:
        file = weights_file(checkpoint)
        raise Refused(f"{study.path}: the teacher's weights {file} are not on this machine; {_RELATIVE}")
    for place in written:
        there = next(p for p in (place.absolute(), *place.absolute().parents) if p.exists())
        if not there.is_dir():
            raise Refused(f"cannot write to {place}: {there} is not a folder")
        if not os.access(there, os.W_OK | os.X_OK):
            raise Refused(f"cannot write to {place}: no permission in {there}")


def check_teachers(study: Study, left: Iterable[Trial], spool: Spool, store: Store | None) -> None:
    """Refuse where what is ``left`` to train learns from a Trial that nobody will have trained.

    What other studies have trained, and what this one has, is brought into the spool from the Store.
    """
    left = list(left)
    trained_now = {trial.id for trial in left}
    needed = dict.fromkeys(need for trial in left for need in trial.needs if need not in trained_now)
    borrowed = set(study.borrowed)
    known = collect_ids(list(needed), spool, store)
    for need in needed:
        finished = need in known and known[need].status == "finished"
        if need in borrowed and not finished:
            raise Refused(
                f"{study.path}: the teacher trial:{need} is none of this study's own Trials, and neither {spool.root} "
                f"nor the Store has it finished; run the study that it is of, or name a teacher of this study's own"
            )
        if finished and not _has_weights(need, spool, store):
            raise Refused(
                f"{study.path}: the teacher trial:{need} has finished, but neither {spool.root} nor the Store has its "
                f"{WEIGHTS}; delete {spool.home(need)} to train it again"
            )


def _has_weights(trial_id: str, spool: Spool, store: Store | None) -> bool:
    try:
        return bring_weights(trial_id, spool, store)
    except StoreUnavailable as error:
        raise Refused(f"the weights of the teacher trial:{trial_id} are in the Store alone: {error}") from error
