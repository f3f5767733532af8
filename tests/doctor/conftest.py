"""Commands that say what a test wants: a folder that is the whole PATH."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest

CONFIG = {
    "AccountingStorageType": "accounting_storage/slurmdbd",
    "AccountingStorageEnforce": "none",
    "JobRequeue": "1",
    "MaxArraySize": "1001",
    "PreemptType": "preempt/partition_prio",
    "SlurmctldParameters": "(null)",
}
PARTITIONS = (
    "PartitionName=gpu Default=YES GraceTime=0 MaxTime=1-00:00:00 PreemptMode=OFF State=UP",
    "PartitionName=old Default=NO GraceTime=0 MaxTime=UNLIMITED PreemptMode=OFF State=DOWN",
)
NODES = (
    "NodeName=n1 CPUEfctv=7 CPUTot=8 Gres=gpu:a100:4(S:0-1),nvme:1 RealMemory=16000 State=IDLE Partitions=gpu,old",
    "NodeName=n2 CPUTot=8 Gres=gpu:h100:2 RealMemory=32000 State=MIXED Partitions=gpu",
    "NodeName=n3 CPUTot=64 Gres=(null) RealMemory=64000 State=IDLE Partitions=old",
)


class Fakes:
    """Fake commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def command(self, name: str, script: str) -> None:
        """A shell script under that name."""
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def says(self, name: str, output: str = "", *, errors: str = "", status: int = 0) -> None:
        """A command that prints the same whatever it is asked."""
        self.command(name, f"printf %s {shlex.quote(output)}\nprintf %s {shlex.quote(errors)} >&2\nexit {status}")

    def link(self, name: str) -> None:
        """A real command of the machine."""
        found = shutil.which(name, path="/usr/bin:/bin")
        assert found is not None
        (self.folder / name).symlink_to(found)

    def cluster(
        self,
        *,
        config: dict[str, str] | None = None,
        partitions: tuple[str, ...] = PARTITIONS,
        nodes: tuple[str, ...] = NODES,
        associations: str = "lab|||\n",
    ) -> None:
        """A whole Slurm."""
        for name in ("sbatch", "srun", "squeue", "sacct", "scancel"):
            self.says(name, "slurm 23.11.4\n")
        self.says("sacctmgr", associations)
        told = "\n".join(f"{name:<25}= {value}" for name, value in (CONFIG | (config or {})).items())
        cases = {
            "ping": "Slurmctld(primary) at head is UP",
            "show config": told,
            "show partition": "\n".join(partitions),
            "show node": "\n".join(nodes),
        }
        arms = "\n".join(f'"{asked}"*) printf "%s\\n" {shlex.quote(text)};;' for asked, text in cases.items())
        self.command("scontrol", f'case "$*" in\n{arms}\nesac')


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fakes:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))
    return Fakes(folder)
