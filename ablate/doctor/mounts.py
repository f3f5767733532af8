"""Which file system a folder lies on, as the kernel has it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: File systems that machines share, and whether locks on them hold between machines unless an option says otherwise.
SHARED = {
    **dict.fromkeys(("nfs4", "lustre", "gpfs", "ceph", "cephfs", "beegfs", "wekafs", "panfs", "glusterfs"), True),
    **dict.fromkeys(("fuse.glusterfs", "fuse.ceph", "pvfs2", "orangefs", "cifs", "smb3", "ocfs2", "gfs2"), True),
    **dict.fromkeys(("nfs", "9p", "virtiofs", "afs"), True),
    "fuse.sshfs": False,
}
#: Mount options by which locks hold on one machine only, or nowhere.
LOCAL_LOCKS = ("local_lock=all", "local_lock=flock", "nolock", "localflock")
MEMORY = ("tmpfs", "ramfs")


@dataclass(frozen=True)
class Mount:
    """A mounted file system."""

    source: str
    folder: str
    kind: str
    options: tuple[str, ...]

    @property
    def is_shared(self) -> bool:
        """Whether other machines can have it, too."""
        return self.kind in SHARED

    @property
    def locks_told_local(self) -> str:
        """The option by which a lock on it does not hold on other machines; empty without one."""
        option = next((option for option in self.options if option in LOCAL_LOCKS), "")
        return option or ("" if SHARED.get(self.kind, True) else self.kind)


def mount_of(folder: Path, mounts: Path = Path("/proc/mounts")) -> Mount | None:
    """The file system below ``folder``; None where the kernel does not say."""
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return None
    place, found = folder.resolve(), None
    for line in lines:
        source, at, kind, options, *_ = (_plain(field) for field in line.split(" "))
        deeper = found is None or len(at) >= len(found.folder)  # of two at one place, the later one hides the other
        if deeper and place.is_relative_to(at) and kind != "autofs":
            found = Mount(source, at, kind, tuple(options.split(",")))
    return found


def _plain(field: str) -> str:
    """A field without the kernel's octal escapes for blanks."""
    for octal, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(octal, character)
    return field
