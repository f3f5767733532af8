"""Where a Trial ran: the commit, the versions, the machine. Imports nothing heavy."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "ablate-harness",
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "scipy",
    "scikit-learn",
    "mlflow",
    "submitit",
)
#: Beside the program where it is a copy taken for jobs: what `provenance` found when it was taken.
PROVENANCE = "provenance.json"
_GIT_TIMEOUT_S = 10.0
_OWN = Path(__file__).resolve().parents[1]


def environment(folder: Path | None = None) -> dict[str, str]:
    """What `provenance` finds, package versions, Python, machine.

    What cannot be found out is left out, except for ``git_dirty``.
    """
    found: dict[str, str | None] = {**provenance(folder)}
    found |= {name: _version(name) for name in PACKAGES}
    found |= {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "hostname": platform.node(),
    }
    return {name: value for name, value in found.items() if value}


def provenance(folder: Path | None = None) -> dict[str, str]:
    """Commit and dirty flag of the repository around ``folder``: the working folder by default.

    ``git_dirty`` is ``yes``, ``no`` or ``unknown``; of the files that git neither tracks nor ignores, Python sources
    count, others (what runs have made) do not. ``ablate.commit`` and ``ablate.dirty`` say the same of this program
    itself, where it runs from a checkout of its own. In a job that runs from a copy taken at submission, all of it is
    as it was found then: what lies in the working folder now is not what runs.
    """
    if folder is None and (recorded := _recorded()) is not None:
        return recorded
    where = Path.cwd() if folder is None else folder
    found = {"git_commit": _git(where, "rev-parse", "HEAD"), "git_dirty": "unknown"}
    if found["git_commit"]:
        found["git_dirty"] = _dirty(where)
    # An installed copy in a virtual environment within somebody's repository is not part of that repository.
    if _git(_OWN, "ls-files", "--error-unmatch", "__init__.py") is not None:
        found |= {"ablate.commit": _git(_OWN, "rev-parse", "HEAD"), "ablate.dirty": _dirty(_OWN)}
    return {name: value for name, value in found.items() if value}


def _recorded() -> dict[str, str] | None:
    try:
        found: dict[str, str] = json.loads((_OWN.parent / PROVENANCE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return found


def _dirty(folder: Path) -> str:
    """Whether the repository around the folder has Python or tracked files that its commit does not have."""
    edited = _git(folder, "status", "--porcelain", "--untracked-files=no")
    untracked = _git(folder, "ls-files", "--others", "--exclude-standard", "--full-name", ":(top)*.py")
    if edited is None or untracked is None:
        return "unknown"
    # A virtual environment that nobody told git to ignore is no source of the study.
    sources = [name for name in untracked.splitlines() if "/site-packages/" not in name]
    return "yes" if edited or sources else "no"


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
