from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest

from ablate.tracking.disk import Lock, is_held, set_aside, write_atomically


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """When the disk fails before the rename, readers still see the whole old file and nothing else lies there."""
    path = tmp_path / "result.json"
    write_atomically(path, "old")

    def fail(descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_exclusive_write_replaces_nothing(tmp_path: Path):
    """With replace=False the first writer wins, and the second is told."""
    path = tmp_path / "result.json"
    assert write_atomically(path, "first", replace=False)
    assert not write_atomically(path, "second", replace=False)
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_an_exclusive_write_works_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """On a file system that knows none, the first writer still wins and leaves nothing else."""

    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    test_an_exclusive_write_replaces_nothing(tmp_path)


def test_setting_aside_in_a_folder_that_cannot_be_written_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """Whoever only reads is told of a bad file and goes on."""

    def refuse(*arguments: object) -> None:
        raise PermissionError(errno.EROFS, "Read-only file system")

    path = tmp_path / "result.json"
    path.write_text("{")
    monkeypatch.setattr(Path, "replace", refuse)
    set_aside(path, "torn")
    assert path.read_text() == "{"
    assert f"{path} cannot be read" in caplog.text


def test_a_lock_excludes_a_second_one_even_in_the_same_process(tmp_path: Path):
    """One holder at a time; probing neither takes nor breaks the lock."""
    first, second = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    assert first.acquire()
    assert is_held(tmp_path / "lock")
    assert not second.acquire()
    assert first.valid
    first.release()
    assert not is_held(tmp_path / "lock")
    assert second.acquire()
    second.release()


def test_a_lock_on_a_deleted_file_is_not_valid(tmp_path: Path):
    """When somebody deletes the folder, the holder can tell that it holds nothing any more."""
    lock = Lock(tmp_path / "lock")
    lock.acquire()
    lock.path.unlink()
    assert not lock.valid
    other = Lock(tmp_path / "lock")
    assert other.acquire()
    assert other.valid
    assert not lock.valid
    lock.release()
    other.release()


# A warning about forking a process with threads says nothing here: the child calls pause and no more.
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_a_forked_child_does_not_keep_the_lock(tmp_path: Path):
    """A data loader's worker that outlives its parent's lock must not hold it."""
    lock = Lock(tmp_path / "lock")
    assert lock.acquire()
    child = os.fork()
    if child == 0:
        signal.pause()
        os._exit(0)
    try:
        lock.release()
        other = Lock(tmp_path / "lock")
        assert other.acquire(wait_s=5)
        other.release()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
