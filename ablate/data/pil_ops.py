"""PIL's operations on pixel values, for batches of uint8 images (n, C, H, W), each with an argument of its own.

They are what timm's and torchvision's augmentations call: `ImageOps`, `ImageEnhance` and `ImageFilter` of Pillow, with
its rounding, which `ablate.data.image_ops` (big_vision's operations) does not share. Every function takes the images
and an argument for each, (n, 1, 1, 1) float64, and ignores it where there is nothing to set. Where Pillow knows gray
and RGB only, the gray version of an image of other channels is their mean.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ablate.data.image_ops import equalize

_PASSES = 3
"""Box filters that make up PIL's Gaussian blur."""


def gray(images: Tensor) -> Tensor:
    """The gray version, (n, 1, H, W) uint8, rounded to nearest: luma weights of ITU-R 601-2 for RGB (PIL's `L`)."""
    channels = images.shape[1]
    if channels == 3:
        red, green, blue = images.int().split(1, dim=1)
        return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).to(torch.uint8)
    total = images.int().sum(1, keepdim=True)
    return torch.div(total + channels // 2, channels, rounding_mode="floor").to(torch.uint8)


def blend(images: Tensor, degenerate: Tensor | float, factor: Tensor) -> Tensor:
    """``degenerate + factor * (images - degenerate)``, clipped and truncated, in float32 as PIL's `Image.blend`."""
    other = degenerate.float() if isinstance(degenerate, Tensor) else degenerate
    mixed = (images.float() - other) * factor.float() + other
    return mixed.clamp_(0.0, 255.0).to(torch.uint8)


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with black: 0 is black, 1 the image."""
    return blend(images, 0.0, factor)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with the mean of the gray version, rounded to nearest."""
    pixels = images.shape[-2] * images.shape[-1]
    total = gray(images).sum((1, 2, 3), keepdim=True, dtype=torch.int64)
    return blend(images, torch.div(2 * total + pixels, 2 * pixels, rounding_mode="floor"), factor)


def color(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with the gray version; images of one channel stay as they are."""
    return images if images.shape[1] == 1 else blend(images, gray(images), factor)


def desaturate(images: Tensor, share: Tensor) -> Tensor:
    """Take this share of the colour away: 1 leaves the gray version (timm)."""
    return color(images, (1.0 - share).clamp(0.0, 1.0))


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with the image smoothed by (1 1 1, 1 5 1, 1 1 1) / 13, rounded to nearest; the border stays as it is."""
    if min(images.shape[-2:]) < 3:
        return images
    pixels = images.int()
    rows = pixels[..., :-2, :] + pixels[..., 1:-1, :] + pixels[..., 2:, :]
    box = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    smooth = torch.div(box + 4 * pixels[..., 1:-1, 1:-1] + 6, 13, rounding_mode="floor")
    result = images.clone()
    result[..., 1:-1, 1:-1] = blend(images[..., 1:-1, 1:-1], smooth, factor)
    return result


def autocontrast(images: Tensor, _: Tensor) -> Tensor:
    """Stretch each channel to 0..255; a constant channel stays as it is."""
    low = images.amin((2, 3), keepdim=True).double()
    high = images.amax((2, 3), keepdim=True).double()
    scale = torch.full_like(low, 255.0) / (high - low).clamp_(min=1.0)  # a plain 255.0 would take the reciprocal
    stretched = (images.double() * scale + -low * scale).clamp_(0.0, 255.0).to(torch.uint8)
    return torch.where(high > low, stretched, images)


def invert(images: Tensor, _: Tensor) -> Tensor:
    """Negative of the image."""
    return 255 - images


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keep the highest 0 to 8 bits of each value.

    0 gives black. Pillow 13 refuses it, and with it timm's Posterize wherever a level asks for no bits.
    """
    dropped = 2 ** (8 - bits).int()
    return images & (256 - dropped).to(torch.uint8)


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Invert the values that are not below the threshold; 256 changes nothing."""
    return torch.where(images < threshold.ceil().to(torch.int16), images, 255 - images)


def solarize_add(images: Tensor, addition: Tensor) -> Tensor:
    """Add up to 128 to the values below 128."""
    return torch.where(images < 128, images + addition.to(torch.uint8), images)


def gaussian_blur(images: Tensor, radius: Tensor) -> Tensor:
    """Blur with a standard deviation of ``radius`` px, below 2.4: three box filters along each axis, as in PIL.

    A box reaches its fractional radius by weights of 24 bits and every filter rounds to uint8 (Gwosdek et al., SSVM
    2011, eq. 7, 11 and 14). Sums take 32 bits: where they turn negative, the eight that count are the same.
    """
    weights = _box_weights(radius)
    blurred = images.int()
    for axis in (3, 2):
        for _ in range(_PASSES):
            blurred = _box(blurred, weights, axis)
    return blurred.to(torch.uint8)


def _box(pixels: Tensor, weights: tuple[Tensor, Tensor, Tensor], axis: int) -> Tensor:
    """One box filter; weights of a pixel, its neighbours and the next ones; the border repeats its values."""
    size = pixels.shape[axis]
    places = torch.arange(size, device=pixels.device)

    def moved(by: int) -> Tensor:
        return pixels.index_select(axis, (places + by).clamp_(0, size - 1))

    total = pixels * weights[0] + (moved(-1) + moved(1)) * weights[1] + (moved(-2) + moved(2)) * weights[2]
    return ((total + (1 << 23)) >> 24) & 255


def _box_weights(radius: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Weights of 24 bits, each (n, 1, 1, 1) int32, of boxes whose whole part is 1 or 3 px wide."""
    variance = radius.float() * radius.float() / _PASSES
    length = torch.sqrt(12.0 * variance.double() + 1.0).float()
    whole = torch.floor((length - 1.0) / 2.0)
    part = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance) / (6 * (variance - (whole + 1) * (whole + 1)))
    inner = (torch.full_like(part, 2.0**24) / ((whole + part) * 2 + 1)).to(torch.int32)
    outer = torch.div(2**24 - (2 * whole + 1).to(torch.int32) * inner, 2, rounding_mode="floor")
    wide = whole >= 1
    return inner, torch.where(wide, inner, outer), torch.where(wide, outer, 0)


#: Operation -> what it does to images (n, C, H, W) with arguments (n, 1, 1, 1).
ON_VALUES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "AutoContrast": autocontrast,
    "Equalize": lambda images, _: equalize(images),
    "Invert": invert,
    "Posterize": posterize,
    "Solarize": solarize,
    "SolarizeAdd": solarize_add,
    "Color": color,
    "Contrast": contrast,
    "Brightness": brightness,
    "Sharpness": sharpness,
    "Desaturate": desaturate,
    "GaussianBlur": gaussian_blur,
}
