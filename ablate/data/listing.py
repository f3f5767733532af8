"""Which files of a folder are images of which class."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ablate.data.errors import DataError

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff"})

Listing = tuple[list[str], list[Path], NDArray[np.int64]]
"""Classes (sorted), image files (sorted within their class) and their labels."""


def listing(folder: Path, allow_empty: bool = False) -> Listing:
    """The images ``folder/<class>/*``.

    Hidden files and files that are no images are passed over. Raises `DataError` where the folder, a class
    or, unless ``allow_empty``, an image of a class is missing.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    classes = folders_in(folder)
    if not classes:
        raise DataError(f"{folder} holds no folders of classes")
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = sorted(filter(_is_image, (folder / name).iterdir()), key=lambda path: path.name)
        if not found and not allow_empty:
            raise DataError(f"the class {folder / name} has no images ({', '.join(sorted(EXTENSIONS))})")
        paths += found
        labels += [label] * len(found)
    return classes, paths, np.array(labels, dtype=np.int64)


def folders_in(folder: Path) -> list[str]:
    """Names of the folders in it, sorted, hidden ones aside."""
    return sorted(child.name for child in folder.iterdir() if child.is_dir() and child.name[0] != ".")


def flat_listing(folder: Path, answers: Path) -> Listing:
    """The images ``folder/*``, whose classes stand in Kaggle's ``answers``: `ImageId,PredictionString` per line.

    An image's class is the first word of its PredictionString; boxes follow. Raises `DataError` unless images and
    lines are each other's.
    """
    if not answers.is_file():
        raise DataError(f"the images of {folder} lie in no folders of classes, and there is no {answers} to label them")
    with answers.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        if not {"ImageId", "PredictionString"} <= set(rows.fieldnames or ()):
            raise DataError(f"{answers} must begin with the line ImageId,PredictionString")
        wnids = {row["ImageId"]: (row["PredictionString"] or "").split(" ", 1)[0] for row in rows}
    found = {path.stem: path for path in folder.iterdir() if _is_image(path)}
    if unknown := sorted(found.keys() ^ wnids.keys()):
        raise DataError(f"{folder} and {answers} do not hold the same {len(wnids)} images: {', '.join(unknown[:5])}")
    classes = sorted(set(wnids.values()))
    labels = {name: label for label, name in enumerate(classes)}
    pairs = sorted((labels[wnids[image]], path) for image, path in found.items())
    return classes, [path for _, path in pairs], np.array([label for label, _ in pairs], dtype=np.int64)


def _is_image(path: Path) -> bool:
    return path.name[0] != "." and path.suffix.lower() in EXTENSIONS
