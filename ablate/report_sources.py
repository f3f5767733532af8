"""What a report may ask for beside Records, answered from this machine."""

from __future__ import annotations

from pathlib import Path

from ablate.capacity import costs_of
from ablate.pictures import pictures
from ablate.reporting.kept import Kept
from ablate.study.study import VISION, Study
from ablate.tracking.spool import Spool


def kept_here(study: Study, home: Path, *, builds: bool = True) -> Kept:
    """Files of Trials in the spool ``home``, what models cost, and pictures of the data where its images are here.

    Without ``builds`` no model is built to find what it costs, and so torch is not imported. The places of images that
    another Trainable tells may mean anything, so there are no pictures of those.
    """
    artifact, cost = Spool(home).artifact, costs_of(study, home, builds=builds)
    if study.trainable != VISION:
        return Kept(artifact=artifact, cost=cost)
    return Kept(artifact=artifact, cost=cost, pictures=pictures)
