"""The energy that a device has used, from the counters that machines have; where there is none, nothing is said.

A GPU has one of its own (NVML, since Volta). A CPU's (RAPL, by way of Linux's powercap) are those of its packages,
memory left out; many machines let only their administrator read them. Both count all that runs on the device.
What no counter says is never guessed from a power and a time.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

_POWERCAP = Path("/sys/class/powercap")
_NVML = "libnvidia-ml.so.1"
#: A package's counter starts again at zero after some 2.6e5 J: between two readings so far apart, at 400 W, it may
#: have done so twice.
_SURE_S = 600.0


class EnergyMeter(Protocol):
    """Counts what is used from the moment it is made."""

    def joules(self) -> float | None:
        """Used so far; None for ever where one reading failed."""
        ...


def energy_meter(device: torch.device) -> EnergyMeter | None:
    """The meter of the accelerator or, for a CPU, of all CPU packages of the machine; None where none can be read.

    A process sees no more than its own GPU: who trains with several makes a `GpuMeter` of all of them.
    """
    meter = GpuMeter([gpu_uuid(device)]) if device.type == "cuda" else PackageMeter()
    return None if meter.joules() is None else meter


def gpu_uuid(device: torch.device) -> str:
    """What NVML calls a GPU, whatever of the machine's is visible to this process."""
    return f"GPU-{torch.cuda.get_device_properties(device).uuid}"


class PackageMeter:
    """Of all CPU packages, from Linux's powercap tree."""

    def __init__(self, tree: Path = _POWERCAP) -> None:
        self._packages = [Package(zone) for zone in _packages(tree)]

    def joules(self) -> float | None:
        """See `EnergyMeter`."""
        return _sum([package.joules() for package in self._packages])


class Package:
    """One CPU package's counter: microjoules, up to a largest value after which it starts again at zero."""

    def __init__(self, zone: Path) -> None:
        self._zone = zone
        self._used = 0
        self._read_s = time.monotonic()
        self._counter = self._read()

    def joules(self) -> float | None:
        """See `EnergyMeter`; None as well where two readings were too far apart to tell how often it started again."""
        before, before_s = self._counter, self._read_s
        self._read_s = time.monotonic()
        self._counter = None if before is None or self._read_s - before_s > _SURE_S else self._read()
        largest = _number(self._zone / "max_energy_range_uj")
        if before is None or self._counter is None or largest is None:
            self._counter = None
            return None
        self._used += self._counter - before + (largest if self._counter < before else 0)
        return self._used / 1e6

    def _read(self) -> int | None:
        return _number(self._zone / "energy_uj")


class GpuMeter:
    """Of GPUs of this machine, by their NVML names, from the NVML library that comes with NVIDIA's driver."""

    def __init__(self, uuids: Sequence[str]) -> None:
        self._uuids = uuids
        self._nvml = _load_nvml()
        self._start = self._counter()

    def joules(self) -> float | None:
        """See `EnergyMeter`."""
        now = None if self._start is None else self._counter()
        if now is None or self._start is None or now < self._start:
            self._start = None
            return None
        return now - self._start

    def _counter(self) -> float | None:
        """Joules since the driver was loaded."""
        return None if self._nvml is None else _sum([_gpu_joules(self._nvml, uuid) for uuid in self._uuids])


def _packages(tree: Path) -> list[Path]:
    """The zones of whole packages. Those within them, and that of the whole platform, would count the same again."""
    zones = sorted(tree.glob("intel-rapl:*"))  # AMD's have this name as well
    return [zone for zone in zones if _name(zone).startswith("package")]


def _name(zone: Path) -> str:
    try:
        return (zone / "name").read_text()
    except OSError:
        return ""


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _load_nvml() -> Any:
    try:
        library = ctypes.CDLL(_NVML)
        return None if library.nvmlInit_v2() else library
    except (OSError, AttributeError):
        return None


def _gpu_joules(nvml: Any, uuid: str) -> float | None:
    handle, millijoules = ctypes.c_void_p(), ctypes.c_ulonglong()
    try:
        failed = nvml.nvmlDeviceGetHandleByUUID(uuid.encode(), ctypes.byref(handle))
        failed = failed or nvml.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(millijoules))
    except AttributeError:  # a driver from before these functions
        return None
    return None if failed else millijoules.value / 1e3


def _sum(values: Sequence[float | None]) -> float | None:
    """Of all counters; None where one is silent, or there is none."""
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None
