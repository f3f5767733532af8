"""The folder of the spool: whether it can be written, has room, and keeps the promises that ablate builds on."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ablate.doctor.finding import Finding, Subject
from ablate.doctor.mounts import MEMORY, mount_of
from ablate.tracking.disk import Lock

_GB = 1024**3
_FULL_GB, _TIGHT_GB = 0.5, 10.0
_FULL_FILES, _TIGHT_FILES = 1_000, 50_000
#: A clock that is off by so many seconds spoils times in journals, or how long ago a job gave a sign of life.
_SKEW_S, _GREAT_SKEW_S = 2.0, 30.0
_ELSEWHERE = "choose another folder: --home"
_TRY_LOCK = """
import fcntl, os, sys
try:
    fcntl.flock(os.open(sys.argv[1], os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit(3)
"""


def existing(home: Path) -> Path:
    """The folder itself, or the nearest one above it that exists: `ablate doctor` makes no spool."""
    place = home.absolute()
    while not place.is_dir() and place != place.parent:
        place = place.parent
    return place


@contextlib.contextmanager
def scratch(home: Path) -> Iterator[Path]:
    """An empty folder on the spool's file system, which is gone afterwards. Raises OSError."""
    folder = Path(tempfile.mkdtemp(prefix=".ablate-doctor-", dir=existing(home)))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def writing(subject: Subject) -> Finding:
    """Whether a file can be written there, made durable, renamed and given a second name."""
    place, name = existing(subject.home), subject.home.absolute()
    missing = "" if place == name else f" ({name} does not exist yet; looked at {place})"
    try:
        with scratch(subject.home) as folder, (folder / "file").open("w") as file:
            file.write("text")
            file.flush()
            os.fsync(file.fileno())
            (folder / "file").rename(folder / "renamed")
            try:
                (folder / "second").hardlink_to(folder / "renamed")
            except OSError as error:
                says = f"{place} can be written, but has no hard links ({error.strerror})"
                advice = "results are then kept single by locks alone: a file system with hard links is safer"
                return Finding("folder", "warning", says, advice)
    except OSError as error:
        return Finding("folder", "problem", f"{place} cannot be written: {error.strerror}", _ELSEWHERE)
    return Finding("folder", "ok", f"{name} can be written; fsync, rename and hard links work{missing}")


def space(subject: Subject) -> Finding:
    """Room for checkpoints, in bytes and in files. Quotas of users are not in these numbers."""
    place = existing(subject.home)
    there = os.statvfs(place)
    free, files = there.f_bavail * there.f_frsize / _GB, there.f_favail
    counted = there.f_files > 0
    says = f"{free:,.1f} GB free" + (f", {files:,} more files possible" if counted else "") + " (quotas aside)"
    advice = f"delete what is not needed, or {_ELSEWHERE}"
    if free < _FULL_GB or (counted and files < _FULL_FILES):
        return Finding("space", "problem", says, advice)
    if free < _TIGHT_GB or (counted and files < _TIGHT_FILES):
        return Finding("space", "warning", says, advice)
    return Finding("space", "ok", says)


def file_system(subject: Subject) -> Finding:
    """What kind it is, whether nodes can share it, and whether its locks hold between them."""
    mount = mount_of(existing(subject.home))
    if mount is None:
        return Finding("file system", "not here", "this system does not tell (/proc/mounts)")
    says = f"{mount.kind} at {mount.folder} ({mount.source})"
    if mount.kind in MEMORY:
        told = f"{says}: it lies in this machine's memory, and is gone when that is restarted"
        return Finding("file system", "problem" if subject.has_slurm else "warning", told, _ELSEWHERE)
    if mount.locks_told_local:
        told = f"{says}, where a lock does not hold on other machines ({mount.locks_told_local})"
        advice = "run one `ablate run` of a study at a time, on one machine; or ask for the option to be changed"
        return Finding("file system", "warning", told, advice)
    if subject.has_slurm and not mount.is_shared:
        told = f"{says}: it looks like this machine's own disk, which nodes do not see"
        return Finding("file system", "warning", told, "`ablate doctor --deep` finds out; else choose a shared --home")
    return Finding("file system", "ok", says)


def locks(subject: Subject) -> Finding:
    """Whether a lock that one process holds here stops another, and only as long as it is held."""
    try:
        with scratch(subject.home) as folder, Lock(folder / "lock") as lock:
            if not lock.acquire():
                return Finding("locks", "problem", "a lock on a new file cannot be taken", _ELSEWHERE)
            while_held = _try_lock(lock.path)
            lock.release()
            after = _try_lock(lock.path)
    except OSError as error:
        says = f"files cannot be locked there: {error.strerror}"
        return Finding("locks", "problem", says, f"mount it with locks (Lustre: flock), or {_ELSEWHERE}")
    if while_held != 3:
        says = "a second process got a lock that this one held: two drivers could train one Trial"
        return Finding("locks", "problem", says, _ELSEWHERE)
    if after != 0:
        return Finding("locks", "problem", "a lock that was given back could not be taken again", _ELSEWHERE)
    return Finding("locks", "ok", "a lock held by one process stops another, on this machine")


def clock(subject: Subject) -> Finding:
    """The file server's clock, which dates the signs of life of jobs, beside that of this machine."""
    with scratch(subject.home) as folder:
        before = time.time()
        (folder / "file").write_text("text")
        after = time.time()
        dated = (folder / "file").stat().st_mtime
    return judge_skew("clock", dated - before if dated < before else max(0.0, dated - after), "the file server's clock")


def judge_skew(check: str, skew_s: float, whose: str) -> Finding:
    """What a clock that is ``skew_s`` seconds ahead of this machine's means."""
    if abs(skew_s) < _SKEW_S:
        return Finding(check, "ok", f"{whose} agrees with this machine's within {_SKEW_S:g} s")
    says = f"{whose} is {abs(skew_s):,.1f} s {'ahead of' if skew_s > 0 else 'behind'} this machine's"
    advice = "ask for the clocks to be set (NTP): `ablate status` takes a job that is alive for a silent one"
    return Finding(check, "problem" if abs(skew_s) > _GREAT_SKEW_S else "warning", says, advice)


def _try_lock(path: Path) -> int:
    command = [sys.executable, "-I", "-S", "-c", _TRY_LOCK, str(path)]
    return subprocess.run(command, check=False, timeout=8, stderr=subprocess.DEVNULL).returncode
