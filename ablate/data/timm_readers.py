"""Data sets that timm's readers know: of Hugging Face (`hfds`), WebDataset (`wds`) and TensorFlow Datasets (`tfds`).

Found by `timm.data.readers.create_reader`, in timm's default columns (`image` and `label`, or `.jpg` and `.cls`).
Images are taken encoded, and decoded as files are; timm's readers decode those of wds and tfds themselves. Those two
are streams (`ablate.data.streams`). Nothing is downloaded.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablate.data.errors import DataError
from ablate.data.faults import Split, source_of
from ablate.data.packed import Packed
from ablate.data.parts import Bytes, Parts
from ablate.data.pools import Source
from ablate.data.streams import tfds_images, wds_images, wds_shards
from ablate.places import named
from ablate.recipe import Data

_PACKAGES = {
    "hfds": {"datasets": "datasets"},
    "wds": {"webdataset": "webdataset"},
    "tfds": {"tensorflow": "tensorflow", "tensorflow_datasets": "tensorflow-datasets"},
}
"""Reader -> the packages that it imports, and what pip calls them."""


def timm_reader(data: Data) -> Source:
    """The splits that the Recipe names. Raises `DataError` for a package or a data set that is not installed."""
    for module, pip in _PACKAGES[data.kind].items():
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise DataError(f"{data.source} needs a package that is not installed: pip install {pip}") from error
    _check_splits(data)
    train = _split(data, data.train_split, None)
    if data.evaluate_on == "val" or data.test_split is None:
        return source_of(data, train, None)
    return source_of(data, train, _split(data, data.test_split, train.classes))


def _check_splits(data: Data) -> None:
    if data.evaluate_on == "test" and data.test_split is None and data.test_fraction == 0:
        raise DataError(
            "data.evaluate_on is test, but data.test_split is null: write there what the source calls it, or hold "
            "images of the training split out with data.test_fraction"
        )
    if data.kind == "wds":
        folder = named(data.source)
        if not folder.is_dir():  # nor a URL, nor a command in a pipe, which webdataset would open
            raise DataError(f"there is no folder {folder} (data.source; relative paths start at $ABLATE_DATA)")
        return
    for name in ("train_split", "test_split"):
        if any(sign in (getattr(data, name) or "") for sign in "[+"):
            raise DataError(f"data.{name} must be a whole split; a share is held out by test_fraction or val_fraction")
        if data.test_split is not None and (getattr(data, name) or "").lower() == "all":
            raise DataError(f"data.{name} is {getattr(data, name)}, which is every split, the other one's images too")
    if data.train_split == data.test_split:
        raise DataError(f"data.train_split and data.test_split are both {data.train_split}: test images must be others")


def _split(data: Data, split: str, classes: list[str] | None) -> Split:
    """One split, its classes being those of the training split where these are given."""
    where = f"{data.source}, split {split}"
    reader = _reader(data, split)
    images: Bytes
    if data.kind == "hfds":
        images, labels, stamp = _Rows(reader, where), _labels_of_rows(reader, where), str(reader.dataset._fingerprint)
    else:
        images = _packed(data, reader, split)
        labels, stamp = images.labels, images.path.name
    if classes is None:
        names = {number: name for name, number in reader.class_to_idx.items()}
        classes = [str(names.get(k, k)) for k in range(max(len(names), int(labels.max(initial=0)) + 1))]
    if labels.min(initial=0) < 0 or labels.max(initial=0) >= len(classes):
        raise DataError(f"{where} has images without a label, or with one that the training split does not know")
    return Split(where, classes, Parts(images), labels, lambda: stamp)


def _packed(data: Data, reader: Any, split: str) -> Packed:
    if data.kind == "tfds":
        return tfds_images(reader, data.source, split)
    folder = named(data.source)
    if data.test_split is not None:
        train, test = (wds_shards(_reader(data, name), folder) for name in (data.train_split, data.test_split))
        if shared := sorted(set(train) & set(test)):
            raise DataError(f"data.train_split and data.test_split of {data.source} share shards: {shared[0]}")
    return wds_images(reader, folder, split)


def _reader(data: Data, split: str) -> Any:
    readers = importlib.import_module("timm.data.readers")
    name, root = data.source.partition("/")[2], None
    if data.kind == "hfds" and named(data.source).is_dir():
        name = str(named(data.source))
    if data.kind == "wds":
        name, root = Path(name).name, str(named(data.source))
    try:
        with _offline() if data.kind == "hfds" else contextlib.nullcontext():
            return readers.create_reader(f"{data.kind}/{name}", root=root, split=split)
    except Exception as error:  # each package has errors of its own for what is missing
        raise DataError(f"cannot read the split {split!r} of {data.source}: {error}") from error


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """What is trained on is what the fingerprint was taken of: no newer revision is fetched in between."""
    config = importlib.import_module("datasets").config
    before = config.HF_HUB_OFFLINE
    config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        config.HF_HUB_OFFLINE = before


class _Rows:
    """Images of a Hugging Face data set, which has random access."""

    def __init__(self, reader: Any, where: str) -> None:
        self._reader, self._where = reader, where

    def __len__(self) -> int:
        return len(self._reader)

    def content(self, position: int) -> bytes:
        with self._reader[position][0] as image:
            return bytes(image.read())

    def name(self, position: int) -> str:
        return f"image {position} of {self._where}"


def _labels_of_rows(reader: Any, where: str) -> NDArray[np.int64]:
    """Without the images, which would all be read."""
    labels = reader.dataset.select_columns(reader.label_key)[:][reader.label_key]
    try:
        return np.array(labels, dtype=np.int64)
    except (ValueError, TypeError) as error:
        raise DataError(
            f"the column {reader.label_key!r} of {where} does not hold the numbers of classes: {error}"
        ) from error
