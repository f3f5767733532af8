"""The private Slurm, once for all tests of this folder, which run in one worker process and leave it empty."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.append(str(HERE))

from cluster import PrivateSlurm  # noqa: E402
from cluster_surroundings import LEAKS, SEARCH_PATH  # noqa: E402

PACKAGES = "slurm-wlm slurmctld slurmd slurmdbd munge mariadb-server"
PROGRAMS = (
    *("sbatch", "srun", "squeue", "sacct", "sacctmgr", "scontrol", "scancel", "slurmctld", "slurmd", "slurmdbd"),
    *("munged", "mariadbd", "mariadb-admin", "mariadb-install-db", "unshare", "nsenter", "setsid", "mount"),
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.slurm)
            if config.getoption("--slurm") == "quick" and item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="one of the longer tests on Slurm: --slurm all runs them"))


def obstacle() -> str | None:
    """Why no private Slurm can be brought up here; None when it can."""
    missing = [program for program in PROGRAMS if shutil.which(program, path=SEARCH_PATH) is None]
    if missing:
        return f"{', '.join(missing)} not installed: apt-get install --no-install-recommends {PACKAGES}"
    if os.geteuid() != 0:
        return "needs root, for machines of their own hostname and process table"
    probe = ["unshare", "--uts", "--mount", "--pid", "--fork", "--mount-proc", "true"]
    said = subprocess.run(probe, capture_output=True, text=True, check=False)
    return f"no namespaces here: {said.stderr.strip()}" if said.returncode else None


@pytest.fixture(scope="session")
def running_slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateSlurm]:
    """The cluster, up."""
    reason = obstacle()
    if reason:
        pytest.skip(f"NO SLURM TESTED: {reason}")
    with PrivateSlurm(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


@pytest.fixture
def slurm(running_slurm: PrivateSlurm, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateSlurm]:
    """The cluster, without a job and with all nodes idle, found by whatever the test starts."""
    for name in os.environ:
        if name.startswith(LEAKS):
            monkeypatch.delenv(name)
    for name in ("SLURM_CONF", "PATH"):
        monkeypatch.setenv(name, running_slurm.env[name])
    yield running_slurm
    running_slurm.cancel_all()
    if not running_slurm.files.user_signal:
        running_slurm.reconfigure(user_signal=True)


@pytest.fixture
def lab(slurm, tmp_path):
    """Makes the test's study, on the cluster."""
    from lab import Lab

    made = []

    def make(**options):
        made.append(Lab(tmp_path, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()
