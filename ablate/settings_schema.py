"""The files of settings as they are written: one model for each table."""

from __future__ import annotations

import fnmatch
from typing import Annotated, Literal

from pydantic import Field

from ablate.execution.resources import ResourceFields
from ablate.recipe.section import Section


class Shape(ResourceFields):
    """What some Variants ask for instead: any field of Resources."""

    variants: str | list[str]
    """A pattern on Variants' names as ``--only`` takes it, or a list of them."""

    @property
    def patterns(self) -> tuple[str, ...]:
        """The patterns, one or several."""
        return (self.variants,) if isinstance(self.variants, str) else tuple(self.variants)

    def fits(self, variant: str) -> bool:
        """Whether one of the patterns is that of the Variant's name."""
        return any(fnmatch.fnmatch(variant, pattern) for pattern in self.patterns)


class SlurmTable(ResourceFields):
    """What jobs on Slurm ask for."""

    shapes: list[Shape] = []
    """Variants that ask for something else."""


TrialsPerGpu = Annotated[int, Field(ge=1)] | Literal["auto"] | None


class LocalSettings(Section):
    """How Trials share this machine."""

    slots: Annotated[int, Field(ge=1)] | None = None
    """Trials trained side by side; without a number, one per GPU, or one per core."""
    processes: Annotated[int, Field(ge=1)] = 1
    """Processes that train each Trial together."""
    trials_per_gpu: TrialsPerGpu = None
    """Trials that share a GPU: a number, or ``auto`` for as many as there is room for, by ``gpu_memory_gb`` or else by
    what finished Trials of the study took; without it, one, or as many as ``gpu_memory_gb`` says."""
    gpu_memory_gb: Annotated[float, Field(gt=0)] | None = None
    """Memory of a GPU that one Trial needs, GB of 1e9 bytes: as many Trials share a GPU as there is room for."""


class Executors(Section):
    """Where Trials are trained, one table each."""

    local: LocalSettings = LocalSettings()
    """Processes of this machine."""
    slurm: SlurmTable = SlurmTable()
    """Jobs on a Slurm cluster."""


class SettingsFile(Section):
    """A file of settings."""

    executors: Executors = Executors()
    """One table for each executor."""
