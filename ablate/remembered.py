"""Files that only save time: what was found out once, as JSON, kept for as long as it can be read."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any


def read_json(path: Path | None) -> dict[str, Any]:
    """What was written there; nothing where there is no such file, or it is torn by a crash."""
    if path is None:
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Replace the file at once, or leave it where it cannot be written: the disk may be full or read-only."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with contextlib.suppress(OSError):
        temporary.write_text(json.dumps(content), encoding="utf-8")
        temporary.replace(path)
