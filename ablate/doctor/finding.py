"""What a check found, and about what it was asked."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from ablate.doctor import slurm_facts
from ablate.settings import Settings

Verdict = Literal["ok", "warning", "problem", "not here"]


@dataclass(frozen=True)
class Finding:
    """The answer of one check."""

    check: str
    verdict: Verdict
    says: str
    """What was found, in plain words."""
    advice: str = ""
    """What to do about it; empty where there is nothing to do."""

    def as_json(self) -> dict[str, Any]:
        """As plain JSON types."""
        return asdict(self)


@dataclass
class Subject:
    """What is to be examined."""

    home: Path = Path(".ablate")
    settings: Settings = field(default_factory=Settings)
    tracking_uri: str | None = None

    @cached_property
    def has_slurm(self) -> bool:
        """Whether jobs could be submitted here."""
        return not slurm_facts.missing_commands(("sbatch",)) and slurm_facts.is_configured()

    @cached_property
    def slurm_config(self) -> dict[str, str]:
        """The cluster's configuration. Raises `NoAnswer`."""
        return slurm_facts.config()

    @cached_property
    def partitions(self) -> dict[str, slurm_facts.Partition]:
        """The cluster's partitions. Raises `NoAnswer`."""
        return slurm_facts.partitions()

    @cached_property
    def nodes(self) -> list[slurm_facts.Node]:
        """The cluster's nodes. Raises `NoAnswer`."""
        return slurm_facts.nodes()

    @property
    def partition(self) -> slurm_facts.Partition | None:
        """The partition that jobs would wait in; None where it does not exist. Raises `NoAnswer`."""
        wanted = self.settings.slurm.partition
        if wanted is not None:
            return self.partitions.get(wanted.partition(",")[0])
        return next((p for p in self.partitions.values() if p.is_default), None)
