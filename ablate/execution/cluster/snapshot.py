"""Snapshots: the code that jobs run is a copy taken at submission, so that edits do not change what waits in the queue.

::

    <into>/<digest>/ablate/              this program
                    own-code/<k>-<name>/ a repository, or a folder, of the user's
                    paths.json           folder on `sys.path` at submission -> its copy
                    provenance.json      commits and dirty flags at submission

The digest is that of all these files, so that equal code has one folder, which is never written to again. Large data
files are links to where they lie (`copying`): they can be opened, but what is changed in them reaches the jobs.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from ablate.execution.cluster.copying import copy_files
from ablate.execution.cluster.source_files import source_files, walk
from ablate.tracking.environment import PROVENANCE, provenance

#: An unused snapshot is kept for so long, s.
KEPT_S = 7 * 24 * 3600.0
_OWN_CODE, _PATHS = "own-code", "paths.json"
_UNDER_WAY = ".under-way-"
_DIGEST = re.compile(r"[0-9a-f]{16}")
_PROGRAM = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Snapshot:
    """A copy of all code that jobs run."""

    path: Path
    digest: str
    import_paths: tuple[Path, ...]
    """What PYTHONPATH must begin with in the job. This program alone is found there, so that nothing of the user's
    shadows a module of Python's or of an installed package; `enter_snapshot` lets the user's own code be found."""
    notes: tuple[str, ...] = ()
    """For the user: what was not copied, and why."""


def take_snapshot(into: Path, *, sources: Sequence[Path] = (), without: Collection[Path] = ()) -> Snapshot:
    """Copy this program, and the code around the folders ``sources`` (see `own_code`), to a folder below ``into``.

    ``without``: folders of which nothing is copied, such as the spool. Made in one step, so that several drivers may
    do it at once. Raises OSError where ``into`` cannot be written.
    """
    into.mkdir(parents=True, exist_ok=True)
    into, notes = into.absolute(), []
    wanted: dict[Path, set[Path]] = {}
    moved: dict[str, str] = {}
    with tempfile.TemporaryDirectory(dir=into, prefix=_UNDER_WAY) as folder:
        new = Path(folder) / "snapshot"  # a folder of its own, which has ordinary permissions
        copy_files(_PROGRAM, walk(_PROGRAM), new / _PROGRAM.name)
        for source in sorted({source.resolve() for source in sources}):
            top, files = source_files(source, (into, *without))
            wanted.setdefault(top, set()).update(files)
            place = Path(_OWN_CODE, f"{list(wanted).index(top)}-{top.name}", source.relative_to(top))
            moved[str(source)] = str(place)
            (new / place).mkdir(parents=True, exist_ok=True)
        for index, (top, found) in enumerate(wanted.items()):
            notes += copy_files(top, found, new / _OWN_CODE / f"{index}-{top.name}")
        (new / _PATHS).write_text(json.dumps(moved, sort_keys=True), encoding="utf-8")
        (new / PROVENANCE).write_text(json.dumps(provenance(), sort_keys=True), encoding="utf-8")
        digest = _digest(new)
        path = into / digest
        try:
            new.rename(path)
        except OSError:
            if not path.is_dir():
                raise
            with contextlib.suppress(PermissionError):  # somebody else has made it
                os.utime(path)  # it is in use again
    return Snapshot(path, digest, (path,), tuple(notes))


def enter_snapshot() -> None:
    """In a job, before anything of the user's is imported: let it be found in the snapshot from which this runs.

    Each folder on `sys.path` gives its place to its copy, so that what shadows what stays as it was at submission;
    copies of folders that are not there come last. Without effect where this program does not run from a snapshot.
    """
    snapshot = _PROGRAM.parent
    try:
        moved: dict[str, str] = json.loads((snapshot / _PATHS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    copies = {folder: str(snapshot / copy) for folder, copy in moved.items()}
    path = [copies.get(str(Path(entry).resolve()), entry) if entry else entry for entry in sys.path]
    sys.path[:] = [*path, *(copy for copy in copies.values() if copy not in path)]
    importlib.invalidate_caches()


def forget_unused(into: Path, used: Collection[str]) -> None:
    """Delete the snapshots in ``into`` that were last taken over a week ago and are not among ``used``.

    Those are digests or paths. What a killed driver left half made is deleted as well.
    """
    names, now = {Path(name).name for name in used}, time.time()
    for folder in into.iterdir() if into.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):  # another driver deletes it, too
            ours = _DIGEST.fullmatch(folder.name) or folder.name.startswith(_UNDER_WAY)
            if not ours or folder.name in names or now - folder.stat().st_mtime < KEPT_S:
                continue
            # Out of the way first: what is half deleted must not be taken for a snapshot.
            doomed = folder.rename(into / f"{_UNDER_WAY}{uuid.uuid4().hex}")
            shutil.rmtree(doomed, ignore_errors=True)


def _digest(folder: Path) -> str:
    """SHA-256 of names, contents and links of all that lies in a folder, 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            content = os.fsencode(path.readlink())
        elif path.is_file():
            content = path.read_bytes()
        else:
            continue
        # Lengths keep apart what the bytes alone would not.
        name = os.fsencode(path.relative_to(folder))
        digest.update(f"{path.is_symlink()} {len(name)} {len(content)} ".encode() + name + content)
    return digest.hexdigest()[:16]
