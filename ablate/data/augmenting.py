"""What happens to each training image by itself: between its crop and its normalisation, and after that."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ablate import draws
from ablate.data.autoaugment import AutoAugmenter
from ablate.data.erasing import Eraser
from ablate.data.jitter import ColorJitterer
from ablate.data.padding import PaddedCrop
from ablate.data.randaugment import RandAugmenter
from ablate.data.timm_randaugment import TimmRandAugmenter
from ablate.data.trivialaugment import trivialaugment
from ablate.recipe import Augment, Data

#: Images (B, C, S, S), seed, epoch and keys (B,) -> changed images.
Change = Callable[[Tensor, int, int, NDArray[np.int64]], Tensor]


class Augmenter:
    """The Recipe's augmentations of single images, on batches and on the device that holds them.

    Every draw is keyed by (seed, purpose, epoch, image), so that any number of batches at once gives the same bits.
    """

    def __init__(self, augment: Augment, data: Data) -> None:
        self._of_pixels = tuple(_of_pixels(augment, data))
        self._erase = None if augment.erasing == "off" else Eraser(augment.erasing)

    def pixels(self, images: Tensor, seed: int, epoch: int, keys: NDArray[np.int64]) -> Tensor:
        """Of uint8 images (B, C, S, S) after their crop; ``keys`` (B,) are what draws are keyed by."""
        for change in self._of_pixels:
            images = change(images, seed, epoch, keys)
        return images

    def values(self, images: Tensor, seed: int, epoch: int, keys: NDArray[np.int64]) -> Tensor:
        """Of normalised float32 images (B, C, S, S), before they are mixed."""
        return images if self._erase is None else self._erase(images, seed, epoch, keys)


def _of_pixels(augment: Augment, data: Data) -> Iterator[Change]:
    """In the order of the Recipe's fields."""
    if augment.padding:
        yield PaddedCrop(augment.padding)
    if augment.flip:
        yield flip
    if augment.jitter != "off":
        yield ColorJitterer(augment.jitter)
    if augment.autoaugment != "off":
        yield AutoAugmenter(augment.autoaugment, data)
    if augment.randaug != "off":
        if augment.randaug.operations == "timm":
            yield TimmRandAugmenter(augment.randaug, data)
        else:
            yield RandAugmenter(augment.randaug, data.image_size)
    if augment.trivialaugment != "off":
        yield trivialaugment


def flip(images: Tensor, seed: int, epoch: int, keys: NDArray[np.int64]) -> Tensor:
    """Mirror each image left and right with probability one half, keyed by (seed, epoch, image)."""
    mirrored = draws.uniform(seed, "flip", epoch, keys, 1)[:, 0] < 0.5
    chosen = torch.from_numpy(mirrored).to(images.device).view(-1, 1, 1, 1)
    return torch.where(chosen, images.flip(-1), images)


def normalise(images: Tensor, mean: float | tuple[float, ...], std: float | tuple[float, ...]) -> Tensor:
    """``(pixel / 255 - mean) / std`` in float32, with one mean and std for all channels or one for each."""
    scaled = images.float().div_(255.0)
    if isinstance(mean, tuple) or isinstance(std, tuple):
        return scaled.sub_(_along_channels(mean, scaled)).div_(_along_channels(std, scaled))
    return scaled.sub_(mean).div_(std)


def _along_channels(values: float | tuple[float, ...], images: Tensor) -> Tensor:
    return torch.tensor(values, dtype=images.dtype, device=images.device).view(-1, 1, 1)
