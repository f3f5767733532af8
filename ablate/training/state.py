"""The checkpoint: one file that holds all that a Trial needs to go on as if it had never been stopped.

The file is a line with the digest of what follows, and then a torch archive of tensors, numbers and strings.
No generator's state is in it, since every random draw is keyed by its step. It is replaced by renaming, so
that a process killed at any moment leaves the old one or the new one, and never half of one.
"""

from __future__ import annotations

import hashlib
import io
import os
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ablate.training.optimiser import AdamW

_HEADER = b"ablate checkpoint, sha256 "
#: Writing takes at most about this share of a Trial's time, however large the model is: the interval stretches.
_SHARE_OF_TIME = 0.05


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


class Checkpoint:
    """The checkpoint of one Trial, in one file."""

    def __init__(self, path: Path, model: nn.Module, optimiser: AdamW, key: str, interval_s: float) -> None:
        """``key`` says whose state it is; ``interval_s`` is the least time between two periodic checkpoints."""
        self.path = path
        self._model = model
        self._optimiser = optimiser
        self._key = key
        self._interval_s = interval_s
        self._wait_s = interval_s
        self._last = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether the interval has passed."""
        return time.monotonic() - self._last >= self._wait_s

    def save(self, progress: Progress) -> None:
        """Replace the file, durably, by the present state."""
        started = time.monotonic()
        content = {
            "key": self._key,
            "progress": asdict(progress),
            "model": self._model.state_dict(),
            "optimiser": self._optimiser.state_dict(),
        }
        payload = archive(content)
        digest = hashlib.sha256(payload).hexdigest().encode()
        write_durably(self.path, _HEADER + digest + b"\n", payload)
        self._last = time.monotonic()
        if self._interval_s:
            self._wait_s = max(self._interval_s, (self._last - started) / _SHARE_OF_TIME)

    def restore(self) -> Progress:
        """Load model and optimiser, and say how far they are; from the start where there is no intact file.

        A damaged file is left out with a warning. Raises ValueError where the file is of another Trial.
        """
        content = _read(self.path)
        if content is None:
            return Progress()
        if content["key"] != self._key:
            raise ValueError(f"{self.path} holds the state of another Trial; each needs a folder of its own")
        self._model.load_state_dict(content["model"])
        self._optimiser.load_state_dict(content["optimiser"])
        return Progress(**content["progress"])


def archive(content: Any) -> bytes:
    """What torch saves, as bytes."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def write_durably(path: Path, *parts: bytes) -> None:
    """Write a file so that it is there whole, or not at all, whenever the process or the machine stops."""
    temporary = path.with_name(path.name + ".partial")
    with temporary.open("wb") as file:
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the rename is durable only once the folder is
    finally:
        os.close(folder)


def _read(path: Path) -> dict[str, Any] | None:
    """The content of an intact checkpoint, else None."""
    try:
        header, _, payload = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    if header != _HEADER + hashlib.sha256(payload).hexdigest().encode():
        warnings.warn(f"{path} is damaged; the Trial starts afresh", RuntimeWarning, stacklevel=3)
        return None
    content: dict[str, Any] = torch.load(io.BytesIO(payload), weights_only=True, map_location="cpu")
    return content
