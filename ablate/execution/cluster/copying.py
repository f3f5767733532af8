"""Copying code, with limits for the data beside it: what is large is linked, and what is not copied is told."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path

from ablate.execution.cluster.source_files import CODE

#: Bytes of the largest data file that is copied, and of all data files of a folder together.
LARGEST_COPY, ALL_COPIES = 1_000_000, 100_000_000
#: Data files of a folder that are taken along at all, the smallest first.
MOST_DATA_FILES = 20_000
_NAMED = 3


def copy_files(top: Path, files: Iterable[Path], target: Path) -> list[str]:
    """Copy files of the folder ``top`` to ``target``, read-only; what was not copied but linked or left out, in words.

    Code is copied, whatever its size. Data files above the limits become links to where they lie, and so do links to
    folders outside of ``top``. Broken links are passed over: nobody could open them.
    """
    sizes = {file: size for file in files if (size := _size(top / file)) is not None}
    code = [file for file in sizes if file.suffix in CODE]
    data = sorted(sizes.keys() - set(code), key=lambda file: (sizes[file], file))
    total = accumulate(sizes[file] for file in data)
    small = [f for f, sum_ in zip(data, total, strict=True) if sizes[f] <= LARGEST_COPY and sum_ <= ALL_COPIES]
    small = small[:MOST_DATA_FILES]
    large = data[len(small) : MOST_DATA_FILES]
    lost = [file for file in sorted([*code, *small]) if not _copied(top / file, target / file)]
    outside = [file for file in large if _linked(top, file, target / file)]
    return [
        *_told(top, outside, "linked, not copied (what is changed in them reaches queued jobs)"),
        *_told(top, [*lost, *data[MOST_DATA_FILES:]], "left out of what jobs see"),
    ]


def _size(path: Path) -> float | None:
    """Bytes of a file; infinite for a link to a folder, None where there is nothing to copy."""
    try:
        if path.is_file():
            return path.stat().st_size
        return math.inf if path.is_symlink() and path.is_dir() else None
    except OSError:
        return None


def _copied(origin: Path, copy: Path) -> bool:
    """Copy a file, unless it cannot be read; whether it was."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copy(origin, copy)
    except OSError:
        return False
    copy.chmod(copy.stat().st_mode & 0o555 | 0o444)
    return True


def _linked(top: Path, file: Path, link: Path) -> bool:
    """Make a link to what a file, or a link to a folder, really is; whether that lies outside of the copy."""
    link.parent.mkdir(parents=True, exist_ok=True)
    real = (top / file).resolve()
    within = real.is_dir() and real.is_relative_to(top)
    link.symlink_to(os.path.relpath(real, (top / file).parent) if within else real)
    return not within


def _told(top: Path, files: Sequence[Path], what: str) -> list[str]:
    """One line about these files; none where there are none."""
    if not files:
        return []
    named = ", ".join(map(str, files[:_NAMED])) + (", ..." if len(files) > _NAMED else "")
    return [f"{len(files)} {'file' if len(files) == 1 else 'files'} of {top} {what}: {named}"]
