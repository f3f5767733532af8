"""From whom a vision Recipe learns: the checkpoint that it names, and what is in it where that is a file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ablate.places import data_path
from ablate.study.fingerprint import ABSENT, digest_kept

STUDY, TRIAL, FILE = "study:", "trial:", "file:"
#: The field of a Recipe that names its teacher's checkpoint.
FIELD = "distillation.teacher.checkpoint"


def checkpoint_of(recipe: Mapping[str, Any]) -> str:
    """The checkpoint that a resolved vision Recipe learns from; empty where it learns from none."""
    distillation = recipe["distillation"]
    return str(distillation["teacher"]["checkpoint"]) if isinstance(distillation, Mapping) else ""


def with_checkpoint(recipe: Mapping[str, Any], checkpoint: str) -> dict[str, Any]:
    """The Recipe of one that learns, with another checkpoint."""
    distillation = recipe["distillation"]
    teacher = {**distillation["teacher"], "checkpoint": checkpoint}
    return {**recipe, "distillation": {**distillation, "teacher": teacher}}


def weights_file(checkpoint: str) -> Path | None:
    """The file behind `file:PATH`, else None.

    A relative path starts at `$ABLATE_DATA`, or at the working folder where that is not set, as a data source's does.
    """
    if not checkpoint.startswith(FILE):
        return None
    return data_path(checkpoint.removeprefix(FILE))


def weights_digest(checkpoint: str, cache: Path | None = None) -> str:
    """SHA-256 of the file behind `file:PATH`, `ABSENT` where it is not on this machine, empty for other checkpoints.

    ``cache`` is a JSON file that keeps it for as long as the file keeps its size and modification time.
    """
    file = weights_file(checkpoint)
    if file is None:
        return ""

    def digest() -> str:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()

    try:
        status = file.stat()
        return digest_kept(str(file.resolve()), f"{status.st_size}:{status.st_mtime_ns}", digest, cache)
    except OSError:
        return ABSENT
