"""What the rest of the program sees of a data set, and the data sets that fit into memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from ablate.data.crop import crop_resize
from ablate.data.resampling import Resampling, evaluation_view, resize_box, to_array, to_image

Boxes = NDArray[np.int64]
"""(B, 4): top, left, height, width in px of the image that `ImageSet.sizes` measures."""


_AT_ONCE = 1024
"""Images that are resized together."""


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

    def images(self, positions: Tensor, boxes: Boxes | None = None, bicubic: NDArray[np.bool_] | None = None) -> Tensor:
        """Images as uint8 (B, C, S, S): the boxes resized, or without boxes the view for evaluation.

        Boxes are resized bilinearly without antialiasing, or where ``bicubic`` (B,) is given by PIL, bicubic where
        it says so and else bilinear. The view is the shorter side resized to the Recipe's `eval_resize`, and the
        centre of it. Raises `DataError` for an image that cannot be read.
        """
        ...


@dataclass(frozen=True)
class Splits:
    """Disjoint images to train on and to be judged on."""

    train: ImageSet
    held_out: ImageSet
    skipped: tuple[str, ...] = ()


class MemoryImages:
    """Images that lie in memory as uint8, (N, C, H, W), all of one size.

    They are resized once, bilinearly with antialiasing and rounding to nearest: to S x S for training, and
    to the evaluation's view, which has PIL's resampling where ``eval_resampling`` is not `area`. At the source's own
    size nothing is resampled.
    """

    decodes = False

    def __init__(
        self,
        pixels: Tensor,
        labels: Tensor,
        indices: Tensor,
        image_size: int,
        eval_resize: int,
        eval_resampling: Resampling = "area",
    ) -> None:
        self.labels = labels
        self.indices = indices
        self._size = image_size
        self._pixels = resize(pixels, image_size, image_size)
        height, width = pixels.shape[-2:]
        if eval_resampling != "area":
            views = [evaluation_view(image, eval_resize, image_size, eval_resampling) for image in _images(pixels)]
            self._view = _batch(views, self._pixels)
            return
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

    def images(self, positions: Tensor, boxes: Boxes | None = None, bicubic: NDArray[np.bool_] | None = None) -> Tensor:
        """See `ImageSet.images`; without antialiasing, what is between two values is rounded to nearest."""
        if boxes is None:
            return self._view[positions]
        pixels = self._pixels[positions]
        if bicubic is None:
            return crop_resize(pixels, boxes, self._size)
        regions = (
            image.crop((left, top, left + width, top + height))
            for image, (top, left, height, width) in zip(_images(pixels), boxes.tolist(), strict=True)
        )
        cut = (resize_box(region, self._size, way) for region, way in zip(regions, bicubic.tolist(), strict=True))
        return _batch(map(to_array, cut), pixels)


def _images(pixels: Tensor) -> Iterator[Image.Image]:
    """Gray or RGB images (N, C, H, W) as PIL has them."""
    return map(to_image, pixels.permute(0, 2, 3, 1).contiguous().numpy())


def _batch(views: Iterable[NDArray[np.uint8]], pixels: Tensor) -> Tensor:
    """Views (S, S, C) as one tensor (N, C, S, S); none are as many as ``pixels`` (0, C, S, S)."""
    arrays = list(views)
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous() if arrays else pixels


def resize(pixels: Tensor, height: int, width: int) -> Tensor:
    """Resize uint8 images (N, C, H, W) bilinearly with antialiasing; the same size gives the same tensor."""
    if pixels.shape[-2:] == (height, width):
        return pixels
    made = []
    for some in pixels.split(_AT_ONCE):  # as floats they are large
        resized = interpolate(some.float(), size=(height, width), mode="bilinear", antialias=True)
        made.append(resized.round_().clamp_(0, 255).to(torch.uint8))
    return torch.cat(made)
