"""The GPUs of this machine: which CUDA would see and how much memory they have, found without importing torch.

Memory is given in GB of 1e9 bytes.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ablate.tracking.record import Record

#: What a process takes of a GPU beside torch's tensors, GB: CUDA's context, and the libraries' code and handles.
CONTEXT_GB = 0.6
#: What torch's caching allocator holds, over the most that tensors took: blocks that were cut up and do not fit.
_HELD_OVER_USED = 1.2
_TIMEOUT_S = 20.0
_QUERY = ("--query-gpu=index,uuid,memory.total,memory.free", "--format=csv,noheader,nounits")
_GPU = re.compile(r"GPU (?P<index>\d+): .*\(UUID: (?P<uuid>[^)]+)\)")
_MIG = re.compile(r"\s+MIG (?:\S*?\.(?P<gb>\d+)gb)?.*\(UUID: (?P<uuid>[^)]+)\)")


@dataclass(frozen=True)
class GpuMemory:
    """Of one GPU, GB."""

    total: float
    free: float


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that CUDA would see, as CUDA_VISIBLE_DEVICES names them.

    Where GPUs are divided (MIG), their parts, by UUID: a process can use one of them.
    """
    there = _listed()
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None or not there:
        return there
    names = [name.strip() for name in chosen.split(",") if name.strip()]
    end = next((i for i, name in enumerate(names) if name.startswith("-")), len(names))  # CUDA stops there too
    return tuple(names[:end])


def gpu_memory(names: Sequence[str]) -> list[GpuMemory | None]:
    """The memory of GPUs that are named by index or UUID, or by the beginning of it; None where it is not told.

    A part of a divided GPU counts as free: what is used of it is not listed.
    """
    known: dict[str, GpuMemory] = {}
    for line in _nvidia_smi(*_QUERY):
        index, uuid, *sizes = (word.strip() for word in line.split(","))
        if all(size.isdigit() for size in sizes):  # else "[N/A]"
            known[index] = known[uuid] = GpuMemory(*(int(size) * 1024**2 / 1e9 for size in sizes))
    for line in _nvidia_smi("-L"):
        if (part := _MIG.match(line)) and part["gb"]:
            known[part["uuid"]] = GpuMemory(float(part["gb"]), float(part["gb"]))
    return [_named(name, known) for name in names]


def measured_memory_gb(records: Iterable[Record]) -> float | None:
    """What a process takes of a GPU for one of these Trials, GB: the most that finished ones took; None where none did.

    Trials that several processes trained together do not count, nor do those of a CPU, whose peak is another memory's.
    """
    peaks = [
        record.metrics["peak_memory_mb"] / 1e3
        for record in records
        if record.status == "finished"
        and "peak_memory_mb" in record.metrics
        and "gpu" in record.environment
        and record.environment.get("processes", "1") == "1"
    ]
    return max(peaks) * _HELD_OVER_USED + CONTEXT_GB if peaks else None


def gpu_in_use() -> dict[str, str]:
    """For a Record's environment: the name of the GPU on which this process computes; empty where it does not."""
    torch = sys.modules.get("torch")
    return {"gpu": torch.cuda.get_device_name()} if torch is not None and torch.cuda.is_initialized() else {}


def _named(name: str, known: dict[str, GpuMemory]) -> GpuMemory | None:
    if name in known or name.isdigit():
        return known.get(name)
    return next((memory for uuid, memory in known.items() if uuid.startswith(name)), None)


def _listed() -> tuple[str, ...]:
    """All GPUs by index; all by UUID where one is divided, since CUDA then counts otherwise."""
    gpus: list[re.Match[str]] = []
    parts: dict[str, list[str]] = {}
    for line in _nvidia_smi("-L"):
        if gpu := _GPU.match(line):
            gpus.append(gpu)
        elif gpus and (part := _MIG.match(line)):
            parts.setdefault(gpus[-1]["uuid"], []).append(part["uuid"])
    if not parts:
        return tuple(gpu["index"] for gpu in gpus)
    return tuple(name for gpu in gpus for name in parts.get(gpu["uuid"], [gpu["uuid"]]))


def _nvidia_smi(*arguments: str) -> list[str]:
    """The lines it prints; none where there is no driver."""
    try:
        answer = subprocess.run(
            ["nvidia-smi", *arguments], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return answer.stdout.splitlines() if answer.returncode == 0 else []
