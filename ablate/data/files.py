"""The files that encoded images lie in: paths, or parts of larger files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Protocol, overload, runtime_checkable

import numpy as np
from PIL import Image

from ablate.data.errors import DataError

#: Modes of 8 bits or less; converting others (16-bit gray, float) would clip them silently.
_CONVERTIBLE = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})


@runtime_checkable
class EncodedFile(Protocol):
    """An encoded image that is not a file of its own. ``str`` of it names it in messages.

    It is opened in threads and in forked processes: what they share must not be a file's position.
    """

    def open(self) -> IO[bytes]:
        """Its bytes, as a file that can be sought in."""
        ...


class Paths(Sequence[Path]):
    """Paths in one block of memory.

    Looking at one of a million objects of Python writes to its count of references, and so makes a forked process
    copy it; a block is shared for good, and a tenth of the size.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._names = np.array([os.fsencode(path) for path in paths], dtype=np.bytes_)

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, place: int) -> Path: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Path]: ...
    def __getitem__(self, place: int | slice) -> Path | Sequence[Path]:
        if isinstance(place, slice):
            return [Path(os.fsdecode(name)) for name in self._names[place]]
        return Path(os.fsdecode(self._names[place]))


def opened(file: Path | EncodedFile) -> Image.Image:
    """Open an image, reading no more than its header. Raises `DataError` for what is no image of 8 bits a channel."""
    try:
        image = Image.open(file if isinstance(file, Path) else file.open())
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"cannot read the image {file}: {error}") from error
    if image.mode not in _CONVERTIBLE:
        image.close()
        raise DataError(f"the image {file} has mode {image.mode}; convert it to 8 bits a channel")
    return image
