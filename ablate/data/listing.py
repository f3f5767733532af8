"""Which files of a folder are images of which class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ablate.data.errors import DataError

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff"})


def listing(folder: Path) -> tuple[list[str], list[Path], NDArray[np.int64]]:
    """Classes (sorted), image files (sorted within their class) and labels of ``folder/<class>/*``.

    Hidden files and files that are no images are passed over. Raises `DataError` where the folder, a class
    or an image is missing.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    classes = sorted(child.name for child in folder.iterdir() if child.is_dir() and child.name[0] != ".")
    if not classes:
        raise DataError(f"{folder} holds no folders of classes")
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = sorted(
            path for path in (folder / name).iterdir() if path.suffix.lower() in EXTENSIONS and path.name[0] != "."
        )
        if not found:
            raise DataError(f"the class {folder / name} has no images ({', '.join(sorted(EXTENSIONS))})")
        paths += found
        labels += [label] * len(found)
    return classes, paths, np.array(labels, dtype=np.int64)
