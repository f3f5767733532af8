"""Slots: how many jobs run side by side on this machine, and what share of it each one has.

Several single-threaded processes train small models faster than one process with several threads, so by
default every core is a slot of its own; where there are GPUs, every GPU is. A Trial that several processes train
together takes as many of them.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_TOPOLOGY = Path("/sys/devices/system/cpu")
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Slot:
    """A place in which one job runs at a time."""

    name: str
    threads: int
    """Threads that torch and BLAS may use."""
    gpu: str | None = None
    """What CUDA_VISIBLE_DEVICES is set to; None leaves it as it is."""
    processes: int = 1
    """That train one Trial together."""


def plan_slots(
    count: int | None = None, *, processes: int = 1, cores: int | None = None, gpus: Sequence[str] | None = None
) -> tuple[Slot, ...]:
    """The slots of this machine: ``count`` of them, else one for every ``processes`` GPUs, else for so many cores.

    Cores are shared out evenly, GPUs in turn. Raises ValueError for a count below one, and where there are GPUs, but
    fewer than ``processes``: no two processes of a Trial can compute on the same one.
    """
    if count is not None and count < 1:
        raise ValueError(f"at least one slot is needed, got {count}")
    cores = available_cores() if cores is None else cores
    gpus = visible_gpus() if gpus is None else gpus
    if 0 < len(gpus) < processes:
        raise ValueError(f"{processes} processes to a Trial need as many GPUs, and {len(gpus)} are visible")
    number = count or (len(gpus) or max(cores, processes)) // processes
    threads = max(1, cores // number)
    return tuple(Slot(f"slot{k}", threads, _gpus_of(k, processes, gpus), processes) for k in range(number))


def _gpus_of(index: int, processes: int, gpus: Sequence[str]) -> str | None:
    """The GPUs of a slot, as CUDA_VISIBLE_DEVICES names them; None where there are none."""
    places = range(index * processes, (index + 1) * processes)
    return ",".join(gpus[place % len(gpus)] for place in places) if gpus else None


def available_cores() -> int:
    """Physical cores that this process may use: its affinity, within its cgroup's quota; at least one."""
    count = getattr(os, "process_cpu_count", os.cpu_count)() or 1
    if hasattr(os, "sched_getaffinity"):
        count = min(count, _physical_cores(os.sched_getaffinity(0)))
    quota = _cgroup_quota(_CGROUP)
    return max(1, count if quota is None else min(count, int(quota)))


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that CUDA would see, as CUDA_VISIBLE_DEVICES names them; found without importing torch."""
    count = _installed_gpus()
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None or count == 0:
        return tuple(str(index) for index in range(count))
    names = [name.strip() for name in chosen.split(",") if name.strip()]
    end = next((i for i, name in enumerate(names) if name.startswith("-")), len(names))  # CUDA stops there too
    return tuple(names[:end])


def _installed_gpus() -> int:
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    if listing.returncode != 0:
        return 0
    return sum(line.startswith("GPU ") for line in listing.stdout.splitlines())


def _physical_cores(cpus: set[int], topology: Path = _TOPOLOGY) -> int:
    """Distinct cores behind logical CPUs; hyperthreads of one core count once."""
    siblings = set()
    for cpu in cpus:
        try:
            siblings.add((topology / f"cpu{cpu}" / "topology" / "thread_siblings_list").read_text().strip())
        except OSError:
            return len(cpus)
    return len(siblings)


def _cgroup_quota(root: Path) -> float | None:
    """CPUs that the container's quota allows (cgroup v2, then v1), or None where there is no limit."""
    try:
        quota, period = (root / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (root / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (root / "cpu" / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if quota in {"max", "-1"}:
        return None
    return float(quota) / float(period)
