"""The cores and GPUs of this machine."""

from __future__ import annotations

import os

from ablate.doctor.asking import NoAnswer, ask
from ablate.doctor.finding import Finding, Subject
from ablate.doctor.python import driver_says
from ablate.execution.slots import available_cores, visible_gpus


def cores(_: Subject) -> Finding:
    """How many cores Trials may use here, beside how many the machine has."""
    usable, there = available_cores(), os.cpu_count() or 1
    cut = f"; the machine counts {there} (hyperthreads, a cgroup's quota or an affinity)" if usable < there else ""
    return Finding("CPU cores", "ok", f"{usable} usable{cut}")


def gpus(_: Subject) -> Finding:
    """The GPUs of the driver, and those that CUDA_VISIBLE_DEVICES leaves."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    driver = driver_says()
    if driver is None:
        return _none(chosen)
    names = driver[0]
    visible = visible_gpus()
    says = ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))
    if chosen is None:
        return Finding("GPUs", "ok", says)
    says += f"; CUDA_VISIBLE_DEVICES={chosen!r} leaves {len(visible)} of them"
    absent = [name for name in visible if name.isdigit() and int(name) >= len(names)]
    if absent or not visible:
        advice = "unset CUDA_VISIBLE_DEVICES, or name GPUs that are there"
        return Finding("GPUs", "problem" if absent else "warning", says, advice)
    return Finding("GPUs", "ok", says)


def _none(chosen: str | None) -> Finding:
    try:
        answer = ask("nvidia-smi", "-L")
    except NoAnswer:
        left = f", though CUDA_VISIBLE_DEVICES is {chosen!r}" if chosen else ""
        return Finding("GPUs", "not here", f"no NVIDIA driver (nvidia-smi) here{left}: Trials train on the CPU")
    if answer.status == 0:
        return Finding("GPUs", "not here", "the NVIDIA driver lists no GPU: Trials train on the CPU")
    says = f"the NVIDIA driver does not work: {answer.words}"
    return Finding("GPUs", "problem", says, "ask the machine's administrator: driver and kernel module must agree")
