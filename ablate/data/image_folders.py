"""Folders of images, one folder per class: anybody's, and ImageNet's in the layouts that it comes in."""

from __future__ import annotations

from pathlib import Path

from ablate.data.cache_files import stamp_of
from ablate.data.errors import DataError
from ablate.data.faults import Split, source_of
from ablate.data.listing import Listing, flat_listing, folders_in, listing
from ablate.data.pools import Source
from ablate.places import LABELS_OF_VAL, imagenet_root
from ablate.recipe import Data


def image_folder(data: Data, location: Path) -> Source:
    """``location/<split>/<class>/*``, the splits being those that the Recipe names and no others."""
    return _source(data, location)


def imagenet(data: Data, location: Path) -> Source:
    """As `image_folder`, and as Kaggle gives ImageNet: the splits below `ILSVRC/Data/CLS-LOC`, validation images flat.

    Labels of a flat split come from `LOC_val_solution.csv` in ``location``.
    """
    root = imagenet_root(location)
    if location.is_dir() and not (root / data.train_split).is_dir():
        raise DataError(
            f"{location} does not look like ImageNet: it must hold {data.train_split}/<class>/*.JPEG, or Kaggle's "
            "ILSVRC/Data/CLS-LOC/{train,val}; where val/ has no folders of classes, their labels are read from "
            f"{LABELS_OF_VAL} (data.source, data.train_split)"
        )
    return _source(data, root, answers=location / LABELS_OF_VAL)


def _source(data: Data, root: Path, answers: Path | None = None) -> Source:
    if not root.is_dir():
        raise DataError(f"there is no folder {root} (data.source; relative paths start at $ABLATE_DATA)")
    train_folder = root / data.train_split
    if data.evaluate_on == "test" and data.test_split is None and data.test_fraction == 0:
        there = [name for name in folders_in(root) if name != data.train_split]
        write = f"data.test_split: {there[0]}" if there else "the name of a folder in data.test_split"
        raise DataError(
            f"data.evaluate_on is test, but data.test_split is null: {root} holds {', '.join(folders_in(root))}. "
            f"Write {write}, or hold images of {data.train_split} out with data.test_fraction"
        )
    train = _split(train_folder, listing(train_folder, _lenient(data)))
    if data.evaluate_on == "val" or data.test_split is None:
        return source_of(data, train, None)
    folder = root / data.test_split
    if folder.is_dir() and _overlap(train_folder, folder):
        raise DataError(f"data.train_split and data.test_split are one folder, or one in the other: {folder.resolve()}")
    if answers is not None and folder.is_dir() and not folders_in(folder):
        return source_of(data, train, _split(folder, flat_listing(folder, answers)))
    return source_of(data, train, _split(folder, _test_listing(data, root, folder)))


def _test_listing(data: Data, root: Path, folder: Path) -> Listing:
    if not folder.is_dir():
        raise DataError(
            f"there is no folder {folder} (data.test_split); {root} holds {', '.join(folders_in(root)) or 'none'}"
        )
    return listing(folder, _lenient(data))


def _split(folder: Path, found: Listing) -> Split:
    classes, paths, labels = found
    return Split(str(folder), classes, paths, labels, lambda: stamp_of(paths))


def _lenient(data: Data) -> bool:
    return data.faulty == "skip"


def _overlap(one: Path, other: Path) -> bool:
    """Whether the folders, or classes in them, are the same or lie in one another; links to folders are followed."""
    a, b = one.resolve(), other.resolve()
    if a.is_relative_to(b) or b.is_relative_to(a):
        return True
    classes = [{child.resolve() for child in folder.iterdir() if child.is_dir()} for folder in (a, b)]
    return bool(classes[0] & classes[1])
