"""The folders of a Trial's attempts: each attempt takes over the folder of the one before by renaming it.

::

    <home>/attempt-<n>/   the Trainable's folder while attempt n lives, and after it unless it finished
           work/          of a finished Trial: work/artifacts/ is what is kept
           .aside-<n>/    a work/ that was in the way of attempt n as it finished; after a kill it is put back

The rename is a fence against orphans: processes that lost their lock without notice, as their node was cut off, and
go on writing. An orphan finds nothing at its path any more and ends. Finishing renames the same name, so that either
the one process finishes or the other takes over, never both. What an orphan makes anew at its old path has a lower
number than the folder that was taken from it, and another inode, so it is nobody's.

Earlier versions kept the folder of every Trial at `work/`, finished or not; the next attempt takes over that.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ablate.tracking.disk import sync_folder
from ablate.tracking.outcome import FAILURE, RESULT, SEALED, WORK, load

ARTIFACTS = "artifacts"
_NAME = re.compile(r"attempt-([0-9]+)")
_ASIDE = ".aside-"
#: Another process was quicker: what was to be renamed is gone, or the name is taken.
_OUTRUN = frozenset({errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY})
#: Something lies where a folder was to go.
_IN_THE_WAY = frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR})


class Superseded(FileNotFoundError):  # noqa: N818 - as Python's own says what happened
    """Another process has taken the Trial over, or has finished it."""


@dataclass(frozen=True)
class Attempt:
    """An attempt's folder in the hands of the process that took it."""

    home: Path
    number: int
    path: Path
    inode: tuple[int, int]

    @classmethod
    def take(cls, home: Path, at_least: int) -> Attempt:
        """Take over the newest folder, or make the first one; its number is ``at_least`` that, and the highest.

        Raises `Superseded` where the Trial has finished meanwhile, or another process took over at the same moment.
        """
        while True:
            before = _newest(home)
            number = max(at_least, _number(before) + 1)
            path = home / f"attempt-{number}"
            if before == home / WORK:
                _refuse_published(home, before)
            try:
                if before is None:
                    path.mkdir()
                else:
                    before.rename(path)
            except OSError as error:
                if error.errno not in _OUTRUN:
                    raise
                continue
            if before == home / WORK:
                try:
                    _refuse_published(home, path)
                except Superseded:  # it was, after this process had last looked
                    path.rename(before)
                    raise
            sync_folder(home)
            try:
                attempt = cls(home, number, path, _inode(path))
                (path / ARTIFACTS).mkdir(exist_ok=True)  # without its parents: those are never made anew
            except (FileNotFoundError, FileExistsError) as error:  # the latter: gone as mkdir looked what is there
                raise Superseded(f"the Trial in {home} was taken over by another process") from error
            _drop(home, below=number)
            return attempt

    @property
    def alive(self) -> bool:
        """Whether the folder is still at its path, and is the one that was taken."""
        try:
            return _inode(self.path) == self.inode
        except FileNotFoundError:
            return False

    def clear(self) -> None:
        """Forget what earlier attempts left."""
        _empty(self.path)
        (self.path / ARTIFACTS).mkdir(exist_ok=True)

    def finish(self, result: str) -> bool:
        """Publish the folder with the encoded ``result``, in one rename, and drop all but the artifacts.

        Returns whether it was done: not where another process has taken over. The caller has made sure that there is
        no finished result.
        """
        if not self._seal(result):
            return False
        while True:
            try:
                self.path.rename(self.home / WORK)
            except FileNotFoundError:
                return False
            except OSError as error:
                if error.errno not in _IN_THE_WAY:
                    raise
                if not self._make_way():
                    return False
                continue
            settle(self.home)
            return True

    def fail(self, failure: str) -> bool:
        """Put down the encoded ``failure``, and leave the folder to the next attempt. Returns as `finish` does."""
        if not self._seal(failure):
            return False
        try:
            (self.path / SEALED).rename(self.home / FAILURE)
        except FileNotFoundError:
            return False
        sync_folder(self.home)
        return True

    def _make_way(self) -> bool:
        """Move a `work/` aside that an orphan made, or that is left of a result that could not be read.

        Whose it is can be told for certain only once nobody finds it at its path: where it turns out to be that of a
        finished Trial, or this attempt to be over, it is put back. Returns whether the way is free.
        """
        work, aside = self.home / WORK, self.home / f"{_ASIDE}{self.number}"
        if _published(self.home, work):
            return False
        try:
            work.rename(aside)
        except FileNotFoundError:
            return True
        if self.alive and not _published(self.home, aside):
            return True
        _put_back(aside)
        return False

    def _seal(self, outcome: str) -> bool:
        if not self.alive:
            return False
        try:
            with (self.path / SEALED).open("w", encoding="utf-8") as file:
                file.write(outcome)
                file.flush()
                os.fsync(file.fileno())
            sync_folder(self.path)
        except FileNotFoundError:
            return False
        return True


