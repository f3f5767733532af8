"""Images in place of a folder that is not on this machine, so that a model can be looked at all the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ablate.data.image_sets import MemoryImages, Splits
from ablate.recipe import Data

_IMAGES = 64


@dataclass(frozen=True)
class StandIn(Splits):
    """A few random images, and how many the training is taken to have: its learning rates depend on it."""

    train_images: int = 2**20


def stand_in(data: Data) -> StandIn:
    """Random pixels, the same each time, with every class in turn as far as they go; as many again are held out."""
    shape = (_IMAGES, data.channels, data.image_size, data.image_size)
    generator = np.random.default_rng(0)

    def images(indices: torch.Tensor) -> MemoryImages:
        pixels = torch.from_numpy(generator.integers(0, 256, shape, np.uint8))
        view = (data.image_size, data.eval_resize, data.eval_resampling)
        return MemoryImages(pixels, indices % data.classes, indices, *view)

    return StandIn(images(torch.arange(_IMAGES)), images(torch.arange(_IMAGES, 2 * _IMAGES)))
