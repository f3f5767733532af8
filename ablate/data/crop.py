"""The Inception crop (Szegedy et al., arXiv 1409.4842): a random box of some area and aspect ratio, resized.

Boxes are drawn as TensorFlow's `sample_distorted_bounding_box` draws them, which trained SimpleViT: aspect
ratio uniform, then height uniform between what the smallest area and the image allow. torchvision's
RandomResizedCrop takes the area uniform instead, and so cuts larger boxes: with areas from 5 % on, 52 % of
the image on average against 31 %. Two departures: at most 10 attempts (TensorFlow 100) before the whole
image is taken, and every place is possible (TensorFlow never takes the last row and column).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ablate import draws, recipe

_ATTEMPTS = 10


def inception_boxes(
    settings: recipe.InceptionCrop,
    sizes: NDArray[np.int64],
    seed: int,
    epoch: int,
    indices: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Top, left, height and width, (B, 4), in images of height and width ``sizes`` (B, 2).

    Keyed by (seed, epoch, image), with ``indices`` (B,) as the images' stable ids.
    """
    draw = draws.uniform(seed, "crop", epoch, indices, 4 * _ATTEMPTS).reshape(-1, _ATTEMPTS, 4)
    tall, wide = sizes[:, :1], sizes[:, 1:]
    aspect = settings.min_aspect + draw[..., 0] * (settings.max_aspect - settings.min_aspect)
    smallest, largest = settings.min_area * tall * wide, tall * wide
    low, high = np.rint(np.sqrt(smallest / aspect)), np.rint(np.sqrt(largest / aspect))
    high = np.where(np.rint(high * aspect) > wide, np.floor((wide + 0.5 - 1e-7) / aspect), high)
    high = np.minimum(high - (np.rint(high * aspect) > wide), tall)
    low = np.minimum(low, high)
    height = low + np.floor(draw[..., 1] * (high - low + 1))
    height += height * np.rint(height * aspect) < smallest  # rounding may miss the area by a row
    height -= height * np.rint(height * aspect) > largest
    width = np.rint(height * aspect)
    area = height * width
    fits = (area >= smallest) & (area <= largest) & (height <= tall) & (width <= wide) & (area > 0)
    first = fits.argmax(axis=1)  # the first attempt that fits; 0 where none does
    row = np.arange(len(indices))
    none = ~fits[row, first]
    height = np.where(none, sizes[:, 0], height[row, first])
    width = np.where(none, sizes[:, 1], width[row, first])
    top = np.floor(draw[row, first, 2] * (sizes[:, 0] - height + 1))
    left = np.floor(draw[row, first, 3] * (sizes[:, 1] - width + 1))
    return np.stack([top, left, height, width], axis=1).astype(np.int64)


def crop_resize(images: Tensor, boxes: NDArray[np.int64], size: int) -> Tensor:
    """Cut a box (top, left, height, width) out of each uint8 image (B, C, H, W) and resize it to (size, size).

    Bilinear, half-pixel centres, nothing from outside the box, rounded to nearest. There is no
    antialiasing: boxes are meant to be no larger than ``size``.
    """
    batch, channels, _, width = images.shape
    above, below, down = _neighbours(boxes[:, 0], boxes[:, 2], size, images.device)
    left, right, across = _neighbours(boxes[:, 1], boxes[:, 3], size, images.device)

    def take(values: Tensor, index: Tensor, dim: int) -> Tensor:
        shape = (batch, 1, size, 1) if dim == 2 else (batch, 1, 1, size)
        other = (batch, channels, size, width) if dim == 2 else (batch, channels, size, size)
        return values.gather(dim, index.view(shape).expand(other))

    first, second = take(images, above, 2).float(), take(images, below, 2).float()
    rows = first + (second - first) * down.view(batch, 1, size, 1)
    first, second = take(rows, left, 3), take(rows, right, 3)
    resized = first + (second - first) * across.view(batch, 1, 1, size)
    return (resized + 0.5).to(torch.uint8)


def _neighbours(
    start: NDArray[np.int64], length: NDArray[np.int64], size: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Indices of the two pixels about each output pixel along one axis, and the weight of the second; (B, size)."""
    centres = (np.arange(size) + 0.5) * (length[:, None] / size) - 0.5
    centres = np.clip(centres, 0, length[:, None] - 1)
    low = np.floor(centres).astype(np.int64)
    high = np.minimum(low + 1, length[:, None] - 1)
    weight = (centres - low).astype(np.float32)
    arrays = (low + start[:, None], high + start[:, None], weight)
    first, second, share = (torch.from_numpy(array).to(device) for array in arrays)
    return first, second, share
