"""What a report may ask for beside Records, answered from this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ablate.capacity import costs_of
from ablate.growth import beyond
from ablate.pictures import class_names, pictures
from ablate.reporting.kept import Kept
from ablate.study.fingerprint import ABSENT
from ablate.study.study import VISION, Study
from ablate.tracking.spool import Spool


def nothing_of(study: Study) -> str:
    """Why there is no result of a study: its Trials have not been trained, or cannot be told from any others.

    The data and the teacher's weights are part of a Trial's id: where they are not, nobody knows which ones finished.
    """
    if study.data_fingerprint == ABSENT:
        what = f"the data ({study.baseline.recipe['data']['source']}) is"
    elif study.absent:
        what = f"the teacher's weights ({', '.join(study.absent)}) are"
    else:
        return f"nothing of {study.slug} has been trained here yet: `ablate run {study.path}`"
    return f"{what} not on this machine, so nobody can tell which finished Trials are those of {study.slug}"


def kept_here(study: Study, home: Path, *, builds: bool = True) -> Kept:
    """Files of Trials in the spool ``home``, and finished ones there that a growing study does not ask for; what models
    cost; pictures of the data where its images are here, and what its classes are called.

    Without ``builds`` no model is built to find what it costs, and so torch is not imported. The places of images that
    another Trainable tells may mean anything, so there are no pictures of those.
    """
    spool = Spool(home)
    kept = Kept(
        artifact=spool.artifact,
        cost=costs_of(study, home, builds=builds),
        beyond=lambda: beyond(study, spool.records),
    )
    return replace(kept, pictures=pictures, class_names=class_names) if study.trainable == VISION else kept
