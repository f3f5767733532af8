"""Where a Trial ran: the commit, the versions, the machine. Imports nothing heavy."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("ablate-harness", "torch", "timm", "numpy", "mlflow")
_GIT_TIMEOUT_S = 10.0


def environment(folder: Path | None = None) -> dict[str, str]:
    """Commit and dirty flag of the repository around ``folder``, package versions, Python, machine.

    ``folder``: the working folder by default. ``git_dirty`` is ``yes``, ``no`` or ``unknown``; files that git
    does not track do not count. What cannot be found out is left out, except for the flag.
    """
    where = Path.cwd() if folder is None else folder
    found = {"git_commit": _git(where, "rev-parse", "HEAD"), "git_dirty": "unknown"}
    if found["git_commit"]:
        status = _git(where, "status", "--porcelain", "--untracked-files=no")
        found["git_dirty"] = "unknown" if status is None else "yes" if status else "no"
    found |= {name: _version(name) for name in PACKAGES}
    found |= {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "hostname": platform.node(),
    }
    return {name: value for name, value in found.items() if value}


def _git(folder: Path, *arguments: str) -> str | None:
    """What git says; None where it fails, hangs or is not installed."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            check=True,
            # Many workers may ask at once: none of them may take the index's lock.
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor()
