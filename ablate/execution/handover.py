"""The hand-over: what a Trial learns from is put into its folder before it begins.

::

    <folder>/needs/<id>/recipe.json   the resolved Recipe of the Trial that is needed
                        weights.pt    its final weights
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from ablate.study.study import Trial
from ablate.tracking.disk import write_atomically
from ablate.tracking.record import Record
from ablate.tracking.spool import Spool
from ablate.trainable import NEEDS, RECIPE, WEIGHTS


def hand_over(trial: Trial, spool: Spool, folder: Path) -> None:
    """Put Recipe and weights of each Trial that ``trial`` needs into its ``folder``.

    Raises FileNotFoundError where the spool has no finished result, or no weights, of one of them.
    """
    for need in trial.needs:
        record, weights = spool.record(need), spool.artifact(need, WEIGHTS)
        if record is None or record.status != "finished":
            raise FileNotFoundError(f"its teacher, Trial {need}, has not finished")
        if weights is None:
            raise FileNotFoundError(f"its teacher, Trial {need}, has left no {WEIGHTS}")
        place = folder / NEEDS / need
        place.mkdir(parents=True, exist_ok=True)
        write_atomically(place / RECIPE, json.dumps(dict(record.recipe), ensure_ascii=False))
        _place(weights, place / WEIGHTS)


def failure_of_teacher(trial: Trial, records: Mapping[str, Record]) -> str:
    """Why a Trial cannot be trained, from what is known of those that it needs: one of them will not finish here."""
    need = next(need for need in trial.needs if need not in records or records[need].status != "finished")
    record = records.get(need)
    if record is None or record.status != "failed":
        return f"its teacher, Trial {need}, has not finished, and is not trained here"
    cause = "" if record.cause == "error" else f"{record.cause}: "
    return f"its teacher, Trial {need}, failed: {cause}{record.error}"


def fail_untaught(trial: Trial, spool: Spool, trainable: str, data_fingerprint: str) -> Record | None:
    """Record that a Trial was not trained because one that it needs failed; None where somebody has begun it."""
    claim = spool.claim(trial, trainable, data_fingerprint)
    if claim is None:
        return None
    with claim:
        _ = claim.folder  # an attempt of its own, if a short one, so that the next counts on from it
        return claim.fail("teacher", failure_of_teacher(trial, spool.records(trial.needs)))


def _place(file: Path, target: Path) -> None:
    """The file at another place, whole or not at all: a link costs no space, and not every disk has them."""
    scratch = target.with_suffix(f".{os.getpid()}.tmp")
    scratch.unlink(missing_ok=True)
    try:
        os.link(file, scratch)
    except OSError:
        shutil.copyfile(file, scratch)
    scratch.replace(target)
