"""What evaluation sees of a photograph: the shorter side resized by averaging over areas, and the centre of it.

big_vision's `resize_small` and `central_crop`, which judged SimpleViT: TensorFlow's resizing by area gives each
pixel the mean of what it covers, parts of pixels counted in proportion, and the result is truncated to uint8.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NOISE = 1e-6
"""Added before truncation, so that means which are whole numbers are not rounded to the one below."""


def centre_view(pixels: NDArray[np.uint8], shorter: int, size: int) -> NDArray[np.uint8]:
    """The centre (size, size, C) of an image (H, W, C) whose shorter side is resized to ``shorter`` px."""
    height, width = pixels.shape[:2]
    scale = shorter / min(height, width)
    rows = _means(pixels, round(height * scale), size)
    both = _means(np.ascontiguousarray(rows.swapaxes(0, 1)), round(width * scale), size).swapaxes(0, 1)
    return np.ascontiguousarray((both + _NOISE).astype(np.uint8))


def _means(values: NDArray[Any], length: int, count: int) -> NDArray[np.float64]:
    """The ``count`` in the middle of the ``length`` means over equal parts of the first axis."""
    part = len(values) / length
    edges = ((length - count) // 2 + np.arange(count + 1)) * part
    start, end = edges[:-1], edges[1:]
    first = np.floor(start).astype(np.int64)
    means = np.zeros((count, *values.shape[1:]))
    for pixel in (first + k for k in range(math.ceil(part) + 1)):
        covered = np.maximum(np.minimum(end, pixel + 1) - np.maximum(start, pixel), 0.0) / part
        means += covered.reshape(-1, *[1] * (values.ndim - 1)) * values[np.minimum(pixel, len(values) - 1)]
    return means
