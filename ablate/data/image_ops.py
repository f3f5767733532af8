"""The sixteen operations of RandAugment, each on a batch of uint8 images (n, C, H, W).

They follow big_vision's `pp/autoaugment.py`, which is not PIL: affine operations take the nearest pixel and
fill with gray, blends truncate, and `contrast` blends with a constant. Floating-point steps are float32, one
rounding per operation as in TensorFlow, so that every device computes the same pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor

FILL = 128
"""Value of pixels that come from outside the image."""
CONTRAST_GRAY = 196
"""What `contrast` blends with: big_vision sums the histogram where PIL takes the mean, so its gray is
pixels / 256, which is 196 for the 224 px of the published runs. Kept for every size, as the operation
would otherwise turn into `brightness` on small images."""


def blend(first: Tensor, second: Tensor | float, factor: float) -> Tensor:
    """``second + factor * (first - second)``, clipped and truncated: 0 gives ``second``, 1 gives ``first``."""
    degenerate = second.float() if isinstance(second, Tensor) else second
    mixed = (first.float() - degenerate) * factor + degenerate
    return mixed.clamp_(0.0, 255.0).to(torch.uint8)


def invert(images: Tensor) -> Tensor:
    """Negative of the image."""
    return 255 - images


def posterize(images: Tensor, bits: int) -> Tensor:
    """Keep the highest ``bits`` bits of each pixel; bits outside 1..8 count as 1, as in TensorFlow.

    Its shift by 8 - bits is a uint8, which wraps below zero, and is cut to 7.
    """
    shift = 8 - bits if 1 <= bits <= 8 else 7
    return (images >> shift) << shift


def solarize(images: Tensor, threshold: int) -> Tensor:
    """Invert the pixels that are not below the threshold, which wraps at 256, as in TensorFlow.

    RandAugment's level 10 asks for 256. Compared with uint8 pixels that was 0 in every TensorFlow graph
    (run with TensorFlow 2.15, numpy 1.26), so the published runs inverted where PIL does nothing.
    """
    return torch.where(images < threshold % 256, images, 255 - images)


def solarize_add(images: Tensor, addition: int, threshold: int = 128) -> Tensor:
    """Add to the pixels below the threshold, clipped to 255."""
    added = (images.int() + addition).clamp_(0, 255).to(torch.uint8)
    return torch.where(images < threshold, added, images)


def brightness(images: Tensor, factor: float) -> Tensor:
    """Blend with black."""
    return blend(images, 0.0, factor)


def contrast(images: Tensor, factor: float) -> Tensor:
    """Blend with the constant `CONTRAST_GRAY`."""
    return blend(images, float(CONTRAST_GRAY), factor)


def lookup(images: Tensor, tables: Tensor, rows: Tensor) -> Tensor:
    """Replace each pixel v of image i by ``tables[rows[i], v]``; tables (k, 256) uint8, rows (n,) int32."""
    index = images.int() + (rows * 256).view(-1, 1, 1, 1)
    return tables.flatten().index_select(0, index.flatten()).view(images.shape)


def color(images: Tensor, factor: float) -> Tensor:
    """Blend with the gray version of the image.

    RGB: luma weights .2989, .587, .114. One channel: no change, there is no colour. Other numbers of
    channels: gray is their mean.
    """
    channels = images.shape[1]
    if channels == 1:
        return images
    if channels == 3:
        unit = images.float() * (1.0 / 255.0)
        gray = unit[:, 0:1] * 0.2989 + unit[:, 1:2] * 0.587 + unit[:, 2:3] * 0.114
        gray = (gray * 255.5).to(torch.uint8)  # TensorFlow's scaling to uint8: by 255.5, then truncated
    else:
        gray = torch.div(images.int().sum(1, keepdim=True), channels, rounding_mode="floor").to(torch.uint8)
    return blend(images, gray, factor)


def sharpness(images: Tensor, factor: float) -> Tensor:
    """Blend with the image smoothed by PIL's kernel (1 1 1, 1 5 1, 1 1 1) / 13; the border keeps its values."""
    if min(images.shape[-2:]) < 3:
        return images
    pixels = images.int()
    rows = pixels[..., :-2, :] + pixels[..., 1:-1, :] + pixels[..., 2:, :]
    box = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    smooth = torch.div(box + 4 * pixels[..., 1:-1, 1:-1], 13, rounding_mode="floor")
    inner = images[..., 1:-1, 1:-1]
    result = images.clone()
    result[..., 1:-1, 1:-1] = blend(inner, smooth, factor)
    return result