def recover(home: Path) -> None:
    """Put back a `work/` that a process moved aside, and died, or is about to put back itself."""
    if not (home / WORK).exists():
        for aside in _asides(home):
            _put_back(aside)


def settle(home: Path) -> None:
    """Give the folder of a finished Trial its final form, whatever a kill left undone."""
    recover(home)
    newest = _newest(home)
    if newest is not None and not (home / WORK).exists():
        newest.rename(home / WORK)  # taken over by mistake, by a process that died before it gave it back
    with suppress(FileNotFoundError):
        (home / WORK / SEALED).rename(home / RESULT)
    sync_folder(home)
    (home / FAILURE).unlink(missing_ok=True)
    _drop(home)
    _drop_asides(home)
    _empty(home / WORK, keep=ARTIFACTS)


def artifacts(home: Path) -> Path | None:
    """Where the files kept with a Trial lie: at their final place, or with its newest attempt."""
    work = home / WORK
    if not work.is_dir():
        there = [*_asides(home), _newest(home)] if home.is_dir() else []
        newest = next((folder for folder in there if folder is not None), None)
        if newest is None:
            return None
        work = newest
    return work / ARTIFACTS


def _newest(home: Path) -> Path | None:
    if numbers := _numbers(home):
        return home / f"attempt-{max(numbers)}"
    return home / WORK if (home / WORK).is_dir() else None


def _number(folder: Path | None) -> int:
    match = _NAME.fullmatch(folder.name) if folder is not None else None
    return int(match[1]) if match else 0


def _inode(path: Path) -> tuple[int, int]:
    there = path.stat()
    return there.st_dev, there.st_ino


def _refuse_published(home: Path, folder: Path) -> None:
    """Raise `Superseded` where the folder that is or was `work/` is that of a finished Trial."""
    if _published(home, folder):
        raise Superseded(f"the Trial in {home} has finished")


def _published(home: Path, folder: Path) -> bool:
    record = load(home)
    return (folder / SEALED).exists() or (record is not None and record.status == "finished")


def _asides(home: Path) -> list[Path]:
    return [home / name for name in os.listdir(home) if name.startswith(_ASIDE)]  # noqa: PTH208 - as below


def _put_back(aside: Path) -> None:
    try:
        aside.rename(aside.with_name(WORK))
    except OSError as error:  # another process has put it back, or finished
        if error.errno not in _OUTRUN | _IN_THE_WAY:
            raise


def _drop_asides(home: Path) -> None:
    """Remove what was moved aside, of a finished Trial."""
    asides = _asides(home)  # first: one that is made after `work/` was seen may be `work/` itself
    if (home / WORK).exists():
        for aside in asides:
            _remove(aside)


def _numbers(home: Path) -> list[int]:
    names = os.listdir(home)  # noqa: PTH208 - names are all that is wanted
    return [int(match[1]) for name in names if (match := _NAME.fullmatch(name))]


def _drop(home: Path, below: float = float("inf")) -> None:
    """Remove the folders of attempts with a lower number."""
    for number in _numbers(home):
        if number < below:
            shutil.rmtree(home / f"attempt-{number}", ignore_errors=True)


def _empty(folder: Path, keep: str | None = None) -> None:
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.name != keep:
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
