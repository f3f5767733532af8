"""The status file of a job: which Trial it works on, and what it has settled.

It is how a driver learns which Trial a dead job had in its hands. It is replaced whole, so that a reader
never sees half of it.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from ablate.tracking.disk import write_atomically


@dataclass(frozen=True)
class JobStatus:
    """What a job was doing when it last changed what it does."""

    trial: str | None = None
    """Id of the Trial in its hands; None between two."""
    since: float = 0.0
    """When it took that Trial, seconds since the Unix epoch."""
    first_step: int = 0
    """The last step that earlier attempts had reported."""
    trained: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    host: str = ""
    """The machine on which it runs."""
    stopped: str = ""
    """Why it ended before its list did, as `StopWatch.reason`; empty if it did not."""

    @property
    def fruitless(self) -> bool:
        """Whether it has had no Trial in its hands yet."""
        return self.trial is None and not self.trained and not self.failed


def write_status(path: Path, status: JobStatus) -> None:
    """Replace the file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(asdict(status)))


def read_status(path: Path) -> JobStatus | None:
    """What the job last wrote; None where it has not begun."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return JobStatus(**{**values, "trained": tuple(values["trained"]), "failed": tuple(values["failed"])})


def logs_of(job: str, folder: Path) -> list[Path]:
    """The logs of a job's processes in the folder of its job files, standard output before standard error."""
    logs = folder.glob(f"{job}_*_log.*")
    named = ((re.fullmatch(r"(\d+)_log\.(out|err)", log.name[len(job) + 1 :]), log) for log in logs)
    found = ((match[2] == "err", int(match[1]), log) for match, log in named if match)
    return [log for _, _, log in sorted(found)]
