"""The spool: the folder on disk in which Trials keep their journal, checkpoint and result.

::

    <root>/trials/<id>/trial.json     what the Trial is
                       lock           held by the process that trains it
                       journal        attempts and reported rows
                       attempt-<n>/   the Trainable's folder, until the Trial has finished
                       failure.json   how the last attempt failed
                       work/          of a finished Trial: work/artifacts/ is kept
                       result.json    of a finished Trial, written last
    <root>/settled/                   marks of new outcomes

Everything that is known of a Trial can be read from its folder, without a database and while it runs.
"""

from __future__ import annotations

import gc
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ablate.study.study import Trial
from ablate.tracking import journal
from ablate.tracking.attempt import artifacts, settle
from ablate.tracking.claim import Claim
from ablate.tracking.disk import Lock, is_held, set_aside, write_atomically
from ablate.tracking.fetched import copy_artifacts, keep
from ablate.tracking.marks import Marks
from ablate.tracking.outcome import JOURNAL, WORK, compose, load, standing
from ablate.tracking.record import Record, Row

_ABOUT, _LOCK = "trial.json", "lock"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


class Spool:
    """Trials on disk, below one root folder, which is made when the first one is claimed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._marks = Marks(root)

    def home(self, trial_id: str) -> Path:
        """The folder of a Trial. Raises ValueError where the id could not name one."""
        if not _ID.fullmatch(trial_id):
            raise ValueError(f"not a Trial's id: {trial_id!r}")
        return self.root / "trials" / trial_id

    def claim(self, trial: Trial, trainable: str, data_fingerprint: str) -> Claim | None:
        """The right to train ``trial``, or None where another process has it. Never waits.

        A finished Trial can be claimed as well: look at `Claim.record` first.
        """
        home = self.home(trial.id)
        home.mkdir(parents=True, exist_ok=True)
        lock = Lock(home / _LOCK)
        if not lock.acquire():
            return None
        try:
            about = _about(trial.id, trial.seed, trainable, trial.recipe, data_fingerprint)
            _describe(home, about)
            return Claim(home, about, lock, self._marks)
        except BaseException:
            lock.release()
            raise

    def held(self, trial_id: str) -> bool:
        """Whether a process has the Trial now."""
        return is_held(self.home(trial_id) / _LOCK)

    def record(self, trial_id: str) -> Record | None:
        """What is known of a Trial; None where it was never started here.

        A result or a description that cannot be read counts as none: it is set aside as ``<name>.bad``, with a
        warning in the log, so that one bad file does not block a study.
        """
        home = self.home(trial_id)
        if (done := standing(home)) is not None:
            return done
        about = _description(home)
        if about is None:
            return None
        if is_held(home / _LOCK):
            return compose(about, journal.read(home / JOURNAL), "running")
        # It may have finished between the first look and the second.
        return standing(home) or compose(about, journal.read(home / JOURNAL), "interrupted")

    def records(self, trial_ids: Iterable[str]) -> dict[str, Record]:
        """The Records of those Trials that were started here, in the order of the ids."""
        with _collector_paused():
            found = ((trial_id, self.record(trial_id)) for trial_id in trial_ids)
            return {trial_id: record for trial_id, record in found if record is not None}

    def finished(self) -> list[Record]:
        """Every Trial finished here, of whichever study; reads them all, so ask it seldom."""
        try:
            ids = sorted(filter(_ID.fullmatch, os.listdir(self.root / "trials")))  # noqa: PTH208 - names alone
        except FileNotFoundError:
            return []
        with _collector_paused():
            records = (load(self.home(trial_id)) for trial_id in ids)
            return [record for record in records if record is not None and record.status == "finished"]

    def last_row(self, trial_id: str) -> Row | None:
        """The row reported last, cheaply; None before the first."""
        return journal.last_row(self.home(trial_id) / JOURNAL)

    def last_sign(self, trial_id: str) -> float | None:
        """When the Trial's journal was last written to, seconds since the Unix epoch; None before its first attempt.

        The time is that of the file's machine, which may not agree with this one's clock.
        """
        try:
            return (self.home(trial_id) / JOURNAL).stat().st_mtime
        except FileNotFoundError:
            return None

    def deaths(self, trial_id: str) -> int:
        """How often processes have died with the Trial in their hands, in a row (`Story.deaths`).

        An attempt that is under way counts as one that died: only its lock tells them apart.
        """
        return journal.read(self.home(trial_id) / JOURNAL).deaths

    def settled_since(self, seen: Set[str] = frozenset()) -> tuple[list[str], frozenset[str]]:
        """Ids of Trials, of whichever study, with an outcome that is new, and what to call this with the next time.

        One look into one folder, however many Trials there are. A hint: after a kill, or on a full disk, there may be
        an outcome that is never told here, so look at `records` at the start, where a job has ended, and now and then.
        """
        return self._marks.since(seen)

    def artifact(self, trial_id: str, name: str) -> Path | None:
        """Where a file kept with the Trial lies; None where it does not.

        Those of a finished Trial stay there. Those of one that failed move with its next attempt.
        """
        found = artifacts(self.home(trial_id))
        if found is None:
            return None
        folder = found.resolve()
        path = (folder / name).resolve()
        return path if path.is_relative_to(folder) and path.is_file() else None

    def save(self, record: Record, files: Path | None = None) -> bool:
        """Keep a Record that was fetched from the Store, with those in the folder ``files``.

        Returns whether it was: not where a process trains the Trial here, nor over an outcome that is here,
        unless that is a failure and the Record a success. A later attempt goes on counting from the Record's.
        """
        home = self.home(record.trial_id)
        home.mkdir(parents=True, exist_ok=True)
        with Lock(home / _LOCK) as lock:
            if not lock.acquire():
                return False
            held = standing(home)
            if held is not None and (held.status == "finished" or record.status != "finished"):
                return False
            about = _about(record.trial_id, record.seed, record.trainable, record.recipe, record.data_fingerprint)
            _describe(home, about)
            kept = keep(record, home, files)
        if kept:
            self._marks.add(record)
        return kept

    def restore(self, trial_id: str, files: Path) -> None:
        """Put the files of a Trial that has finished here, fetched from the Store, back to where some are missing."""
        home = self.home(trial_id)
        with Lock(home / _LOCK) as lock:
            record = standing(home) if lock.acquire() else None
            if record is not None and record.status == "finished":
                settle(home)
                copy_artifacts(files, home / WORK)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Records hold no cycles, and looking for some takes half the time of reading thousands of them."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def _about(
    trial_id: str, seed: int, trainable: str, recipe: Mapping[str, Any], data_fingerprint: str
) -> dict[str, Any]:
    """What a Trial is, as `trial.json` says it."""
    return {
        "id": trial_id,
        "seed": seed,
        "trainable": trainable,
        "recipe": dict(recipe),
        "data_fingerprint": data_fingerprint,
    }


def _describe(home: Path, about: dict[str, Any]) -> None:
    if _description(home) is None:
        write_atomically(home / _ABOUT, json.dumps(about, ensure_ascii=False))


def _description(home: Path) -> dict[str, Any] | None:
    """What `trial.json` says; None without one, and where it is damaged: then it is set aside."""
    path = home / _ABOUT
    try:
        about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return _about(**{"trial_id" if name == "id" else name: value for name, value in about.items()})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, AttributeError) as error:  # no text, no JSON, or not these fields
        set_aside(path, error)
        return None
