from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ablate.training import costs
from ablate.training.costs import FINAL, MEASURED, ROW, Costs, peak_memory_bytes, weight_norm

CPU = torch.device("cpu")


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Meter:
    """A meter that a test sets."""

    def __init__(self, joules: float | None = 0.0) -> None:
        self.value = joules
        self.asked = 0

    def joules(self) -> float | None:
        self.asked += 1
        return self.value


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(costs.time, "monotonic", clock)
    monkeypatch.setattr(costs, "peak_memory_bytes", lambda _: 5_000_000)
    return clock


def an_epoch(spending: Costs, clock: Clock, waits: list[float], update_s: float) -> None:
    """Batches that are waited for, and updates that take their time."""

    def batches() -> object:
        for wait in waits:
            clock.now += wait
            yield None

    for _ in spending.batches(batches()):
        clock.now += update_s


def test_time_is_told_by_what_it_was_spent_on(clock: Clock) -> None:
    """Each epoch has its own seconds and those that it waited for data; evaluation counts for the device alone."""
    spending = Costs(CPU)
    an_epoch(spending, clock, [1.0, 0.5], 2.0)
    clock.now += 4.0  # evaluation
    assert spending.row() == {"data_seconds": 1.5, "epoch_seconds": 5.5, "peak_memory_mb": 5.0}
    an_epoch(spending, clock, [0.25], 2.0)
    clock.now += 4.0
    assert spending.row() == {"data_seconds": 0.25, "epoch_seconds": 2.25, "peak_memory_mb": 5.0}
    final = spending.final()
    assert final == {
        "device_hours": pytest.approx((5.5 + 4.0 + 2.25 + 4.0) / 3600),
        "data_share": pytest.approx(1.75 / 7.75),
        "peak_memory_mb": 5.0,
    }


def test_every_process_costs_its_device(clock: Clock) -> None:
    """Four processes spend four device-seconds a second, and wait for data no longer than one."""
    spending = Costs(CPU, processes=4)
    an_epoch(spending, clock, [1.0], 8.0)
    assert spending.final()["device_hours"] == pytest.approx(4 * 9.0 / 3600)
    assert spending.row()["epoch_seconds"] == 9.0


def test_a_later_attempt_adds_to_what_earlier_ones_spent(clock: Clock) -> None:
    """Stopped within an epoch, its row and the final sums are those of both attempts; the pause costs nothing."""
    first = Costs(CPU, meter=Meter(7.0))
    stopped = first.batches([1, 2])
    next(stopped)
    clock.now += 2.0
    spent = json.loads(json.dumps(first.spent()))
    clock.now += 1000.0
    second = Costs(CPU, spent, processes=2, meter=Meter(5.0))
    an_epoch(second, clock, [0.5], 1.0)
    assert second.row() == {"data_seconds": 0.5, "epoch_seconds": 3.5, "peak_memory_mb": 5.0}
    final = second.final()
    assert final["device_hours"] == pytest.approx((2.0 + 2 * 1.5) / 3600)
    assert final["data_share"] == pytest.approx(0.5 / 3.5)
    assert final["energy_kwh"] == pytest.approx(12.0 / 3.6e6)


def test_the_epoch_ends_where_its_loop_is_left(clock: Clock) -> None:
    """What comes after an exception in the loop over batches is no part of the epoch."""
    spending = Costs(CPU)

    def broken() -> None:
        for _ in spending.batches([1, 2]):
            clock.now += 1.0
            raise InterruptedError

    with pytest.raises(InterruptedError):
        broken()
    clock.now += 8.0
    assert spending.row()["epoch_seconds"] == 1.0
    assert spending.final()["device_hours"] == pytest.approx(9.0 / 3600)


def test_what_a_checkpoint_was_told_stays_as_it_was(clock: Clock) -> None:
    """Spending more does not change what `spent` gave before."""
    spending = Costs(CPU)
    before = spending.spent()
    kept = dict(before)
    clock.now += 5.0
    spending.row()
    assert before == kept
    assert spending.spent()["device_seconds"] == 5.0


