"""Records that were fetched from the Store, put into the spool as if they had been trained here."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from ablate.tracking import journal
from ablate.tracking.attempt import ARTIFACTS, Attempt, Superseded
from ablate.tracking.codec import encode
from ablate.tracking.disk import write_atomically
from ablate.tracking.outcome import FAILURE, JOURNAL
from ablate.tracking.record import Record


def keep(record: Record, home: Path, files: Path | None) -> bool:
    """Put a fetched Record in place as an attempt does its own; whether it was, and not another process's."""
    if record.status == "failed":
        _tell_attempts(home / JOURNAL, record)
        if files is None:
            return write_atomically(home / FAILURE, encode(record))
    try:
        attempt = Attempt.take(home, record.attempts)
        if record.status == "finished":
            attempt.clear()
        if files is not None:
            copy_artifacts(files, attempt.path)
    except Superseded:
        return False
    return attempt.finish(encode(record)) if record.status == "finished" else attempt.fail(encode(record))


def copy_artifacts(source: Path, folder: Path) -> None:
    """Replace a folder's artifacts by copies of the files in ``source``."""
    target = folder / ARTIFACTS
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        copy = Path(shutil.copytree(source, Path(temporary) / ARTIFACTS))
        shutil.rmtree(target, ignore_errors=True)
        copy.rename(target)


def _tell_attempts(path: Path, record: Record) -> None:
    """Journal a failed Record's attempts, so that the next one here counts and takes time on from them."""
    journaled = journal.read(path).attempts
    teller = journal.Journal(path)
    for attempt in range(journaled + 1, record.attempts + 1):
        last = attempt == record.attempts
        teller.begin(attempt, record.started, clean=False)
        teller.end(attempt, "failed", record.ended or record.started, record.seconds if last else 0.0)
