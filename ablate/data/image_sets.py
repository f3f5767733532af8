"""What the rest of the program sees of a data set, and the data sets that fit into memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from ablate.data.crop import crop_resize

Boxes = NDArray[np.int64]
"""(B, 4): top, left, height, width in px of the image that `ImageSet.sizes` measures."""


class ImageSet(Protocol):
    """Images with labels; a position counts within the set, an index is stable in the whole source."""

    labels: Tensor
    """(N,) int64."""
    indices: Tensor
    """(N,) int64: the same image has the same index, however the source is split."""
    decodes: bool
    """Whether `images` reads files, so that reading ahead pays."""

    def __len__(self) -> int:
        """Number of images."""
        ...

    def sizes(self, positions: Tensor) -> NDArray[np.int64]:
        """Height and width, (B, 2), of the images that training crops are cut from."""
        ...

    def images(self, positions: Tensor, boxes: Boxes | None = None) -> Tensor:
        """Images as uint8 (B, C, S, S): the boxes resized, or without boxes the view for evaluation.

        That view is the shorter side resized to the Recipe's `eval_resize`, and the centre of it.
        Raises `DataError` for an image that cannot be read.
        """
        ...


@dataclass(frozen=True)
class Splits:
    """Disjoint images to train on and to be judged on."""

    train: ImageSet
    held_out: ImageSet


class MemoryImages:
    """Images that lie in memory as uint8, (N, C, H, W), all of one size.

    They are resized once, bilinearly with antialiasing and rounding to nearest: to S x S for training, and
    to the evaluation's view. At the source's own size nothing is resampled.
    """

    decodes = False

    def __init__(self, pixels: Tensor, labels: Tensor, indices: Tensor, image_size: int, eval_resize: int) -> None:
        self.labels = labels
        self.indices = indices
        self._size = image_size
        self._pixels = resize(pixels, image_size, image_size)
        height, width = pixels.shape[-2:]
        shorter = min(height, width)
        tall, wide = round(height * eval_resize / shorter), round(width * eval_resize / shorter)
        top, left = (tall - image_size) // 2, (wide - image_size) // 2
        view = resize(pixels, tall, wide)
        self._view = view[..., top : top + image_size, left : left + image_size].contiguous()

    def __len__(self) -> int:
        return len(self.labels)

    def sizes(self, positions: Tensor) -> NDArray[np.int64]:
        """All are S x S."""
        return np.full((len(positions), 2), self._size, dtype=np.int64)

    def images(self, positions: Tensor, boxes: Boxes | None = None) -> Tensor:
        """See `ImageSet.images`."""
        if boxes is None:
            return self._view[positions]
        return crop_resize(self._pixels[positions], boxes, self._size)


def resize(pixels: Tensor, height: int, width: int) -> Tensor:
    """Resize uint8 images (N, C, H, W) bilinearly with antialiasing; the same size gives the same tensor."""
    if pixels.shape[-2:] == (height, width):
        return pixels
    resized = interpolate(pixels.float(), size=(height, width), mode="bilinear", antialias=True)
    return resized.round_().clamp_(0, 255).to(torch.uint8)
