"""Random erasing (Zhong et al., arXiv 1708.04896), as timm's `RandomErasing`: boxes of noise in normalised images."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri
from torch import Tensor

from ablate import draws, recipe

_ATTEMPTS = 10


class Eraser:
    """Applies the Recipe's random erasing to batches of normalised float32 images (B, C, H, W), any C."""

    def __init__(self, settings: recipe.Erasing) -> None:
        self.settings = settings

    def __call__(self, images: Tensor, seed: int, epoch: int, keys: NDArray[np.int64]) -> Tensor:
        """Return copies with boxes erased; ``keys`` (B,) are what draws are keyed by."""
        count = self.settings.count
        draw = draws.uniform(seed, "erasing", epoch, keys, 1 + count * _ATTEMPTS * 4)
        boxes = self.boxes(draw[:, 1:].reshape(-1, count, _ATTEMPTS, 4), *images.shape[-2:])
        boxes[draw[:, 0] >= self.settings.probability] = 0
        for number in range(count):
            images = self._erase(images, boxes[:, number], seed, f"erasing {number}", epoch, keys)
        return images

    def boxes(self, draw: NDArray[np.float64], height: int, width: int) -> NDArray[np.int64]:
        """Top, left, height and width, (B, count, 4), from uniforms (B, count, 10, 4).

        Area uniform and aspect ratio log-uniform; the first of ten attempts that is smaller than the image on both
        sides, or else a box of no size.
        """
        s = self.settings
        area = (s.min_area + draw[..., 0] * (s.max_area - s.min_area)) * height * width / s.count
        aspect = np.exp((1.0 - 2.0 * draw[..., 1]) * math.log(s.min_aspect))
        tall, wide = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))
        fits = (tall < height) & (wide < width)
        top, left = np.floor(draw[..., 2] * (height - tall + 1)), np.floor(draw[..., 3] * (width - wide + 1))
        first = fits.argmax(axis=-1)[..., None, None]
        found = np.take_along_axis(np.stack([top, left, tall, wide], axis=-1), first, axis=-2)[..., 0, :]
        return np.where(fits.any(axis=-1, keepdims=True), found, 0).astype(np.int64)

    def _erase(
        self, images: Tensor, boxes: NDArray[np.int64], seed: int, purpose: str, epoch: int, keys: NDArray[np.int64]
    ) -> Tensor:
        """Erase one box (top, left, height, width) in each image; boxes (B, 4)."""
        erased = np.flatnonzero(boxes[:, 2] * boxes[:, 3])
        if not len(erased):
            return images
        channels, fill = images.shape[1], self.settings.fill
        rows = torch.from_numpy(erased).to(images.device)
        mask = inside(boxes[erased], *images.shape[-2:]).to(images.device)
        if fill == "constant":
            values = images[rows].masked_fill(mask, 0.0)
        else:
            sizes = channels * (boxes[erased, 2] * boxes[erased, 3] if fill == "pixel" else np.ones_like(erased))
            drawn = [draws.uniform(seed, purpose, epoch, keys[[k]], n)[0] for k, n in zip(erased, sizes, strict=True)]
            # Uniforms are multiples of 2^-53; half of one more keeps zero out.
            noise = torch.from_numpy(ndtri(np.concatenate(drawn) + 2.0**-54).astype(np.float32)).to(images.device)
            if fill == "pixel":
                values = images[rows].masked_scatter(mask.expand(-1, channels, -1, -1), noise)
            else:
                values = torch.where(mask, noise.view(-1, channels, 1, 1), images[rows])
        return images.index_copy(0, rows, values)


def inside(boxes: NDArray[np.int64], height: int, width: int) -> Tensor:
    """Which pixels lie in the boxes (top, left, height, width; (n, 4)): (n, 1, H, W) bool."""
    top, left, tall, wide = (column[:, None] for column in boxes.T)
    y, x = np.arange(height), np.arange(width)
    rows, columns = (y >= top) & (y < top + tall), (x >= left) & (x < left + wide)
    return torch.from_numpy(rows[:, None, :, None] & columns[:, None, None, :])
