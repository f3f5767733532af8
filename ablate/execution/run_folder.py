"""The folder of one invocation: where a driver and its workers meet.

Each ``ablate run`` makes one of its own, so that two drivers never read each other's stop request. The
driver holds a lock there for as long as it lives; the kernel frees it however the driver ends, and a
worker that finds it free knows that it is an orphan.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ablate.tracking.disk import Lock


class RunFolder:
    """Names of what lies in an invocation's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    @property
    def stop_file(self) -> Path:
        """Exists as soon as the workers are to stop."""
        return self.path / "stop"

    @property
    def driver_lock(self) -> Path:
        """Locked while the driver lives."""
        return self.path / "driver.lock"

    @property
    def jobs(self) -> Path:
        """Pickles and logs of the jobs."""
        return self.path / "jobs"

    def status_file(self, job: str) -> Path:
        """In which a job says what it is doing."""
        return self.path / "status" / f"{job}.json"

    @property
    def submissions(self) -> Path:
        """What was handed to Slurm, see `ablate.execution.cluster.submission`."""
        return self.path / "submissions"

    @property
    def has_submissions(self) -> bool:
        """Whether jobs may need the folder that no driver waits for."""
        return self.submissions.is_dir() and any(self.submissions.iterdir())

    @contextmanager
    def driving(self) -> Iterator[RunFolder]:
        """Make the folder and hold its lock. Raises BlockingIOError where another driver holds it."""
        self.path.mkdir(parents=True, exist_ok=True)
        with Lock(self.driver_lock) as lock:
            if not lock.acquire():
                raise BlockingIOError(f"another driver runs in {self.path}")
            yield self
