"""Packing: which Trials share a job.

A job of Slurm's costs a queue, a node's start and the imports, so short Trials are packed until a job has work for a
while; long ones have a job each. Trials of one array ask for the same resources, and a Trial never waits in a job for
one that it needs: that one is in an earlier wave, whose arrays have ended before those of the next one begin.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ablate.execution.resources import Resources
from ablate.study.study import Trial

#: A job's Trials should fill no more than this share of its time limit: estimates err.
_SHARE_OF_LIMIT = 0.8


@dataclass(frozen=True)
class Batch:
    """Packs that become one job array."""

    wave: int
    """0 for Trials that need none of the others, 1 for those that need Trials of wave 0, and so on."""
    resources: Resources
    packs: tuple[tuple[Trial, ...], ...]


def batches(
    trials: Sequence[Trial],
    seconds: Mapping[str, float | None],
    resources_for: Callable[[str], Resources],
    array_size: int,
) -> list[Batch]:
    """Put ``trials`` into Packs, and Packs into arrays of at most ``array_size``, the first wave first.

    ``seconds`` are expected times by Trial id; a Trial of unknown length has a job of its own unless
    `Resources.trials_per_job` says otherwise. ``resources_for`` takes a Variant's name.
    """
    groups: dict[tuple[int, Resources], list[Trial]] = {}
    waves, variants = _waves(trials), dict.fromkeys(trial.variant for trial in trials)
    by_variant = {variant: resources_for(variant) for variant in variants}
    for trial in trials:
        groups.setdefault((waves[trial.id], by_variant[trial.variant]), []).append(trial)
    found = []
    for (wave, resources), members in sorted(groups.items(), key=lambda group: group[0][0]):
        packs = list(_packs(members, seconds, resources))
        for start in range(0, len(packs), array_size):
            found.append(Batch(wave, resources, tuple(packs[start : start + array_size])))
    return found


def _packs(
    trials: Sequence[Trial], seconds: Mapping[str, float | None], resources: Resources
) -> Iterator[tuple[Trial, ...]]:
    """Neighbours together, as long as the job's time holds them."""
    wanted_s = min(resources.job_minutes, _SHARE_OF_LIMIT * resources.time_min) * 60
    pack: list[Trial] = []
    filled_s = 0.0
    for trial in trials:
        takes_s = seconds.get(trial.id)
        if resources.trials_per_job is not None:
            full = len(pack) >= resources.trials_per_job
        else:
            full = takes_s is None or filled_s + takes_s > wanted_s
        if pack and full:
            yield tuple(pack)
            pack, filled_s = [], 0.0
        pack.append(trial)
        filled_s += math.inf if takes_s is None else takes_s
    if pack:
        yield tuple(pack)


def _waves(trials: Sequence[Trial]) -> dict[str, int]:
    """How many of ``trials`` must have been trained one after the other before each of them can be."""
    needs = {trial.id: trial.needs for trial in trials}
    waves: dict[str, int] = {}

    def wave(trial_id: str) -> int:
        if trial_id not in waves:
            waves[trial_id] = 1 + max((wave(need) for need in needs[trial_id] if need in needs), default=-1)
        return waves[trial_id]

    for trial in trials:
        wave(trial.id)
    return waves
