"""What a command says beside the study."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ablate.reporting.formats import FORMATS
from ablate.settings import Settings
from ablate.settings_schema import TrialsPerGpu


@dataclass(frozen=True)
class RunOptions:
    """Where things lie, and how Trials are trained. None of it decides an outcome."""

    home: Path
    reports: Path
    tracking_uri: str | None = None
    executor: str = "local"
    slots: int | None = None
    """Trials trained side by side on this machine; None: as the settings say, else as many as it has room for."""
    processes: int | None = None
    """That train each Trial together on this machine; None: as the settings say."""
    trials_per_gpu: TrialsPerGpu = None
    """None: as the settings say."""
    settings: Settings = field(default_factory=Settings)
    """What the executors are told beside the study."""
    detach: bool = False
    """Leave as soon as all is submitted."""
    retry_failed: bool = False
    retry: frozenset[str] | None = None
    """Ids of the only Trials to train, whatever became of them before; None for all that have no result."""
    check: bool = True
    formats: frozenset[str] = FORMATS
    """Of the report's files: those that are written."""
    quiet: bool = False