def autocontrast(images: Tensor) -> Tensor:
    """Stretch each channel to 0..255; a constant channel stays as it is."""
    low = images.amin((2, 3), keepdim=True).float()
    high = images.amax((2, 3), keepdim=True).float()
    scale = 255.0 / (high - low).clamp_(min=1.0)
    stretched = (images.float() * scale + -low * scale).clamp_(0.0, 255.0).to(torch.uint8)
    return torch.where(high > low, stretched, images)


def equalize(images: Tensor) -> Tensor:
    """Flatten each channel's histogram, in PIL's integer arithmetic.

    The step is (pixels - count of the brightest value) // 255, so that images of fewer than 256 pixels
    (digits of 8 x 8) never change, in PIL and TensorFlow alike.
    """
    n, channels, height, width = images.shape
    if height * width < 256:
        return images
    flat = images.reshape(n * channels, height * width).long()
    offsets = torch.arange(n * channels, device=images.device).unsqueeze(1) * 256
    counts = torch.bincount((flat + offsets).flatten(), minlength=n * channels * 256).view(-1, 256)
    brightest = counts.gather(1, flat.amax(1, keepdim=True))
    step = torch.div(height * width - brightest, 255, rounding_mode="floor")
    divisor = step.clamp(min=1)
    before = counts.cumsum(1) - counts
    half = torch.div(step, 2, rounding_mode="floor")
    table = torch.div(before + half, divisor, rounding_mode="floor").clamp_(0, 255)
    table[:, 0] = 0
    return torch.where(step > 0, table.gather(1, flat), flat).to(torch.uint8).view(images.shape)


def cutout(images: Tensor, centres: Tensor, half: int) -> Tensor:
    """Gray square of side ``2 * half`` about each centre (n, 2) of row and column, cut off at the border."""
    height, width = images.shape[-2:]
    y = torch.arange(height, device=images.device) - centres[:, 0:1]
    x = torch.arange(width, device=images.device) - centres[:, 1:2]
    inside = ((y >= -half) & (y < half)).unsqueeze(2) & ((x >= -half) & (x < half)).unsqueeze(1)
    return images.masked_fill(inside.unsqueeze(1), FILL)


def affine(images: Tensor, matrices: Tensor) -> Tensor:
    """Take pixel (x, y) of image i from (a x + b y + c, d x + e y + f), the nearest one, else `FILL`.

    ``matrices`` (n, 6) float32 holds a to f. Halves round away from zero, as in TensorFlow's
    ImageProjectiveTransform; products and sums are separate float32 operations, never fused.
    """
    n, channels, height, width = images.shape
    x = torch.arange(width, device=images.device, dtype=torch.float32)
    y = torch.arange(height, device=images.device, dtype=torch.float32)
    a, b, c, d, e, f = (column.view(n, 1, 1) for column in matrices.unbind(1))
    source_x = (a * x.view(1, 1, -1) + b * y.view(1, -1, 1)) + c
    source_y = (d * x.view(1, 1, -1) + e * y.view(1, -1, 1)) + f
    # Above -.5, rounding half away from zero is rounding half up, and at -.5 and below the pixel is outside.
    inside = (source_x > -0.5) & (source_x < width - 0.5) & (source_y > -0.5) & (source_y < height - 0.5)
    index = _round_half_up(source_y, height) * width + _round_half_up(source_x, width)
    index = index.view(n, 1, height * width).expand(-1, channels, -1)
    moved = images.reshape(n, channels, height * width).gather(2, index).view(images.shape)
    return torch.where(inside.unsqueeze(1), moved, FILL)


def _round_half_up(values: Tensor, size: int) -> Tensor:
    whole = values.floor()
    return (whole + (values - whole >= 0.5)).clamp_(0, size - 1).long()
