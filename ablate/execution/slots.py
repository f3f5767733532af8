"""Slots: how many jobs run side by side on this machine, and what share of it each one has.

Several single-threaded processes train small models faster than one process with several threads, so by
default every core is a slot of its own; where there are GPUs, every GPU is. A Trial that several processes train
together takes as many of them, and small Trials can share one.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ablate.execution.gpus import CONTEXT_GB, GpuMemory, gpu_memory
from ablate.execution.gpus import visible_gpus as visible_gpus

#: What Trials that share a GPU leave of its free memory, as a share.
_HEADROOM = 0.1
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
    gpu_share: float | None = None
    """Of its GPU's memory, that torch may take; None for a GPU of its own."""


def plan_slots(
    count: int | None = None,
    *,
    processes: int = 1,
    cores: int | None = None,
    gpus: Sequence[str] | None = None,
    trials_per_gpu: int | None = None,
    gpu_memory_gb: float | None = None,
) -> tuple[Slot, ...]:
    """The slots of this machine: ``count`` of them, else one for every ``processes`` GPUs, else for so many cores.

    Cores are shared out evenly, GPUs in turn. With ``trials_per_gpu``, or with the ``gpu_memory_gb`` that a process
    of a Trial takes (GB of 1e9 bytes, CUDA's context included), a GPU has several slots: as many as asked for, and
    no more than fit into nine tenths of what is free of it now, but one at least where all of it would be enough.

    Slots that share a GPU are given equal shares of its memory (`Slot.gpu_share`). torch's caching allocator takes what
    tensors need and no more, but keeps it until the process ends: without a limit the first slot to train a large
    Trial would leave the others without room. Above its share a Trial runs out of memory, and the built-in trainer
    goes on in smaller pieces.

    Raises ValueError for what cannot be: a count below one or above what the GPUs take, fewer GPUs than ``processes``
    (no two processes of a Trial can compute on the same one), a Trial for which no GPU has the memory.
    """
    for name, value in (("slot", count), ("Trial to a GPU", trials_per_gpu)):
        if value is not None and value < 1:
            raise ValueError(f"at least one {name} is needed, got {value}")
    cores = available_cores() if cores is None else cores
    gpus = visible_gpus() if gpus is None else gpus
    if trials_per_gpu is None and gpu_memory_gb is None:
        _check_processes(processes, gpus)
        number = count or (len(gpus) or max(cores, processes)) // processes
        places = [_gpus_of(k, processes, gpus) for k in range(number)]
    elif processes > 1:
        raise ValueError(f"{processes} processes to a Trial need whole GPUs of their own: Trials cannot share them")
    elif not gpus:
        raise ValueError("Trials cannot share GPUs: none is visible")
    else:
        shared = _shared(gpus, trials_per_gpu, gpu_memory_gb)
        if count is not None and count > len(shared):
            raise ValueError(f"{count} slots do not fit: the GPUs take {len(shared)} Trials side by side")
        places = [*shared[:count]]
    threads = max(1, cores // len(places))
    slots = [Slot(f"slot{k}", threads, place, processes) for k, place in enumerate(places)]
    return tuple(slots if processes > 1 else _with_shares(slots))


def _check_processes(processes: int, gpus: Sequence[str]) -> None:
    if 0 < len(gpus) < processes:
        raise ValueError(f"{processes} processes to a Trial need as many GPUs, and {len(gpus)} are visible")
    if processes > 1 and any(name.startswith("MIG-") for name in gpus):
        raise ValueError(f"{processes} processes to a Trial need whole GPUs, and these are parts of divided ones (MIG)")


def _shared(gpus: Sequence[str], most: int | None, need_gb: float | None) -> list[str]:
    """The GPU of each slot, the GPUs in turn."""
    takes = [most or 1] * len(gpus)
    if need_gb is not None:
        takes = [min(fit, most or fit) for fit in _fitting(gpus, need_gb)]
    return [gpu for turn in range(max(takes)) for gpu, number in zip(gpus, takes, strict=True) if turn < number]


def _fitting(gpus: Sequence[str], need_gb: float) -> list[int]:
    """How many Trials fit into each GPU. Raises ValueError where one fits into none, or no memory is told."""
    if need_gb <= 0:
        raise ValueError(f"the memory that a Trial takes must be above zero, got {need_gb:g} GB")
    known = [memory for memory in gpu_memory(gpus) if memory is not None]
    if len(known) < len(gpus):
        raise ValueError("nvidia-smi does not tell how much memory the GPUs have: say how many Trials share one")
    fitting = [max(_usable(memory.free) // need_gb, int(need_gb <= _usable(memory.total))) for memory in known]
    if not any(fitting):
        largest = max(memory.total for memory in known)
        raise ValueError(f"a Trial takes {need_gb:.3g} GB, and the largest GPU has {largest:.3g} GB")
    return list(map(int, fitting))


def _usable(gb: float) -> float:
    return gb * (1 - _HEADROOM)


def _with_shares(slots: Sequence[Slot]) -> list[Slot]:
    """The slots, of which those with one GPU share its free memory equally."""
    together = Counter(slot.gpu for slot in slots if slot.gpu is not None)
    crowded = [gpu for gpu, number in together.items() if number > 1]
    if not crowded:
        return list(slots)
    shares = {gpu: _share(gpu, together[gpu], memory) for gpu, memory in zip(crowded, gpu_memory(crowded), strict=True)}
    return [replace(slot, gpu_share=shares.get(slot.gpu or "")) for slot in slots]


def _share(gpu: str, number: int, memory: GpuMemory | None) -> float:
    """What torch may take of a GPU's whole memory in each of so many processes."""
    if memory is None:
        return round((1 - _HEADROOM) / number, 4)
    each = _usable(memory.free) / number - CONTEXT_GB
    if each <= 0:
        raise ValueError(f"{number} Trials do not fit into GPU {gpu}, of which {memory.free:.3g} GB are free")
    return round(each / memory.total, 4)


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
