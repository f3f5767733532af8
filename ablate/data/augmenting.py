"""What happens to each training image by itself: between its crop and its normalisation, and after that."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ablate import draws
from ablate.data.randaugment import RandAugmenter
from ablate.recipe import Augment, Data


class Augmenter:
    """The Recipe's augmentations of single images, on batches and on the device that holds them.

    Every draw is keyed by (seed, purpose, epoch, image), so that any number of batches at once gives the same bits.
    """

    def __init__(self, augment: Augment, data: Data) -> None:
        self._augment = augment
        randaug = augment.randaug
        self._randaug = None if randaug == "off" else RandAugmenter(randaug, data.image_size)

    def pixels(self, images: Tensor, seed: int, epoch: int, keys: NDArray[np.int64]) -> Tensor:
        """Of uint8 images (B, C, S, S) after their crop; ``keys`` (B,) are what draws are keyed by."""
        if self._augment.flip:
            images = flip(images, seed, epoch, keys)
        if self._randaug is not None:
            images = self._randaug(images, seed, epoch, keys)
        return images

    def values(self, images: Tensor, seed: int, epoch: int, keys: NDArray[np.int64]) -> Tensor:  # noqa: ARG002
        """Of normalised float32 images (B, C, S, S), before they are mixed."""
        return images


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
