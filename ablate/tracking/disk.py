"""Writing that survives a kill at any moment, and locks that the kernel releases."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import threading
import time
import weakref
from pathlib import Path
from types import TracebackType

_POLL_S = 0.05
_logger = logging.getLogger(__name__)


def sync_folder(folder: Path) -> None:
    """Make renames in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, text: str, *, replace: bool = True) -> bool:
    """Write a file so that readers see the old one, or none, or all of the new one.

    With ``replace=False`` an existing file stays as it is; where the file system has no hard links that is sure
    only while the caller holds a lock on the place. Returns whether the new text stands.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            temporary.replace(path)
        elif not name_unless_taken(temporary, path):
            return False
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
    return True


def name_unless_taken(temporary: Path, path: Path) -> bool:
    """Give a file its name unless that is taken; whether it has it now."""
    try:
        path.hardlink_to(temporary)  # unlike a rename, this fails where the name is taken
    except FileExistsError:
        return False
    except OSError:  # exFAT, some shares and containers know no hard links
        if path.exists():
            return False
        temporary.replace(path)
    return True


def set_aside(path: Path, why: object) -> None:
    """Rename a file that cannot be read to ``<name>.bad``, and warn, so that it stops nobody and nothing is deleted.

    Where it cannot be renamed (a folder that is only readable) it stays, with the warning.
    """
    _logger.warning("%s cannot be read and is set aside as %s.bad: %s", path, path.name, why)
    with contextlib.suppress(OSError):
        path.replace(path.with_name(f"{path.name}.bad"))


class Lock:
    """An exclusive lock on a file, held by this process until `release` or death, however it dies.

    ``with Lock(path) as lock`` releases it at the end of the block but does not take it: ask `acquire`, which
    answers whether it did. The file's folder must exist; OSError where the file cannot be made.

    flock rather than POSIX locks: those are lost when *any* descriptor of the file is closed in the process.
    The file itself stays. On Linux, NFS v4 carries it between machines.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self, wait_s: float = 0.0) -> bool:
        """Take the lock, waiting up to ``wait_s`` seconds; whether it is now held."""
        until = time.monotonic() + wait_s
        while not self._try():
            if time.monotonic() >= until:
                return False
            time.sleep(_POLL_S)
        return True

    def release(self) -> None:
        """Give the lock back; without effect when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @property
    def valid(self) -> bool:
        """Whether this is held on the file that lies at the path now (the folder may have been deleted)."""
        if self._descriptor is None:
            return False
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return False
        mine = os.fstat(self._descriptor)
        return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)

    def _try(self) -> bool:
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        # A probe by `is_held` holds the lock for microseconds; it must not look like an owner.
        for pause_s in (0.002, 0.005, 0.01, None):
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if pause_s is not None:
                    time.sleep(pause_s)
                continue
            if self.valid:
                _close_in_forks(self)
                return True
            break
        self.release()
        return False

    def __enter__(self) -> Lock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def is_held(path: Path) -> bool:
    """Whether some process, this one included, holds the lock on ``path``."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


_held: weakref.WeakSet[Lock] = weakref.WeakSet()
_registered: list[bool] = []


def _close_in_forks(lock: Lock) -> None:
    """A forked child (a data loader's worker) must not keep the lock alive when its parent is killed."""
    _held.add(lock)
    if not _registered:
        _registered.append(True)
        os.register_at_fork(after_in_child=_release_all)


def _release_all() -> None:
    for lock in list(_held):
        lock.release()
