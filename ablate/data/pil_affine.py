"""PIL's `Image.transform` by affine maps, for batches of uint8 images (n, C, H, W).

Coordinates count from the corners of pixels. A pixel whose source lies outside the image takes the fill colour; within,
the border's pixels stand for those beyond it. Sums are float64 and truncated, as in Pillow's `Geometry.c`, so that the
same pixels come out on every device.
"""

from __future__ import annotations

import math
from enum import IntEnum
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ablate.data.pieces import in_pieces

#: Operations that move pixels; their argument is a factor, px, a share of the side, or degrees counter-clockwise.
MOVES = ("ShearX", "ShearY", "TranslateX", "TranslateY", "TranslateXRel", "TranslateYRel", "Rotate")


_FRAME = 2
"""Pixels beyond the border that a bicubic one within may ask for."""


class Resampling(IntEnum):
    """Along each axis, how many source pixels decide one of the result."""

    NEAREST = 1
    BILINEAR = 2
    BICUBIC = 4
    """Cubic convolution (Keys) with a = -1."""


def matrices(name: str, arguments: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """Rows a to f for `affine`, (n, 6), of one of `MOVES` with arguments (n,)."""
    maps = np.tile(np.array([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]), (len(arguments), 1))
    if name == "Rotate":
        return _rotations(arguments, height, width)
    column = {"ShearX": 1, "ShearY": 3}.get(name, 2 if name.startswith("TranslateX") else 5)
    side = {"TranslateXRel": width, "TranslateYRel": height}.get(name, 1)
    maps[:, column] = arguments * side
    return maps


def _rotations(degrees: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """About the centre, as PIL's `Image.rotate` writes it."""
    angles = (-np.radians(degrees % 360.0)).tolist()
    cos = np.array([round(math.cos(angle), 15) for angle in angles])  # numpy rounds otherwise, at 45 degrees
    sin = np.array([round(math.sin(angle), 15) for angle in angles])
    x, y = width / 2, height / 2
    return np.stack([cos, sin, cos * -x + sin * -y + x, -sin, cos, -sin * -x + cos * -y + y], axis=1)


def move(images: Tensor, name: str, arguments: NDArray[np.float64], fill: Tensor, resampling: Resampling) -> Tensor:
    """Shifted, sheared or turned copies: one of `MOVES` with arguments (n,); ``fill`` (C,) uint8 is a colour.

    Where an axis keeps its places, interpolation along it would change nothing and is left out.
    """
    maps = torch.from_numpy(matrices(name, arguments, *images.shape[-2:])).to(images.device)
    across = Resampling.NEAREST if name in ("ShearY", "TranslateY", "TranslateYRel") else resampling
    down = Resampling.NEAREST if name in ("ShearX", "TranslateX", "TranslateXRel") else resampling
    return in_pieces(partial(affine, fill=fill, across=across, down=down), images, maps)


def affine(images: Tensor, maps: Tensor, fill: Tensor, across: Resampling, down: Resampling) -> Tensor:
    """Take the pixel at (x, y) of image i from (a x + b y + c, d x + e y + f), or else from ``fill``.

    ``maps`` (n, 6) float64 holds a to f; ``across`` and ``down`` say how pixels are found along each axis.
    """
    n, channels, height, width = images.shape
    x = torch.arange(width, device=images.device, dtype=torch.float64) + 0.5
    y = (torch.arange(height, device=images.device, dtype=torch.float64) + 0.5).unsqueeze(1)
    a, b, c, d, e, f = (column.view(n, 1, 1) for column in maps.unbind(1))
    source_x, source_y = a * x + b * y + c, d * x + e * y + f
    inside = (source_x >= 0) & (source_x < width) & (source_y >= 0) & (source_y < height)
    left, right_of = _first(source_x, width, across)
    top, below = _first(source_y, height, down)
    framed = _framed(images)
    stride = framed.shape[3]
    flat = framed.flatten(2)
    index = (top * stride + left).view(n, 1, -1).expand(-1, channels, -1)

    def take(row: int, column: int) -> Tensor:
        """The pixels so far from the first of those that decide; shifting the source spares a sum of indices."""
        return flat[..., row * stride + column :].gather(2, index).view(images.shape).double()

    rows = [_between([take(row, column) for column in range(across)], right_of) for row in range(down)]
    moved = _between(rows, below).clamp_(0.0, 255.0).to(torch.uint8)
    return torch.where(inside.unsqueeze(1), moved, fill.view(1, -1, 1, 1))


def _framed(images: Tensor) -> Tensor:
    """The border's pixels repeated `_FRAME` times on each side."""
    for axis in (2, 3):
        size = images.shape[axis]
        places = torch.arange(-_FRAME, size + _FRAME, device=images.device).clamp_(0, size - 1)
        images = images.index_select(axis, places)
    return images


def _first(source: Tensor, size: int, resampling: Resampling) -> tuple[Tensor, Tensor]:
    """Where, in the framed image, the first deciding pixel lies along one axis, (n, H, W), and how far the source lies
    behind the inner first one, (n, 1, H, W).
    """
    centred = source if resampling == Resampling.NEAREST else source - 0.5
    inner = centred.floor()
    before = max(0, resampling // 2 - 1)
    first = (inner - before).clamp_(-_FRAME, size + _FRAME - resampling).long() + _FRAME
    return first, (centred - inner).unsqueeze(1)


def _between(values: list[Tensor], t: Tensor) -> Tensor:
    """The value at ``t`` in [0, 1) between the two inner ones of 1, 2 or 4, in Pillow's order of sums."""
    if len(values) == 1:
        return values[0]
    if len(values) == 2:
        first, second = values
        return (second - first).mul_(t).add_(first)
    before, first, second, after = values
    square = (before - first).mul_(2.0).add_(second).sub_(after)
    cubic = (first - before).sub_(second).add_(after)
    return cubic.mul_(t).add_(square).mul_(t).add_(second - before).mul_(t).add_(first)
