"""Images of a source before anything is carved out of them, and the carving."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ablate.data.errors import DataError
from ablate.data.folder import FolderImages
from ablate.data.image_sets import ImageSet, MemoryImages, Splits
from ablate.data.parts import Files, chosen
from ablate.data.splits import held_out
from ablate.recipe import Data

Positions = NDArray[np.int64]


@dataclass(frozen=True)
class Pool:
    """Images with labels, out of which image sets are made."""

    labels: NDArray[np.int64]
    """(N,)"""
    indices: NDArray[np.int64]
    """(N,), stable in the whole source."""
    images: Callable[[Positions], ImageSet]
    """The images at some positions, as the Recipe wants to see them."""


@dataclass(frozen=True)
class Source:
    """What a source has to offer to a Recipe."""

    classes: list[str]
    """Their names, or their numbers where they have none."""
    train: Pool
    test: Pool | None = None
    """The source's own test split; None where test is carved out, or not asked for."""
    skipped: tuple[str, ...] = ()
    """What was left out, in words (`data.faulty`)."""


def in_memory(data: Data, pixels: NDArray[np.uint8], labels: NDArray[np.int64], first: int = 0) -> Pool:
    """Images (N, C, H, W) that stay in memory; the first of them has the index ``first``."""
    indices = first + np.arange(len(labels), dtype=np.int64)

    def images(at: Positions) -> ImageSet:
        return MemoryImages(
            torch.from_numpy(pixels[at]),
            torch.from_numpy(labels[at]),
            torch.from_numpy(indices[at]),
            data.image_size,
            data.eval_resize,
            data.eval_resampling,
        )

    return Pool(labels, indices, images)


def in_files(data: Data, files: Files, labels: NDArray[np.int64], indices: NDArray[np.int64]) -> Pool:
    """Encoded images, decoded when a batch asks for them."""

    def images(at: Positions) -> ImageSet:
        return FolderImages(
            chosen(files, at),
            labels[at],
            indices[at],
            data.channels,
            data.image_size,
            data.eval_resize,
            data.eval_resampling,
        )

    return Pool(labels, indices, images)


def carved(data: Data, source: Source) -> Splits:
    """Train, and the held-out split that the Recipe is judged on.

    Test is carved out first where the source has none, then val out of the rest: training sees neither, whichever
    is asked for. Raises `DataError` where nothing would be held out, or a class has no image to train on.
    """
    pool = source.train
    test, val = held_out(data, pool.labels, pool.indices)
    train = pool.images(np.flatnonzero(~test & ~val))
    if data.evaluate_on == "test" and source.test is not None:
        judged = source.test.images(np.arange(len(source.test.labels)))
    else:
        judged = pool.images(np.flatnonzero(val if data.evaluate_on == "val" else test))
    if not len(judged):
        raise DataError(f"data.{data.evaluate_on}_fraction is so small that no image is held out")
    missing = set(range(data.classes)) - set(train.labels.unique().tolist())
    if missing:
        raise DataError(f"{len(missing)} of {data.classes} classes have no image left to train on; hold out less")
    return Splits(train, judged, source.skipped)
