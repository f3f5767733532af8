from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import pytest
import torch

from ablate.training import energy
from ablate.training.energy import GpuMeter, PackageMeter, energy_meter

LARGEST = 262_143_328_850
CPU = torch.device("cpu")


def zone(tree: Path, path: str, name: str, microjoules: int) -> Path:
    """One domain of Linux's powercap tree, as the kernel's documentation (power/powercap) lays it out."""
    folder = tree / path
    folder.mkdir()
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    (folder / "max_energy_range_uj").write_text(f"{LARGEST}\n")
    return folder


def count(folder: Path, microjoules: int) -> None:
    (folder / "energy_uj").write_text(f"{microjoules}\n")


def test_packages_are_added_and_nothing_is_counted_twice(tmp_path: Path) -> None:
    """Of two sockets both count; their cores, memory, and the whole platform's domain do not."""
    first = zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    second = zone(tmp_path, "intel-rapl:1", "package-1", 5_000_000)
    others = [
        zone(tmp_path, "intel-rapl:0:0", "core", 0),
        zone(tmp_path, "intel-rapl:0:1", "dram", 0),
        zone(tmp_path, "intel-rapl:2", "psys", 0),
        zone(tmp_path, "intel-rapl-mmio:0", "package-0", 0),
    ]
    (tmp_path / "intel-rapl").mkdir()
    meter = PackageMeter(tmp_path)
    assert meter.joules() == 0.0
    count(first, 3_500_000)
    count(second, 6_000_000)
    for other in others:
        count(other, 900_000_000)
    assert meter.joules() == 3.5


def test_a_counter_may_start_again_at_zero(tmp_path: Path) -> None:
    """Near its largest value, and then small: what lies between, over the edge, was used; twice as well."""
    package = zone(tmp_path, "intel-rapl:0", "package-0", LARGEST - 2_000_000)
    meter = PackageMeter(tmp_path)
    count(package, 1_000_000)
    assert meter.joules() == 3.0
    count(package, LARGEST - 1_000_000)
    meter.joules()
    count(package, 0)
    assert meter.joules() == pytest.approx(LARGEST / 1e6 + 2.0)


def test_readings_too_far_apart_tell_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a gap in which a counter may have started again more than once, there is no number any more."""
    now = [0.0]
    monkeypatch.setattr(energy.time, "monotonic", lambda: now[0])
    package = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    meter = PackageMeter(tmp_path)
    now[0] += 500.0
    count(package, 1_000_000)
    assert meter.joules() == 1.0
    now[0] += 700.0
    assert meter.joules() is None
    assert meter.joules() is None


@pytest.mark.parametrize("fault", ["gone", "text", "no_range", "one_of_two"])
def test_what_cannot_be_read_is_not_guessed(tmp_path: Path, fault: str) -> None:
    """A counter that is missing or not a number leaves nothing, now and later, even where another one can be read."""
    package = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    meter = PackageMeter(tmp_path)
    if fault == "gone":
        (package / "energy_uj").unlink()
    elif fault == "text":
        (package / "energy_uj").write_text("broken")
    elif fault == "no_range":
        (package / "max_energy_range_uj").unlink()
    else:
        (zone(tmp_path, "intel-rapl:1", "package-1", 0) / "energy_uj").unlink()
        meter = PackageMeter(tmp_path)
    assert meter.joules() is None
    count(package, 1_000_000)
    (package / "max_energy_range_uj").write_text(f"{LARGEST}\n")
    assert meter.joules() is None


def test_a_machine_without_counters_has_no_meter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No powercap tree, an empty one, or one that is only the administrator's to read: None."""
    monkeypatch.setattr(PackageMeter.__init__, "__defaults__", (tmp_path / "missing",))
    assert energy_meter(CPU) is None
    monkeypatch.setattr(PackageMeter.__init__, "__defaults__", (tmp_path,))
    assert energy_meter(CPU) is None
    zone(tmp_path, "intel-rapl:0", "package-0", 0)
    assert energy_meter(CPU) is not None
    reading = Path.read_text

    def forbidden(path: Path, *arguments: Any) -> str:
        if path.name == "energy_uj":
            raise PermissionError
        return reading(path, *arguments)

    monkeypatch.setattr(Path, "read_text", forbidden)
    assert energy_meter(CPU) is None


class Nvml:
    """NVML as its reference describes it: handles by UUID, and millijoules since the driver was loaded."""

    def __init__(self, millijoules: dict[str, int]) -> None:
        self.millijoules = millijoules
        self.failing = 0

    def nvmlInit_v2(self) -> int:
        return 0

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes, handle: Any) -> int:
        known = list(self.millijoules)
        if uuid.decode() not in known:
            return 6  # NVML_ERROR_NOT_FOUND
        ctypes.cast(handle, ctypes.POINTER(ctypes.c_void_p))[0] = 1 + known.index(uuid.decode())
        return 0

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: Any, value: Any) -> int:
        name = list(self.millijoules)[handle.value - 1]
        ctypes.cast(value, ctypes.POINTER(ctypes.c_ulonglong))[0] = self.millijoules[name]
        return self.failing


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Nvml:
    library = Nvml({"GPU-a": 10_000_000_000_000, "GPU-b": 2_000})
    monkeypatch.setattr(energy.ctypes, "CDLL", lambda name: library)
    return library


def test_gpus_count_from_the_start_of_the_meter(nvml: Nvml) -> None:
    """Of two GPUs, what each used since then, in joules, beyond 32 bits as well."""
    both, one = GpuMeter(["GPU-a", "GPU-b"]), GpuMeter(["GPU-b"])
    nvml.millijoules["GPU-a"] += 7_000_000_000
    nvml.millijoules["GPU-b"] += 500
    assert both.joules() == pytest.approx(7_000_000.5)
    assert one.joules() == 0.5


@pytest.mark.parametrize("fault", ["unknown", "old", "restarted"])
def test_a_gpu_that_does_not_tell_is_not_guessed(nvml: Nvml, fault: str) -> None:
    """One that NVML does not know (a part of one, MIG), one from before it counted, one whose driver was restarted."""
    meter = GpuMeter(["GPU-c"] if fault == "unknown" else ["GPU-b"])
    nvml.failing = 3 if fault == "old" else 0
    if fault == "restarted":
        nvml.millijoules["GPU-b"] = 0
    assert meter.joules() is None
    nvml.millijoules["GPU-b"] = 10**9
    nvml.failing = 0
    assert meter.joules() is None


def test_without_nvidias_driver_there_is_no_meter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that is not there is no error."""

    def missing(name: str) -> Any:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(energy.ctypes, "CDLL", missing)
    assert GpuMeter(["GPU-a"]).joules() is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no accelerator")
def test_a_gpu_at_work_uses_energy() -> None:
    """Between 1 J and 10 kJ for a second or so of matrix products, where NVML tells."""
    device = torch.device("cuda", 0)
    meter = energy_meter(device)
    if meter is None:
        pytest.skip("NVML does not tell this GPU's energy")
    a = torch.randn(4096, 4096, device=device)
    for _ in range(500):
        a = torch.nn.functional.normalize(a @ a)
    torch.cuda.synchronize()
    used = meter.joules()
    assert used is not None
    assert 1.0 < used < 10_000.0
