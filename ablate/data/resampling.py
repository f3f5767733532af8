"""One image at a time, cut and resized by PIL.

Boxes are cut out before they are resized, so that nothing from outside them is seen. The view for evaluation in
`bilinear` and `bicubic` is that of torchvision's `Resize` and `CenterCrop`, as in timm, and equal to it bit for bit.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ablate.data.area import centre_view

Resampling = Literal["area", "bilinear", "bicubic"]
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def to_array(image: Image.Image) -> NDArray[np.uint8]:
    """The pixels of a gray or RGB image, (H, W, C)."""
    pixels: NDArray[np.uint8] = np.asarray(image, dtype=np.uint8)
    return pixels.reshape(image.height, image.width, -1)


def to_image(pixels: NDArray[np.uint8]) -> Image.Image:
    """A gray or RGB image of its pixels, (H, W, C) with C of 1 or 3."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def resize_box(region: Image.Image, size: int, bicubic: bool | None) -> Image.Image:
    """What a crop's box shows, resized to (size, size), uint8.

    Without ``bicubic`` from four pixels and without antialiasing, as TensorFlow resizes, and truncated as it casts.
    With it PIL's resizing, which smooths where it shrinks, bicubic or bilinear, and rounds.
    """
    if bicubic is None:
        extent = (0, 0, region.width, region.height)
        return region.transform((size, size), Image.Transform.EXTENT, extent, Image.Resampling.BILINEAR)
    return region.resize((size, size), _FILTERS["bicubic" if bicubic else "bilinear"])


def evaluation_view(image: Image.Image, shorter: int, size: int, resampling: Resampling) -> NDArray[np.uint8]:
    """The centre (size, size, C) of a gray or RGB image whose shorter side is resized to ``shorter`` px."""
    if resampling == "area":
        return centre_view(to_array(image), shorter, size)
    longer = int(shorter * max(image.size) / min(image.size))
    width, height = (shorter, longer) if image.width <= image.height else (longer, shorter)
    resized = image.resize((width, height), _FILTERS[resampling])
    left, top = round((width - size) / 2), round((height - size) / 2)
    return to_array(resized.crop((left, top, left + size, top + size)))
