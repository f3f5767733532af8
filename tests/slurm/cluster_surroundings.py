"""What the private Slurm takes from the machine around it: an environment, free ports, and patience."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

SEARCH_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
LEAKS = ("SLURM_", "SLURMD_", "SBATCH_", "SRUN_", "SALLOC_", "SACCT_", "SQUEUE_", "SCANCEL_", "SINFO_")


def wait(condition: Callable[[], object], timeout_s: float, what: str) -> None:
    """Asks every 0.05 s whether a condition holds.

    Raises:
        RuntimeError: It did not in time.
    """
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"waited {timeout_s:.0f} s in vain for {what}")
        time.sleep(0.05)


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without what a surrounding Slurm job left in it."""
    return {name: value for name, value in environment.items() if not name.startswith(LEAKS)}


def free_ports(count: int) -> tuple[int, ...]:
    """Free ports, below those that the kernel gives to outgoing connections."""
    found: list[int] = []
    for port in random.SystemRandom().sample(range(20_000, 32_000), 1000):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("", port))
            found.append(port)
        if len(found) == count:
            return tuple(found)
    raise RuntimeError(f"no {count} free ports")
