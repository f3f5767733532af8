"""Where images come from, and which of them a Trial trains on and is judged on.

A source is trained on its `train_split`. Its `test` is the split that the Recipe names, or is carved out; `val` is
always carved out. Training never sees either, whichever one the Trial is judged on, and no split stands in for another.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ablate.data.cifar import cifar
from ablate.data.errors import DataError
from ablate.data.image_folders import image_folder, imagenet
from ablate.data.image_sets import Splits
from ablate.data.packaged import PACKAGED
from ablate.data.pools import Source, carved, in_memory
from ablate.data.timm_readers import timm_reader
from ablate.recipe import Data

__all__ = ["IN_MEMORY", "PACKAGED", "class_names", "load"]

#: Kinds of sources whose images lie in memory, decoded and all of one size.
IN_MEMORY = frozenset({*PACKAGED, "cifar10", "cifar100"})
#: Source in a folder of this machine -> how it is read.
_IN_FOLDERS: dict[str, Callable[[Data, Path], Source]] = {
    "imagefolder": image_folder,
    "imagenet": imagenet,
    "cifar10": cifar,
    "cifar100": cifar,
}


def load(data: Data) -> Splits:
    """The images to train on, and those of ``data.evaluate_on``.

    An image's index is its place in the whole source, training images first, in the source's order: in a folder,
    that of class and file name. Raises `DataError` for what cannot be.
    """
    if data.evaluate_on == "val" and data.val_fraction == 0:
        raise DataError("data.evaluate_on is val, but data.val_fraction is 0: nothing is held out to evaluate on")
    if data.eval_resize < data.image_size:
        raise DataError(
            f"data.eval_resize ({data.eval_resize}) is smaller than data.image_size ({data.image_size}), "
            "which is cut from its centre"
        )
    source = _source(data)
    if data.classes != len(source.classes):
        left_out = f" without those left out: {source.skipped[-1]}" if source.skipped else ""
        raise DataError(f"data.classes is {data.classes}, but {data.source} has {len(source.classes)}{left_out}")
    return carved(data, source)


def class_names(data: Data) -> list[str]:
    """Names of the classes in the order of their labels; their numbers where the source has no names."""
    return _source(data).classes


def _source(data: Data) -> Source:
    if data.kind in PACKAGED:
        return _packaged(data)
    if not data.kind.startswith("cifar") and data.channels not in (1, 3):
        raise DataError(f"data.channels must be 1 (gray) or 3 (RGB) for {data.kind}, not {data.channels}")
    location = data.location()
    return timm_reader(data) if location is None else _IN_FOLDERS[data.kind](data, location)


def _packaged(data: Data) -> Source:
    if data.evaluate_on == "test" and data.test_fraction == 0:
        raise DataError(
            f"data.evaluate_on is test, but data.test_fraction is 0 and {data.source} has no test split of its own"
        )
    pixels, labels = PACKAGED[data.source]()
    if data.channels != pixels.shape[1]:
        raise DataError(f"data.channels is {data.channels}, but images of {data.source} have {pixels.shape[1]}")
    return Source([str(k) for k in range(int(labels.max()) + 1)], in_memory(data, pixels, labels))
