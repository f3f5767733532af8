"""Files in the cache folder, where what is found out about data is kept once per machine."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ablate.data.errors import DataError
from ablate.places import cache_folder


def cache_file(kind: str, key: str, suffix: str) -> Path:
    """Where the answer of this kind to ``key`` lies, or would; its folder exists.

    Raises `DataError` where the folder cannot be made.
    """
    folder = cache_folder() / kind
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot make the folder {folder}: {error}; set ABLATE_CACHE to one that can be") from error
    return folder / f"{hashlib.sha256(key.encode(errors='surrogateescape')).hexdigest()[:32]}{suffix}"


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """While this lasts, no other process is at work on ``path`` in the same way; waits for one that is."""
    try:
        descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error}; set ABLATE_CACHE to a folder that can be written") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def stamp_of(paths: Sequence[Path]) -> str:
    """Digest of the files' paths, sizes and times of modification; of one that is gone, its path alone."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            about = path.stat()
            digest.update(f"{path}\0{about.st_size}\0{about.st_mtime_ns}\n".encode(errors="surrogateescape"))
        except OSError:
            digest.update(f"{path}\0\n".encode(errors="surrogateescape"))
    return digest.hexdigest()
