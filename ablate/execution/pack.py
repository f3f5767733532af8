"""A Pack: what one job is told. It travels by pickle, so it holds plain values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.execution.run_folder import RunFolder
from ablate.execution.slots import Slot
from ablate.study.study import Trial
from ablate.tracking.record import Record

if TYPE_CHECKING:  # what delivers imports much that a job without a tracking server does not need
    from ablate.tracking.worker_delivery import WorkerDelivery


@dataclass(frozen=True)
class Pack:
    """The Trials that one job chooses from, in their order, and what it needs to train them in one warm process.

    Jobs side by side are given the same open Trials; the spool's locks share them out.
    """

    trials: tuple[Trial, ...]
    trainable: str
    """``module:function``."""
    metric: str
    """The study's metric, which the final metrics must contain."""
    data_fingerprint: str
    spool: Path
    """Root of the spool."""
    run: Path
    """Folder of the invocation, see `RunFolder`."""
    slot: Slot
    import_paths: tuple[Path, ...] = ()
    """Put at the end of ``sys.path``: where a Trainable of the user's own is found. At the end, so that a file
    beside a study cannot stand in for a module of Python's own or of an installed package."""
    attached: bool = True
    """Whether the job stops when its driver is gone. False: it was submitted and left."""
    failed_before: Mapping[str, float] = field(default_factory=dict)
    """Trial id -> when it failed, for failures of earlier invocations: these Trials are tried again."""
    delivery: WorkerDelivery | None = None
    """With what the job delivers its Trials itself; None where the driver does."""
    job: str = "job"
    """Name of the job within the invocation; the scheduler gives each one its own."""

    @property
    def stop_file(self) -> Path:
        """Stops the job when it appears."""
        return RunFolder(self.run).stop_file

    @property
    def driver_lock(self) -> Path | None:
        """Stops the job when it is free; None for a detached job."""
        return RunFolder(self.run).driver_lock if self.attached else None

    @property
    def status_file(self) -> Path:
        """Where the job says what it is doing."""
        return RunFolder(self.run).status_file(self.job)


@dataclass(frozen=True)
class PackSummary:
    """What a job did, by Trial id."""

    trained: tuple[str, ...]
    failed: tuple[str, ...]
    skipped: tuple[str, ...]
    """Finished before, in the hands of another worker, or without its teacher."""
    stopped: str = ""
    """Why the job ended before its list did: `stop file`, `driver gone` or a signal's name; empty if it did not."""


def is_settled(record: Record | None, failed_before: Mapping[str, float]) -> bool:
    """Whether a Trial needs no training in this invocation: finished, or failed since it began.

    A failure is recognised by its own time stamp, not by comparing clocks, which differ between machines.
    """
    if record is None:
        return False
    if record.status == "finished":
        return True
    return record.status == "failed" and failed_before.get(record.trial_id) != record.ended
