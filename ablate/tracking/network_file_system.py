"""Whether a folder lies on a file system that several machines share, and what that means for a Store."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from ablate.tracking.store import database, is_server

#: As `/proc/mounts` calls them; those in user space are `fuse.<name>`.
_SHARED = {
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "9p", "lustre", "gpfs", "ceph", "beegfs", "beegfs_nodev"),
    *("glusterfs", "panfs", "pvfs2", "orangefs", "wekafs", "ocfs2", "gfs2", "dfuse", "sshfs", "juicefs", "cephfs"),
    *("moosefs", "mfs", "bindfs", "s3fs", "quobyte", "vastfs", "virtiofs"),
}
_ESCAPE = re.compile(r"\\([0-7]{3})")
_LOOPBACK = re.compile(r"localhost|127\.[0-9.]+|::1")


def network_file_system(path: Path, mounts: Path = Path("/proc/mounts")) -> str | None:
    """The kind of network file system that ``path``, which need not exist, lies on; None where it is a local one.

    None also where that cannot be told, as on a machine without ``/proc/mounts``.
    """
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    place, kind, depth = path.expanduser().resolve(), "", 0
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = Path(_ESCAPE.sub(lambda octal: chr(int(octal[1], 8)), fields[1]))
        # Of two at one point the later one hides the earlier.
        if place.is_relative_to(point) and len(point.parts) >= depth:
            kind, depth = fields[2], len(point.parts)
    return kind if kind.removeprefix("fuse.") in _SHARED else None


def advice(uri: str) -> str:
    """What is to be said of a tracking URI before jobs run on other machines; empty where there is nothing."""
    if is_server(uri):
        host = urlsplit(uri).hostname or ""
        if _LOOPBACK.fullmatch(host):
            return f"{uri} can be reached from this machine alone: jobs on others cannot deliver live, the driver does"
        return ""
    place = database(uri)
    if place is None:
        return ""
    kind = network_file_system(place)
    where = f" on a shared file system ({kind})" if kind else ""
    return (
        f"{place} is a database in a file{where}, which one process at a time can write: results reach it through the "
        "driver alone. A tracking server (`mlflow server`, --tracking-uri http://...) lets the jobs deliver live"
    )
