"""What the doctor says of the spool's folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ablate.doctor import folder
from ablate.doctor.finding import Subject
from ablate.doctor.folder import judge_skew
from ablate.doctor.mounts import Mount, mount_of

MOUNTS = """\
/dev/vda / ext4 rw,relatime 0 0
server:/home /home nfs4 rw,vers=4.2,local_lock=none 0 0
server:/old /old nfs rw,vers=3,nolock,local_lock=all 0 0
mds@tcp:/fs /lus\\040tre lustre rw,localflock 0 0
mds@tcp:/fs /lustre lustre rw,flock 0 0
tmpfs /dev/shm tmpfs rw 0 0
systemd-1 /auto autofs rw 0 0
server:/auto /auto nfs4 rw,local_lock=flock 0 0
me@host:/x /ssh fuse.sshfs rw 0 0
"""


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    path = tmp_path / "mounts"
    path.write_text(MOUNTS)
    return path


@pytest.mark.parametrize(
    ("place", "kind", "shared", "local"),
    [
        ("/nowhere/else", "ext4", False, ""),
        ("/home/me/study", "nfs4", True, ""),
        ("/homely", "ext4", False, ""),
        ("/old/x", "nfs", True, "nolock"),
        ("/lus tre/x", "lustre", True, "localflock"),
        ("/lustre/x", "lustre", True, ""),
        ("/auto/x", "nfs4", True, "local_lock=flock"),
        ("/ssh/x", "fuse.sshfs", True, "fuse.sshfs"),
    ],
)
def test_the_file_system_and_its_locks_are_read_from_the_mounts(
    mounts: Path, place: str, kind: str, shared: bool, local: str
) -> None:
    """The deepest mount counts, by whole names; its options say whether locks hold between machines."""
    found = mount_of(Path(place), mounts)
    assert found is not None
    assert (found.kind, found.is_shared, found.locks_told_local) == (kind, shared, local)


@pytest.mark.parametrize(
    ("mount", "with_slurm", "verdict", "words"),
    [
        (Mount("s:/h", "/h", "nfs4", ("rw",)), True, "ok", "nfs4 at /h"),
        (Mount("s:/h", "/h", "nfs", ("nolock",)), False, "warning", "nolock"),
        (Mount("/dev/sda", "/", "ext4", ()), False, "ok", "ext4"),
        (Mount("/dev/sda", "/", "ext4", ()), True, "warning", "own disk"),
        (Mount("tmpfs", "/tmp", "tmpfs", ()), True, "problem", "memory"),
    ],
)
def test_what_a_file_system_means_depends_on_whether_nodes_must_see_it(
    fakes: Any, monkeypatch: pytest.MonkeyPatch, mount: Mount, with_slurm: bool, verdict: str, words: str
) -> None:
    """A laptop's disk is fine for a laptop, and suspicious on a login node."""
    if with_slurm:
        fakes.says("sbatch")
    monkeypatch.setattr(folder, "mount_of", lambda place: mount)
    found = folder.file_system(Subject())
    assert found.verdict == verdict
    assert words in found.says


def test_a_good_folder_is_left_as_it_was(tmp_path: Path) -> None:
    """Writing, space, locks and clock are well on this machine, and looking at them leaves nothing behind."""
    subject = Subject(tmp_path / "not" / "there")
    checks = (folder.writing, folder.locks, folder.clock)
    assert [check(subject).verdict for check in checks] == ["ok"] * 3
    assert "does not exist yet" in folder.writing(subject).says
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_a_problem() -> None:
    """The reason is the system's own."""
    found = folder.writing(Subject(Path("/proc/ablate")))
    assert found.verdict == "problem"
    assert "cannot be written" in found.says


@pytest.mark.parametrize(
    ("gb", "files", "verdict"),
    [(100, 10**7, "ok"), (5, 10**7, "warning"), (100, 100, "problem"), (0.1, 10**7, "problem")],
)
def test_room_is_counted_in_bytes_and_in_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gb: float, files: int, verdict: str
) -> None:
    """A disk can be full of either."""
    there = os.statvfs_result((4096, 4096, 0, 0, int(gb * 1024**3 / 4096), 10**8, 0, files, 0, 255))
    monkeypatch.setattr(folder.os, "statvfs", lambda place: there)
    assert folder.space(Subject(tmp_path)).verdict == verdict


def test_a_lock_that_stops_nobody_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a second process gets the lock, two drivers could train one Trial."""
    monkeypatch.setattr(folder, "_try_lock", lambda path: 0)
    found = folder.locks(Subject(tmp_path))
    assert found.verdict == "problem"
    assert "two drivers" in found.says


@pytest.mark.parametrize(
    ("skew", "verdict", "words"),
    [(0.5, "ok", "agrees"), (-5.0, "warning", "5.0 s behind"), (90.0, "problem", "90.0 s ahead of")],
)
def test_clocks_are_judged_by_how_far_they_are_apart(skew: float, verdict: str, words: str) -> None:
    """A little skew is none; much of it makes living jobs look silent."""
    found = judge_skew("clock", skew, "its clock")
    assert found.verdict == verdict
    assert words in found.says


def test_the_doctor_is_light() -> None:
    """Neither torch nor MLflow nor submitit is imported to examine a machine."""
    code = "import ablate.doctor, ablate.doctor.node, sys; print({'torch', 'mlflow', 'submitit'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
