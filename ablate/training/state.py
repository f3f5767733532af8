"""The checkpoint: a file that holds all that a Trial needs to go on as if it had never been stopped.

The file is a line with the digest of what follows, and then a torch archive of tensors, numbers and strings.
No generator's state is in it, since every random draw is keyed by its step. The one before is kept beside it, as
`NAME.before`: where the newer one turns out to be damaged, or is missing, a Trial goes on from there. Both are moved
into place by renaming, so that a process killed at any moment leaves at least one that is whole.
"""

from __future__ import annotations

import hashlib
import io
import os
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch

_HEADER = b"ablate checkpoint, sha256 "
#: Writing takes at most about this share of a Trial's time, however large the model is: the interval stretches.
_SHARE_OF_TIME = 0.05
_NOT_PARTS = frozenset({"key", "progress"})


class Stateful(Protocol):
    """Something that changes while a Trial trains: model, optimiser, average of the weights, scale of the loss."""

    def state_dict(self) -> Any:
        """Its state in tensors, numbers, strings, and dicts, lists and tuples of these."""
        ...

    def load_state_dict(self, state: Any, /) -> Any:
        """Take over what `state_dict` gave."""
        ...


@dataclass
class Progress:
    """How far a training is."""

    epoch: int = 0
    """Epochs finished: trained, evaluated and reported."""
    step: int = 0
    """Updates made in the epoch that is under way."""
    loss_sum: float = 0.0
    """Over the updates of this epoch, of the mean loss of each batch."""
    norm_sum: float = 0.0
    """Over the updates of this epoch, of the gradient's norm before clipping."""
    train_loss: float = float("nan")
    """Mean loss over the last finished epoch."""
    micro_batch: int | None = None
    """Images that go through the model at a time since memory ran out; None where it never did."""
    spent: dict[str, float] = field(default_factory=dict)
    """What the training has cost so far (`ablate.training.costs.Costs.spent`)."""
    norms: int = 0
    """Updates of this epoch whose gradient was finite, and which were therefore made."""
    skipped: int = 0
    """Updates of the whole training that were not made, as their gradient overflowed in float16."""

    def after_epoch(self, train_loss: float) -> Progress:
        """At the start of the next epoch, the present one having had this mean loss."""
        return replace(self, epoch=self.epoch + 1, step=0, loss_sum=0.0, norm_sum=0.0, norms=0, train_loss=train_loss)


class Checkpoint:
    """The last two checkpoints of one Trial, each in one file."""

    def __init__(self, path: Path, parts: Mapping[str, Stateful], key: str, interval_s: float) -> None:
        """``parts``, by their names, are saved and restored; ``key`` says whose state it is.

        ``interval_s`` is the least time between two periodic checkpoints.
        """
        if reserved := _NOT_PARTS & parts.keys():
            raise ValueError(f"a part of a checkpoint cannot be called {min(reserved)!r}")
        self.path = path
        self.before = path.with_name(path.name + ".before")
        self._parts = parts
        self._key = key
        self._interval_s = interval_s
        self._wait_s = interval_s
        self._last = time.monotonic()
        self._intact = False  # whether the file at `path` is known to be

    @property
    def due(self) -> bool:
        """Whether the interval has passed."""
        return time.monotonic() - self._last >= self._wait_s

    def save(self, progress: Progress) -> None:
        """Write the present state, durably; what was the newest checkpoint becomes the one before."""
        started = time.monotonic()
        states = {name: part.state_dict() for name, part in self._parts.items()}
        payload = archive({"key": self._key, "progress": asdict(progress), **states})
        digest = hashlib.sha256(payload).hexdigest().encode()
        # A damaged file must not take the place of the intact one before it.
        write_durably(self.path, _HEADER + digest + b"\n", payload, keep=self.before if self._intact else None)
        self._intact = True
        self._last = time.monotonic()
        if self._interval_s:
            self._wait_s = max(self._interval_s, (self._last - started) / _SHARE_OF_TIME)

    def restore(self) -> Progress:
        """Load all parts, and say how far they are; from the start where there is no intact file.

        A damaged file is left out with a warning that says how the Trial goes on. Raises ValueError where the file
        is of another Trial, or holds other parts.
        """
        damaged = []
        for path in (self.path, self.before):
            try:
                content = _read(path)
            except _Damaged:
                damaged.append(path)
                continue
            if content is not None:
                progress = self._take_over(content, path)
                self._intact = path == self.path
                _warn_of(damaged, f"goes on from {path.name}, epoch {progress.epoch + 1} after step {progress.step}")
                return progress
        _warn_of(damaged, "starts afresh")
        return Progress()

    def _take_over(self, content: dict[str, Any], path: Path) -> Progress:
        if content["key"] != self._key:
            raise ValueError(f"{path} holds the state of another Trial; each needs a folder of its own")
        held = content.keys() - _NOT_PARTS
        for names, fault in ((self._parts.keys() - held, "has no"), (held - self._parts.keys(), "has a")):
            if names:
                raise ValueError(
                    f"{path} {fault} state of {', '.join(sorted(names))}: another version of ablate, or a training on "
                    "another kind of device, wrote it; remove it to train from the start"
                )
        for name, part in self._parts.items():
            part.load_state_dict(content[name])
        return Progress(**content["progress"])


def archive(content: Any) -> bytes:
    """What torch saves, as bytes."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def write_durably(path: Path, *parts: bytes, keep: Path | None = None) -> None:
    """Write a file so that it is there whole, or not at all, whenever the process or the machine stops.

    What was at ``path`` is lost, or is at ``keep`` from then on. Stopped between these two renames, a machine has the
    old file at ``keep`` and none at ``path``.
    """
    temporary = path.with_name(path.name + ".partial")
    with temporary.open("wb") as file:
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
    if keep is not None:
        with suppress(FileNotFoundError):
            path.replace(keep)
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the renames are durable only once the folder is
    finally:
        os.close(folder)


class _Damaged(Exception):  # noqa: N818 - a finding, answered by the file before
    """A file's digest is not that of its content."""


def _read(path: Path) -> dict[str, Any] | None:
    """The content of a checkpoint; None where there is none. Raises `_Damaged`."""
    try:
        header, _, payload = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    if header != _HEADER + hashlib.sha256(payload).hexdigest().encode():
        raise _Damaged
    content: dict[str, Any] = torch.load(io.BytesIO(payload), weights_only=True, map_location="cpu")
    return content


def _warn_of(damaged: list[Path], then: str) -> None:
    if damaged:
        names = " and ".join(map(str, damaged))
        verb = "is" if len(damaged) == 1 else "are"
        warnings.warn(f"{names} {verb} damaged; the Trial {then}", RuntimeWarning, stacklevel=3)
