"""What is known of one Trial once it has started: the one form in which results travel.

The worker's journal and result become a Record; delivery writes it to MLflow, and MLflow gives the same
Record back; frames, statistics and tables are made of Records and of nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["running", "interrupted", "finished", "failed"]
#: Why a Trial failed. `diverged`: a NaN or inf, an outcome of its Recipe. `error`: an exception.
#: `lost`: its process died (signal, out of memory) more often than it is retried.
#: `teacher`: it was not trained, because a Trial that it learns from failed.
Cause = Literal["diverged", "error", "lost", "teacher"]


@dataclass(frozen=True)
class Row:
    """One report of a Trainable: what it measured at a step (for the vision trainer, an epoch)."""

    step: int
    metrics: Mapping[str, float]
    time: float
    """Seconds since the Unix epoch."""


@dataclass(frozen=True)
class Record:
    """One Trial's state and results."""

    trial_id: str
    seed: int
    trainable: str
    recipe: Mapping[str, Any]
    status: Status
    started: float
    """Seconds since the Unix epoch, of the first attempt."""
    ended: float | None = None
    seconds: float = 0.0
    """Time spent in the Trainable, s, over all attempts."""
    attempts: int = 1
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Final metrics; empty until finished."""
    history: tuple[Row, ...] = ()
    """In order of steps, each step once."""
    cause: Cause | None = None
    error: str = ""
    """One line, for tables."""
    log_tail: str = ""
    """Traceback or last lines of output of a failed Trial."""
    data_fingerprint: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Commit, dirty flag, package versions, machine, device, threads."""
    artifacts: tuple[str, ...] = ()
    """Names of the files kept with the Trial (`per_example.npz`, `weights.pt`, ...)."""
