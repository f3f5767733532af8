"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009), read from the files as their author offers them."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ablate.data.class_names import cifar_names
from ablate.data.errors import DataError
from ablate.data.plain_pickle import read_plain
from ablate.data.pools import Source, in_memory
from ablate.places import CIFAR, cifar_files
from ablate.recipe import Data

_SHAPE = (3, 32, 32)
_PIXELS = math.prod(_SHAPE)
CLASSES = {"cifar10": 10, "cifar100": 100}
_LABEL_BYTES = {"cifar10": 1, "cifar100": 2}
"""Bytes before the pixels of a record; the last of them is the class (before it, in CIFAR-100, its superclass)."""
_LABEL_KEY = {"cifar10": b"labels", "cifar100": b"fine_labels"}


def cifar(data: Data, location: Path) -> Source:
    """The training batches, and the test batch as `test`, which the Recipe must name.

    Raises `DataError` for what is missing, damaged or not CIFAR.
    """
    kind = data.kind
    if data.train_split != "train" or data.test_split != "test" or data.test_fraction:
        raise DataError(
            f"{kind} has two splits: write data.train_split: train, data.test_split: test and data.test_fraction: 0"
        )
    if data.channels != _SHAPE[0]:
        raise DataError(f"data.channels is {data.channels}, but images of {kind} have {_SHAPE[0]}")
    files = cifar_files(kind, location)
    if files is None:
        expected = " or ".join(name for name, *_ in CIFAR[kind])
        raise DataError(f"there is no {kind} in {location}: it must hold {expected} (data.source)")
    if missing := files.missing():
        raise DataError(f"{files.folder} lacks {', '.join(missing)}")
    pixels, labels = _read(kind, files.folder, files.binary, files.train)
    first = len(labels)
    test = None
    if data.evaluate_on == "test":
        test = in_memory(data, *_read(kind, files.folder, files.binary, files.test), first)
    numbers = [str(k) for k in range(CLASSES[kind])]
    names = cifar_names(kind, files.folder)
    return Source(names if len(names) == len(numbers) else numbers, in_memory(data, pixels, labels), test)


@lru_cache(maxsize=2)
def _read(kind: str, folder: Path, binary: bool, names: tuple[str, ...]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pixels (N, 3, 32, 32) and labels (N,) of some files one after another; a process reads them once."""
    read = _read_binary if binary else _read_pickled
    parts = [read(kind, folder / name) for name in names]
    pixels = np.concatenate([pixels for pixels, _ in parts]).reshape(-1, *_SHAPE)
    labels = np.concatenate([labels for _, labels in parts])
    if not len(labels) or labels.min() < 0 or labels.max() >= CLASSES[kind]:
        raise DataError(f"{folder} is not {kind}: its labels are not those of {CLASSES[kind]} classes")
    return pixels, labels


def _read_binary(kind: str, path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    content = np.fromfile(path, dtype=np.uint8)
    before = _LABEL_BYTES[kind]
    if len(content) % (before + _PIXELS):
        raise DataError(f"{path} is damaged: its size is no multiple of {before + _PIXELS} bytes; fetch it again")
    records = content.reshape(-1, before + _PIXELS)
    return records[:, before:], records[:, before - 1].astype(np.int64)


def _read_pickled(kind: str, path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    try:
        batch = read_plain(path)
        pixels, labels = batch[b"data"], np.asarray(batch[_LABEL_KEY[kind]], dtype=np.int64)
        well_formed = isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8
        if not well_formed or pixels.shape != (len(labels), _PIXELS):
            raise ValueError("pixels and labels do not fit together")
    except Exception as error:  # a damaged pickle raises anything
        raise DataError(f"{path} is not a batch of {kind}: {error}") from error
    return pixels, labels
