"""Images of a stream, read once into one file from which any of them can be had at any time.

Training shows images in an order keyed by the epoch and starts at any step, and a stream can be read in its own order
only. The file is the encoded images one after another, an index, and a footer that says whose it is:

    images | offsets (N + 1) int64 | labels (N,) int64 | CRC-32 of each image (N,) int64 | names, JSON | footer | CRC-32

It is complete as soon as it has its name. One that is cut short, or not what its footer says, is built anew.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import struct
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ablate.data.cache_files import alone, cache_file
from ablate.data.errors import DataError

_FOOTER = struct.Struct("<8s32sqq")
"""Magic, digest of the key, number of images, where the index starts."""
_CHECKSUM = struct.Struct("<I")
"""CRC-32 of index and footer, which comes last."""
_MAGIC = b"ablate01"


class Encoded(NamedTuple):
    """An image as a stream gives it."""

    name: str
    label: int
    content: bytes


class Damaged(DataError):  # noqa: N818 - the state of a file, as its docstring reads
    """There is no such packed file, or not all of it."""


class Packed:
    """Where the images of a packed file come from (`ablate.data.parts.Bytes`), with their labels.

    Safe to read from many threads, and to hand to other processes, which map the file for themselves. Raises
    `Damaged` for a file that is cut short, damaged in its index or packed for another key.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        self._map: mmap.mmap | None = None
        whole = self._mapped()
        end = len(whole) - _FOOTER.size - _CHECKSUM.size
        if end < 0:
            raise Damaged(f"{path} is not whole")
        magic, digest, count, start = _FOOTER.unpack_from(whole, end)
        if magic != _MAGIC or digest != _digest(key) or not 0 <= start <= end:
            raise Damaged(f"{path} is not whole, or another source's")
        index = whole[start : -_CHECKSUM.size]
        if _CHECKSUM.pack(zlib.crc32(index)) != whole[-_CHECKSUM.size :]:
            raise Damaged(f"the index of {path} is damaged")
        size = 8 * (3 * count + 1)
        numbers = np.frombuffer(index, dtype="<i8", count=3 * count + 1)
        self._offsets = numbers[: count + 1]
        self.labels: NDArray[np.int64] = numbers[count + 1 : 2 * count + 1].astype(np.int64)
        self._checksums = numbers[2 * count + 1 :]
        self._names_at = (start + size, end)

    def __len__(self) -> int:
        return len(self.labels)

    def content(self, position: int) -> bytes:
        """An image as the stream gave it. Raises `DataError` where it is damaged."""
        start, end = self._offsets[position : position + 2].tolist()
        content = self._mapped()[start:end]
        if zlib.crc32(content) != self._checksums[position]:
            raise DataError(f"{self.path} is damaged at image {position}; delete it, and it is built anew")
        return content

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_map": None}

    def name(self, position: int) -> str:
        """What the stream called the image."""
        start, end = self._names_at
        return str(json.loads(self._mapped()[start:end])[position])

    def _mapped(self) -> mmap.mmap:
        if self._map is None:
            try:
                with self.path.open("rb") as file:
                    self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except (OSError, ValueError) as error:  # not there, or empty
                raise Damaged(f"cannot read {self.path}: {error}") from error
        return self._map


def packed(key: str, stream: Callable[[], Iterable[Encoded]]) -> Packed:
    """The images of ``stream``, in its order, from the file that ``key`` names; packed now unless they were before.

    Of several processes one packs, and the others wait for it. Raises `DataError` where the file cannot be written,
    and for an empty stream.
    """
    path = cache_file("packed", key, ".images")
    try:
        return Packed(path, key)
    except Damaged:
        pass
    with alone(path):
        try:
            return Packed(path, key)  # another process was faster
        except Damaged:
            _write(path, key, stream())
            return Packed(path, key)


def _write(path: Path, key: str, stream: Iterable[Encoded]) -> None:
    temporary = path.with_suffix(".part")
    try:
        with temporary.open("wb") as file:
            _write_all(file, key, stream)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise DataError(f"cannot pack images into {path}: {error}; set ABLATE_CACHE to a folder with room") from error
    finally:
        temporary.unlink(missing_ok=True)


def _write_all(file: BinaryIO, key: str, stream: Iterable[Encoded]) -> None:
    names, labels, checksums, offsets = [], [], [], [0]
    for name, label, content in stream:
        file.write(content)
        names.append(name)
        labels.append(label)
        checksums.append(zlib.crc32(content))
        offsets.append(offsets[-1] + len(content))
    if not names:
        raise DataError("the stream holds no images")
    index = np.array(offsets + labels + checksums, dtype="<i8").tobytes() + json.dumps(names).encode()
    index += _FOOTER.pack(_MAGIC, _digest(key), len(names), offsets[-1])
    file.write(index + _CHECKSUM.pack(zlib.crc32(index)))


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogateescape")).digest()
