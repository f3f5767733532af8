"""A study as every command has it: the same Trials, whoever asks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ablate.capacity import Costs
from ablate.growth import as_far_as_kept
from ablate.study.load import load_study
from ablate.study.study import Study
from ablate.tracking.spool import Spool


def load(
    path: Path,
    home: Path,
    profile: str | None = None,
    *,
    only: Sequence[str] | None = None,
    seeds: int | None = None,
    sets: Sequence[str] | None = None,
    cache: Path | None = None,
    writes: bool = True,
) -> Study:
    """`load_study` with what lies in the spool ``home``: results, by which a greedy ladder has rungs that ``only`` may
    name, and what saves time, fingerprints of data and parameters of models.

    Where ``writes`` is false nothing is written there; ``cache`` is then another file for fingerprints. Raises
    `StudyError`.
    """
    return load_study(
        path,
        profile,
        only=only or (),
        seeds=seeds,
        sets=sets or (),
        cache=cache or home / "fingerprints.json",
        count=Costs(home, writes=writes).parameters,
        led_to=lambda whole: as_far_as_kept(whole, Spool(home))[0].growth,
    )
