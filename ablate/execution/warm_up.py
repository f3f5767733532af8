"""Warming up: what the first Trial of a process would otherwise pay for all of them.

A Trial's seconds are there to be compared. Reading a packaged source imports scikit-learn and what that needs,
1.2 s and more where a small Trial trains for one, and it would be in the time of whichever Trial came first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from ablate.study.study import VISION, Trial


def warm_up(trials: Sequence[Trial], trainable: str) -> None:
    """Read the packaged sources of ``trials`` once, before one of them is claimed; the process keeps them.

    A source that cannot be read is left to its Trials, which fail with the cause. For a Trainable of the user's
    own nothing is known that could be warmed.
    """
    if trainable != VISION:
        return
    from ablate.data.sources import PACKAGED

    for source in dict.fromkeys(trial.recipe["data"]["source"] for trial in trials):
        if source in PACKAGED:
            with contextlib.suppress(Exception):
                PACKAGED[source]()
