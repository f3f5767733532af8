"""The learning rate as a pure function of the number of updates already made, so that resuming needs no state."""

from __future__ import annotations

import math
from collections.abc import Callable

from ablate.recipe import Schedule


def learning_rate(step: int, peak: float, warmup_steps: int, total_steps: int, decay: str) -> float:
    """The rate of the update that comes after ``step`` updates; ``step`` runs from 0 to ``total_steps - 1``.

    Linear from 0 at step 0 to ``peak`` at ``warmup_steps``; then ``constant``, or a half cosine that
    reaches 0 at ``total_steps``, one past the last update. So is `create_learning_rate_schedule` of
    big_vision (utils.py), whose first update after a warm-up's start also has rate 0.
    """
    if step < warmup_steps:
        return peak * step / warmup_steps
    if decay == "constant":
        return peak
    progress = (step - warmup_steps) / (total_steps - warmup_steps)
    return peak * 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))


def warmup_steps(schedule: Schedule, steps_per_epoch: int) -> int:
    """The warm-up in updates. Epochs are rounded to the nearest update, and to one if that is none."""
    if schedule.warmup_steps is not None:
        return schedule.warmup_steps
    assert schedule.warmup_epochs is not None  # the Recipe holds exactly one of the two
    steps = schedule.warmup_epochs * steps_per_epoch
    return max(1, round(steps)) if steps else 0


def rate_of_step(schedule: Schedule, peak: float, steps_per_epoch: int) -> Callable[[int], float]:
    """`learning_rate` with everything filled in but the step.

    Raises ValueError where the warm-up leaves no update after it: such a run never sees its peak.
    """
    total = schedule.epochs * steps_per_epoch
    warmup = warmup_steps(schedule, steps_per_epoch)
    if warmup >= total:
        raise ValueError(f"a warm-up of {warmup} updates does not fit into a training of {total}")
    return lambda step: learning_rate(step, peak, warmup, total, schedule.decay)
