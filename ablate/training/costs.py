"""What a training spends: time, time spent waiting for data, memory, and energy where it can be read."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from ablate.training.energy import EnergyMeter

#: Reported after each epoch.
ROW = ("data_seconds", "epoch_seconds", "peak_memory_mb")
#: Among the final metrics; each of the last two only where it is known.
FINAL = ("device_hours", "peak_memory_mb", "data_share", "energy_kwh")
#: All of them measure the machine and not the Recipe: they differ from run to run.
MEASURED = tuple(dict.fromkeys(ROW + FINAL))

_PROCESS = Path("/proc/self")
#: Counters of energy start again at zero: none is left unread for longer than this while there are updates.
_LOOK_EVERY_S = 30.0
T = TypeVar("T")


class Costs:
    """What this attempt spends, added to what earlier ones had spent when they wrote their last checkpoint.

    What an attempt spends after its last checkpoint, until it is killed, is not known to those after it. Seconds are
    the wall clock's, from the moment that a `Costs` is made; the device's are those of each process, whether or not it
    computes at the time. The energy is what its meter counts, and is not told where an earlier attempt could not read
    one. Memory is this process's alone: the most that tensors took on an accelerator, or of which the machine's memory
    held anything at all for a CPU.
    """

    def __init__(
        self,
        device: torch.device,
        spent: Mapping[str, float] | None = None,
        processes: int = 1,
        meter: EnergyMeter | None = None,
    ) -> None:
        """``spent`` is what `spent` gave to the checkpoint; ``processes`` train together, each on a device.

        ``meter`` counts for the devices of all of them, or is None.
        """
        self._device = device
        self._processes = processes
        known = spent is None or not spent or "joules" in spent
        self._meter = meter if known else None
        self._spent = dict(spent or {})
        self._joules_before = self._spent.pop("joules", 0.0)
        self._looked = time.monotonic()
        self._in_epoch = False
        _forget_peak_memory(device)

    def batches(self, batches: Iterable[T]) -> Iterator[T]:
        """Hand on the batches of an epoch, and count how long each is waited for, and the epoch until its last one.

        The time is the process's: where an accelerator still computes what it was given, it waits for less.
        """
        self._look()
        self._in_epoch = True
        iterator = iter(batches)
        try:
            while True:
                asked = time.monotonic()
                try:
                    batch = next(iterator)
                except StopIteration:
                    return
                arrived = time.monotonic()
                self._add(arrived - asked, "data_seconds", "epoch_data_seconds")
                if arrived - self._looked > _LOOK_EVERY_S:
                    self._look()
                yield batch
        finally:
            self._look()
            self._in_epoch = False

    def row(self) -> dict[str, float]:
        """Of the epoch that has ended, in all attempts, the metrics of `ROW`; what comes counts for the next.

        Megabytes are 1e6 bytes; the peak is that of the training so far.
        """
        self._look()
        seconds, data = self._spent.pop("epoch_seconds", 0.0), self._spent.pop("epoch_data_seconds", 0.0)
        return {"data_seconds": data, "epoch_seconds": seconds, "peak_memory_mb": self._spent["peak_memory_mb"]}

    def final(self) -> dict[str, float]:
        """The metrics of `FINAL`: ``data_share`` is that of the epochs' time, evaluation left out."""
        spent = self.spent()
        metrics = {"device_hours": spent["device_seconds"] / 3600.0, "peak_memory_mb": spent["peak_memory_mb"]}
        if training := spent.get("training_seconds"):
            metrics["data_share"] = spent.get("data_seconds", 0.0) / training
        if "joules" in spent:
            metrics["energy_kwh"] = spent["joules"] / 3.6e6
        return metrics

    def spent(self) -> dict[str, float]:
        """All so far, for the checkpoint."""
        joules = self._look()
        return dict(self._spent) if joules is None else self._spent | {"joules": self._joules_before + joules}

    def _look(self) -> float | None:
        """Add the time since the last look, and look at the other meters; the joules of this attempt, if known."""
        now = time.monotonic()
        self._add((now - self._looked) * self._processes, "device_seconds")
        if self._in_epoch:
            self._add(now - self._looked, "training_seconds", "epoch_seconds")
        self._looked = now
        peak = peak_memory_bytes(self._device) / 1e6
        self._spent["peak_memory_mb"] = max(peak, self._spent.get("peak_memory_mb", 0.0))
        return None if self._meter is None else self._meter.joules()

    def _add(self, seconds: float, *names: str) -> None:
        for name in names:
            self._spent[name] = self._spent.get(name, 0.0) + seconds


def peak_memory_bytes(device: torch.device) -> int:
    """The most that tensors took on the accelerator, or that this process had in the machine's memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    # On Linux ru_maxrss may be that of the process that started this one.
    with suppress(OSError):
        for line in (_PROCESS / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


def weight_norm(parameters: Iterable[Tensor]) -> Tensor:
    """The global L2 norm of all parameters, a scalar on their device, without a gradient."""
    return torch.nn.utils.get_total_norm([parameter.detach() for parameter in parameters])


def _forget_peak_memory(device: torch.device) -> None:
    """Let the peak start at what is in use: a process may have trained another Trial before."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):  # no Linux, or not permitted: the peak is the process's then
        (_PROCESS / "clear_refs").write_text("5")
