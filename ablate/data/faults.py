"""Images that cannot be decoded and classes without images: refused, or left out and listed (`data.faulty`)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ablate.data.cache_files import alone, cache_file
from ablate.data.errors import DataError
from ablate.data.files import opened
from ablate.data.parts import Files, chosen
from ablate.data.pools import Pool, Source, in_files
from ablate.recipe import Data
from ablate.remembered import read_json, write_json

_AT_ONCE = 4096
"""Images that wait to be tried."""


@dataclass(frozen=True)
class Split:
    """The images of one split as the source lists them, faults included."""

    where: str
    """What it is called in messages: a folder, or a split of a data set."""
    classes: list[str]
    files: Files
    labels: NDArray[np.int64]
    """(N,)"""
    stamp: Callable[[], str]
    """Changes with the files."""


def source_of(data: Data, train: Split, test: Split | None) -> Source:
    """The images that can be used; an image's index is its place among all that are listed.

    A class without an image to train on is left out of both splits, and the others are numbered anew. Raises
    `DataError` for classes that differ, and for a class without images unless the Recipe says to skip.
    """
    for split in (train, test):
        if split is not None and len(split.labels) == 0:
            raise DataError(f"{split.where} holds no images")
    if test is not None and test.classes != train.classes:
        differing = ", ".join(sorted(set(train.classes) ^ set(test.classes))[:5])
        raise DataError(f"{train.where} and {test.where} hold different classes: {differing}")
    skipped: list[str] = []
    usable = _usable(data, train, skipped)
    left = np.flatnonzero(_counts(train, usable))
    new_labels = np.full(len(train.classes), -1, dtype=np.int64)
    new_labels[left] = np.arange(len(left))

    def pool(split: Split, at: NDArray[np.int64], first: int) -> Pool:
        at = at[new_labels[split.labels[at]] >= 0]
        return in_files(data, chosen(split.files, at), new_labels[split.labels[at]], first + at)

    pools = [pool(train, usable, 0)]
    if test is not None:
        pools.append(pool(test, _usable(data, test, skipped), len(train.labels)))
        if not len(pools[1].labels):
            raise DataError(f"no image of {test.where} can be used: {skipped[0]}")
    return Source([train.classes[k] for k in left], pools[0], pools[1] if test is not None else None, tuple(skipped))


def _usable(data: Data, split: Split, skipped: list[str]) -> NDArray[np.int64]:
    """Positions of the images to use; what is left out is added to ``skipped``."""
    everything = np.arange(len(split.labels), dtype=np.int64)
    usable = everything
    if data.faulty == "skip":
        faults = unreadable(split)
        skipped += faults.values()
        usable = np.setdiff1d(everything, np.array(sorted(faults), dtype=np.int64))
    for label in np.flatnonzero(_counts(split, usable) == 0):
        message = f"the class {split.classes[label]} of {split.where} has no images"
        if data.faulty == "error":
            raise DataError(f"{message}; data.faulty: skip leaves it out")
        skipped.append(message)
    return usable


def _counts(split: Split, usable: NDArray[np.int64]) -> NDArray[np.int64]:
    """Usable images of each class."""
    return np.bincount(split.labels[usable], minlength=len(split.classes))


def unreadable(split: Split) -> dict[int, str]:
    """Position -> why, of each image that cannot be decoded. All are tried once, and what is found is kept."""
    stamp = split.stamp()
    path = cache_file("unreadable", split.where, ".json")
    with alone(path):
        known = read_json(path)
        if known.get("stamp") != stamp or not isinstance(known.get("faults"), list):
            known = {"where": split.where, "stamp": stamp, "faults": _tried(split.files)}
            write_json(path, known)
    return {int(position): str(why) for position, why in known["faults"]}


def _tried(files: Files) -> list[tuple[int, str]]:
    """As many threads decode as torch computes with."""

    def why(position: int) -> str | None:
        try:
            with opened(files[position]) as image:
                image.load()
        except DataError as error:
            return str(error)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            return f"cannot read the image {files[position]}: {error}"
        return None

    found: list[tuple[int, str]] = []
    with ThreadPoolExecutor(max(1, torch.get_num_threads())) as pool:
        for start in range(0, len(files), _AT_ONCE):  # a million tasks at once would fill the memory
            some = range(start, min(start + _AT_ONCE, len(files)))
            found += [(k, fault) for k, fault in zip(some, pool.map(why, some), strict=True) if fault is not None]
    return found
