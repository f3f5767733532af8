"""The files that make up somebody's code: what git knows of a repository, else what lies below a folder."""

from __future__ import annotations

import logging
import os
import re
import subprocess
from collections import deque
from collections.abc import Collection, Iterator
from pathlib import Path

#: What Python can import. It is copied whatever git ignores: generated version files, compiled extensions.
CODE = frozenset({".py", ".so"})
#: Folders that hold no code of the user's.
_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages", "venv", "mlruns", ".git", ".venv", ".ablate"})
#: Files that runs make. Tracked ones are data.
_MADE = re.compile(r"\.(pyc|pyo|log|out|err|lock|(db|sqlite3?)(-\w+)?)$")
#: Entries that a walk looks at before it gives up: nobody's code is that much.
_MOST_ENTRIES = 50_000
_GIT_TIMEOUT_S = 60.0
_logger = logging.getLogger(__name__)


def source_files(folder: Path, without: Collection[Path] = ()) -> tuple[Path, list[Path]]:
    """The repository around a folder, or the folder itself, and the files in it that count, relative and sorted.

    In a repository: what git tracks, and what it neither tracks nor ignores; of what is ignored, the code below
    ``folder``. Elsewhere: everything below ``folder``, hidden and virtual environments' folders aside. Nothing
    that lies in one of ``without``, nothing that runs leave behind. Files need not exist and may be links.
    """
    folder = folder.resolve()
    top = _repository(folder)
    tracked = None if top is None else _git(top, "ls-files", "-z", "--cached", "--recurse-submodules")
    others = None if top is None else _git(top, "ls-files", "-z", "--others", "--exclude-standard")
    if top is None or tracked is None or others is None:
        top, known, found = folder, set(), set(walk(folder))
    else:
        below = folder.relative_to(top)
        known = set(map(Path, tracked.split("\0")[:-1]))
        ignored = {below / file for file in walk(folder, packages=True) if file.suffix in CODE}
        found = known | set(map(Path, others.split("\0")[:-1])) | ignored
    barred = [place.resolve() for place in without]
    return top, sorted(
        file
        for file in found
        if not _SKIPPED & set(file.parts)
        and (file in known or not _MADE.search(file.name))
        and not any((top / file).is_relative_to(place) for place in barred)
    )


def walk(folder: Path, *, packages: bool = False) -> Iterator[Path]:
    """Files below a folder, relative to it, the nearest first, and links to folders, which are not followed.

    Hidden folders, virtual environments and the like are left out; with ``packages`` folders without code, too.
    """
    left, waiting = _MOST_ENTRIES, deque([folder])
    while waiting:
        if left <= 0:
            _logger.warning("%s holds over %d files: only the nearest ones count as code", folder, _MOST_ENTRIES)
            return
        here = waiting.popleft()
        try:
            entries = sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError:
            continue
        left -= len(entries)
        names = {entry.name for entry in entries}
        if "pyvenv.cfg" in names or (
            packages and here != folder and not any(Path(name).suffix in CODE for name in names)
        ):
            continue
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                yield Path(entry.path).relative_to(folder)
            elif entry.name not in _SKIPPED and not entry.name.startswith("."):
                waiting.append(Path(entry.path))


def _repository(folder: Path) -> Path | None:
    """The top of the repository to which a folder belongs; None where it is in none, or ignored by it."""
    top = _git(folder, "rev-parse", "--show-toplevel")
    if not top or _git(folder, "check-ignore", "--quiet", ".") is not None:
        return None
    return Path(top.rstrip("\n")).resolve()


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints; None where it fails, hangs or is not installed."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            timeout=_GIT_TIMEOUT_S,
            check=True,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return os.fsdecode(answer.stdout)
