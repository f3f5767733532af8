"""What a report may ask for beside Records, answered from this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ablate.capacity import costs_of
from ablate.growth import beyond
from ablate.pictures import class_names, pictures
from ablate.reporting.kept import Kept
from ablate.study.study import VISION, Study
from ablate.tracking.spool import Spool


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