@pytest.mark.usefixtures("clock")
def test_energy_that_was_not_read_throughout_is_not_told() -> None:
    """A meter that fails, and an earlier attempt without one, leave the metric out, rather than a part of it."""
    assert "energy_kwh" not in Costs(CPU).final()
    assert "energy_kwh" not in Costs(CPU, meter=Meter(None)).final()
    without = Costs(CPU).spent()
    assert "energy_kwh" not in Costs(CPU, without, meter=Meter(3.0)).final()
    assert Costs(CPU, {}, meter=Meter(3.6e6)).final()["energy_kwh"] == 1.0
    lost = Costs(CPU, Costs(CPU, meter=Meter(1.0)).spent()).spent()
    assert "energy_kwh" not in Costs(CPU, lost, meter=Meter(3.0)).final()


def test_in_a_long_epoch_the_meter_is_read_now_and_then(clock: Clock) -> None:
    """A counter that starts again at zero is read twice a minute; not with every batch, as reading takes time."""
    meter = Meter()
    an_epoch(Costs(CPU, meter=meter), clock, [0.0] * 600, 1.0)
    assert 15 <= meter.asked <= 25


@pytest.mark.usefixtures("clock")
def test_names_are_told_apart_from_what_a_recipe_decides() -> None:
    """Every metric of a row and of the end is among those that differ from run to run."""
    spending = Costs(CPU, meter=Meter(1.0))
    for _ in spending.batches([1]):
        pass
    assert set(spending.row()) == set(ROW)
    assert set(spending.final()) | {"data_share"} == set(FINAL)
    assert set(ROW) | set(FINAL) == set(MEASURED)


#: In a process of its own: what another test has freed would be used again, and nothing would be seen to grow.
PEAK = """
from pathlib import Path
import torch
from ablate.training.costs import Costs, peak_memory_bytes
cpu = torch.device("cpu")
Costs(cpu)
before = peak_memory_bytes(cpu)
block = torch.ones(2**24)
del block
print(peak_memory_bytes(cpu) - before)
Costs(cpu)
print(peak_memory_bytes(cpu) - before)
"""


def test_the_peak_is_of_this_training_and_outlives_what_was_freed() -> None:
    """64 MiB that were in use for a moment raise the peak by as much, to 8 MiB; the next training starts below."""
    done = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True)
    held, next_time = map(int, done.stdout.split())
    assert held == pytest.approx(2**26, abs=2**23)
    if Path("/proc/self/clear_refs").exists():
        assert next_time < 2**25


def test_without_linux_the_peak_is_the_systems(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where /proc is not there, the largest resident set that the system knows of is taken: KiB, or bytes on a Mac."""
    monkeypatch.setattr(costs, "_PROCESS", tmp_path / "missing")
    known = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    monkeypatch.setattr(costs.sys, "platform", "darwin")
    assert peak_memory_bytes(CPU) == pytest.approx(known, rel=0.01)
    monkeypatch.setattr(costs.sys, "platform", "linux")
    assert peak_memory_bytes(CPU) == pytest.approx(1024 * known, rel=0.01)
    Costs(CPU).final()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no accelerator")
def test_on_an_accelerator_the_peak_is_that_of_tensors() -> None:
    """256 MiB that were in use for a moment raise it by as much, and a new training begins without them."""
    device = torch.device("cuda", 0)
    Costs(device)
    before = peak_memory_bytes(device)
    block = torch.ones(2**26, device=device)
    del block
    assert peak_memory_bytes(device) - before == 2**28
    Costs(device)
    assert peak_memory_bytes(device) == before


def test_the_norm_is_that_of_all_weights_as_one_vector() -> None:
    """To a relative 1e-6 of numpy's in float64; it has no gradient."""
    model = nn.Sequential(nn.Linear(7, 5), nn.Linear(5, 3))
    vector = np.concatenate([p.detach().double().numpy().ravel() for p in model.parameters()])
    norm = weight_norm(model.parameters())
    assert norm.item() == pytest.approx(np.linalg.norm(vector), rel=1e-6)
    assert not norm.requires_grad
