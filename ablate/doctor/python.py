"""Python, the packages that ablate needs, and torch."""

from __future__ import annotations

import json
import platform
import re
import sys
from importlib import metadata
from typing import Any

from ablate.doctor.asking import NoAnswer, ask
from ablate.doctor.finding import Finding, Subject
from ablate.execution.slots import visible_gpus

#: How long torch may take to be imported from a slow folder, s.
_TORCH_S = 60.0
_SHOWN = ("torch", "torchvision", "timm", "submitit", "mlflow", "numpy")
_LOOK = """
import json, torch
said = {"version": torch.__version__, "built": torch.version.cuda, "count": 0, "names": [], "error": ""}
try:
    said["count"] = torch.cuda.device_count()
    said["names"] = [torch.cuda.get_device_name(k) for k in range(said["count"])]
    for k in range(said["count"]):
        torch.ones(8, device=f"cuda:{k}").sum().item()
except Exception as error:
    said["error"] = " ".join(str(error).split())[:300]
print("\\n" + json.dumps(said))
"""


def packages(_: Subject) -> Finding:
    """Whether every package that ablate asks for is installed, and new enough."""
    from packaging.requirements import Requirement

    wrong = []
    for text in metadata.requires("ablate-harness") or ():
        needed = Requirement(text)
        if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
            continue
        version = _version(needed.name)
        if version is None or not needed.specifier.contains(version, prereleases=True):
            wrong.append(f"{needed.name}{needed.specifier} is needed, and {version or 'none'} is installed")
    versions = ", ".join(f"{name} {_version(name)}" for name in _SHOWN if _version(name))
    says = f"Python {platform.python_version()} at {sys.executable}; {versions}"
    if wrong:
        return Finding("packages", "problem", "; ".join(wrong), "install ablate again: pip install -U ablate-harness")
    return Finding("packages", "ok", says)


def torch_and_gpus(_: Subject) -> Finding:
    """Whether torch can be imported and computes on the GPUs that the driver has, in a process of its own."""
    try:
        said = _look()
    except NoAnswer as why:
        return Finding("torch", "problem", str(why), "install torch again, for this machine's driver")
    driver = driver_says()
    if driver is None or not visible_gpus():
        where = _counted(said["names"]) or "the CPU"
        return Finding("torch", "ok", f"torch {said['version']} computes on {where}")
    gpus, driver_cuda = driver
    return judge_gpus(said, gpus, driver_cuda)


def judge_gpus(said: dict[str, Any], gpus: list[str], driver_cuda: str) -> Finding:
    """What torch sees beside what the driver lists."""
    built = said["built"]
    if built is None:
        advice = "install a CUDA build of torch: https://pytorch.org/get-started"
        return Finding("torch", "problem", f"torch {said['version']} computes on the CPU only, beside a GPU", advice)
    if said["count"] and not said["error"]:
        return Finding("torch", "ok", f"torch {said['version']} (CUDA {built}) computes on {_counted(said['names'])}")
    if driver_cuda and _major(driver_cuda) < _major(built):
        says = f"torch is built for CUDA {built}, and this machine's driver knows CUDA up to {driver_cuda}"
        return Finding("torch", "problem", says, f"install torch for CUDA {driver_cuda} or older, or a newer driver")
    says = f"the driver lists {_counted(gpus)}, and torch cannot compute there: {said['error'] or 'it sees none'}"
    return Finding("torch", "problem", says, "compare `nvidia-smi` with the CUDA version of torch")


def driver_says() -> tuple[list[str], str] | None:
    """Names of the GPUs, and the newest CUDA version that the driver knows; None where there is no GPU."""
    try:
        listing, page = ask("nvidia-smi", "-L"), ask("nvidia-smi")
    except NoAnswer:
        return None
    gpus = re.findall(r"^GPU \d+: (.+?)(?: \(UUID.*)?$", listing.output, re.MULTILINE)
    version = re.search(r"CUDA Version:\s*([\d.]+)", page.output)
    return (gpus, version[1] if version else "") if listing.status == 0 and gpus else None


def _look() -> dict[str, Any]:
    answer = ask(sys.executable, "-P", "-c", _LOOK, patience_s=_TORCH_S)
    if answer.status != 0:
        last = (answer.errors.strip().splitlines() or [f"status {answer.status}"])[-1]
        raise NoAnswer(f"torch cannot be imported: {last}")
    said: dict[str, Any] = json.loads(answer.output.strip().splitlines()[-1])
    return said


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _major(version: str) -> int:
    return int(version.partition(".")[0])


def _counted(names: list[str]) -> str:
    return ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))
