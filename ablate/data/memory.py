"""How much memory decoded images may fill."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from ablate.data.errors import DataError

MEMORY_VARIABLE = "ABLATE_MEMORY_GB"
"""Gigabytes (10^9 bytes) of decoded images that a process may keep; 0 keeps none."""
_SHARE = 4
"""By default a quarter of what is available: reading ahead, and the system's own cache of files, need some too."""
_PROC = Path("/proc")
_CGROUP = Path("/sys/fs/cgroup")


def memory_budget() -> int:
    """Bytes of decoded images that this process may keep, by `$ABLATE_MEMORY_GB` or a share of what is available.

    A process that computes with a part of the machine's cores is one of several, and takes that part of the memory:
    this is how jobs are given their slots. Raises `DataError` where the variable is no number.
    """
    given = os.environ.get(MEMORY_VARIABLE)
    if given is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return available_memory() * min(torch.get_num_threads(), cores) // cores // _SHARE
    try:
        gigabytes = float(given)
    except ValueError:
        gigabytes = -1.0
    if not 0.0 <= gigabytes < float("inf"):
        raise DataError(f"${MEMORY_VARIABLE} must be a number of gigabytes, not {given!r}")
    return int(gigabytes * 1e9)


def available_memory(proc: Path = _PROC, cgroup: Path = _CGROUP) -> int:
    """Bytes that may be used before the machine swaps or the job's limit is reached; 0 where it cannot be known."""
    lines = _text(proc / "meminfo").splitlines()
    free = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), 0)
    return min([free, *_limits(proc, cgroup)])


def _limits(proc: Path, cgroup: Path) -> list[int]:
    """What the process's control groups, and those above them, still allow it (version 2, then 1), bytes."""
    limits = []
    for line in _text(proc / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, limit, used = cgroup, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            root, limit, used = cgroup / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        place = Path(path.lstrip("/"))
        limits += [_left(root / folder, limit, used) for folder in (place, *place.parents)]
    return [limit for limit in limits if limit is not None]


def _left(group: Path, limit: str, used: str) -> int | None:
    """What a control group's limit leaves, with the files that it could forget; None where it has no limit."""
    allowed = _text(group / limit).strip()
    if not allowed.isdigit():
        return None
    stat = dict(line.split(maxsplit=1) for line in _text(group / "memory.stat").splitlines() if " " in line)
    taken = int(_text(group / used).strip() or 0) - int(stat.get("inactive_file", 0))
    return max(0, int(allowed) - max(0, taken))


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
