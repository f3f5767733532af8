from __future__ import annotations

from pathlib import Path

import pytest

from ablate.tracking.network_file_system import advice, network_file_system

MOUNTS = r"""/dev/vda / ext4 rw 0 0
proc /proc proc rw 0 0
storage:/home /home nfs4 rw,vers=4.2 0 0
/dev/nvme0 /home/local ext4 rw 0 0
mds@tcp:/work /lustre/my\040work lustre rw 0 0
beegfs_nodev /beegfs beegfs rw 0 0
sshfs#x /mnt/far fuse.sshfs rw 0 0
ntfs /mnt/disk fuse.ntfs rw 0 0
first:/a /twice nfs rw 0 0
/dev/vdb /twice xfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/me/study/mlflow.db", "nfs4"),
        ("/home/local/scratch", None),
        ("/homework/x", None),
        ("/lustre/my work/runs", "lustre"),
        ("/beegfs/x", "beegfs"),
        ("/mnt/far/x", "fuse.sshfs"),
        ("/mnt/disk/x", None),
        ("/twice/x", None),
        ("/srv/x", None),
    ],
)
def test_the_innermost_and_latest_mount_decides(path: str, kind: str | None, tmp_path: Path):
    """The kind of file system is that of the mount which really holds the path, existing or not."""
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    assert network_file_system(Path(path), mounts) == kind


def test_without_a_table_of_mounts_nothing_is_claimed(tmp_path: Path):
    """As on other systems than Linux."""
    assert network_file_system(Path("/home/x"), tmp_path / "none") is None


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("http://tracking.lab:5000", ""),
        ("http://localhost:5000", "this machine alone"),
        ("http://127.0.0.1:5000", "this machine alone"),
        ("sqlite:////data/mlflow.db", "through the driver alone"),
        ("databricks", ""),
    ],
)
def test_what_is_said_of_a_store_before_jobs_run_elsewhere(uri: str, says: str):
    """A server that others can reach needs no word; a file and a server of this machine do."""
    assert (says in advice(uri)) if says else advice(uri) == ""
