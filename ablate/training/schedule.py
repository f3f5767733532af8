"""The learning rate as a pure function of the number of updates already made, so that resuming needs no state."""

from __future__ import annotations

import math
from collections.abc import Callable

from ablate.recipe import Schedule


def rate_of_step(schedule: Schedule, peak: float, steps_per_epoch: int) -> Callable[[int], float]:
    """The rate of the update that comes after so many updates, from 0 to one less than those of the training.

    Linear from ``warmup_rate`` at step 0 to ``peak`` at the end of the warm-up; then ``constant``, a straight line, or
    a half cosine that would reach ``final_rate`` one past the last update. So is `create_learning_rate_schedule` of
    big_vision (utils.py), whose first update after a warm-up's start also has rate 0, and timm's CosineLRScheduler.
    With ``warmup_inside`` the decay is counted from step 0, and the rate falls at the end of the warm-up to where the
    decay has come (timm without ``warmup_prefix``; DeiT).

    With ``every_epoch``, step is rounded down to the first of its epoch (timm with ``t_in_epochs``). DeiT's official
    loop tells its scheduler of each epoch after that epoch, so that its rates come one epoch later than these: its
    first two epochs both have ``warmup_rate``.

    Raises ValueError where the warm-up leaves no rate after it, since such a run never sees its peak, and where the
    rate would begin or end above its peak.
    """
    total, warmup = schedule.epochs * steps_per_epoch, warmup_steps(schedule, steps_per_epoch)
    span = steps_per_epoch if schedule.rate_changes == "every_epoch" else 1
    if warmup > total - span:
        last = "" if span == 1 else f", whose last rate is that of its last epoch's first update, number {total - span}"
        raise ValueError(f"a warm-up of {warmup} updates does not fit into a training of {total}{last}")
    if warmup and schedule.warmup_rate > peak:
        raise ValueError(f"warmup_rate {schedule.warmup_rate:g} is above the peak learning rate, {peak:g}")
    if schedule.decay != "constant" and schedule.final_rate > peak:
        raise ValueError(f"final_rate {schedule.final_rate:g} is above the peak learning rate, {peak:g}")
    return lambda step: _rate(schedule, peak, warmup, total, step - step % span)


def warmup_steps(schedule: Schedule, steps_per_epoch: int) -> int:
    """The warm-up in updates. Epochs are rounded to the nearest update, and to one if that is none."""
    if schedule.warmup_steps is not None:
        return schedule.warmup_steps
    assert schedule.warmup_epochs is not None  # the Recipe holds exactly one of the two
    steps = schedule.warmup_epochs * steps_per_epoch
    return max(1, round(steps)) if steps else 0


def _rate(schedule: Schedule, peak: float, warmup: int, total: int, step: int) -> float:
    first, last = schedule.warmup_rate, schedule.final_rate
    if step < warmup:
        return first + (peak - first) * step / warmup
    if schedule.decay == "constant":
        return peak
    start = 0 if schedule.warmup_inside else warmup
    progress = min((step - start) / (total - start), 1.0)
    left = 0.5 * (1.0 + math.cos(math.pi * progress)) if schedule.decay == "cosine" else 1.0 - progress
    return last + (peak - last) * left
