"""Findings of earlier checks, by what they depend on; nothing here imports torch."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ablate.check.finding import Finding
from ablate.recipe import Data
from ablate.remembered import read_json
from ablate.study.fingerprint import fingerprint
from ablate.study.identity import digest, engine_revision, without_paths
from ablate.study.study import ResolvedRecipe, Study, Variant
from ablate.tracking.disk import write_atomically

#: What computes, and what judges it.
_SOURCES = ("draws.py", "models", "data", "training", "check")
#: The most that are kept: the oldest go first.
_KEPT = 2000


def key_of(study: Study, variant: Variant, nearest: Variant | None, folders: Path | None) -> str:
    """Digest of all that the finding of a Variant depends on.

    ``nearest`` is another beside which it is held, too. ``folders`` is where fingerprints of data folders are kept.
    Raises `ablate.parts.SourceError` where the source of a part of the user's own is gone.
    """
    near = [nearest] if nearest is not None else []
    sides = [side.recipe for side in (study.baseline, variant, *near)]
    return digest(
        {
            "recipes": [without_paths(side) for side in sides],
            "revisions": [engine_revision(side) for side in sides],
            "data": [_fingerprint(study, side, folders) for side in sides],
            "beside": [side.name for side in near],  # a finding names it
            "sources": sources_digest(),
            "torch": importlib.metadata.version("torch"),
        }
    )


def _fingerprint(study: Study, recipe: ResolvedRecipe, folders: Path | None) -> str:
    if recipe["data"]["source"] == study.baseline.recipe["data"]["source"]:
        return study.data_fingerprint
    data = Data.model_validate(recipe["data"])
    return fingerprint(data.source, data.location(), folders)


@cache
def sources_digest() -> str:
    """Digest of the files of this package that decide a finding."""
    root = Path(__file__).resolve().parent.parent
    content = hashlib.sha256()
    for name in _SOURCES:
        for file in sorted((root / name).rglob("*.py")) or [root / name]:
            content.update(f"{file.relative_to(root).as_posix()}\0".encode() + file.read_bytes())
    return content.hexdigest()


def finding_of(known: Mapping[str, Any], key: str) -> Finding | None:
    """The finding under a key, or None where there is none that can be read."""
    try:
        return Finding.from_json(known[key])
    except (KeyError, TypeError):
        return None


def write_known(path: Path | None, new: Mapping[str, Finding]) -> None:
    """Add findings to the file, in one piece; one that cannot be written costs the next check its time."""
    if path is None or not new:
        return
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        entries = read_json(path) | {key: finding.as_json() for key, finding in new.items()}
        kept = dict(list(entries.items())[-_KEPT:])
        write_atomically(path, json.dumps(kept, ensure_ascii=False))
