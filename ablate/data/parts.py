"""Encoded images that are no files of their own, as a sequence in which each stands for itself."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from ablate.data.files import EncodedFile

Files = Sequence[Path | EncodedFile]
"""Encoded images in a fixed order."""


class Bytes(Protocol):
    """Where encoded images come from; asked by many threads and processes at once."""

    def __len__(self) -> int:
        """Number of images."""
        ...

    def content(self, position: int) -> bytes:
        """An image, encoded."""
        ...

    def name(self, position: int) -> str:
        """What it is called in messages."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """One of them, an `EncodedFile`."""

    source: Bytes
    position: int

    def open(self) -> IO[bytes]:
        """Its bytes, read now."""
        return io.BytesIO(self.source.content(self.position))

    def __str__(self) -> str:
        return self.source.name(self.position)


class Parts(Sequence[Part]):
    """All of them, or those at some positions, made as they are asked for."""

    def __init__(self, source: Bytes, positions: NDArray[np.int64] | None = None) -> None:
        self._source = source
        self._positions = np.arange(len(source), dtype=np.int64) if positions is None else positions

    def __len__(self) -> int:
        return len(self._positions)

    @overload
    def __getitem__(self, place: int) -> Part: ...
    @overload
    def __getitem__(self, place: slice) -> Parts: ...
    def __getitem__(self, place: int | slice) -> Part | Parts:
        if isinstance(place, slice):
            return Parts(self._source, self._positions[place])
        return Part(self._source, int(self._positions[place]))

    def at(self, places: NDArray[np.int64]) -> Parts:
        """Those at some places of this sequence."""
        return Parts(self._source, self._positions[places])


def chosen(files: Files, places: NDArray[np.int64]) -> Files:
    """The files at these places."""
    return files.at(places) if isinstance(files, Parts) else [files[int(place)] for place in places]
