"""What is read of an image set for a request: training images as an epoch shows them, or evaluation's views.

Objects of this module travel to worker processes, where all they do depends on the request alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ablate.data.augmenting import Augmenter
from ablate.data.crop import inception_boxes, random_resampling
from ablate.data.image_sets import ImageSet
from ablate.data.reading import Request
from ablate.recipe import Augment, InceptionCrop


@dataclass(frozen=True)
class TrainingLook:
    """Images cut and, where an ``augmenter`` is given, augmented; uint8 (B, C, S, S)."""

    image_set: ImageSet
    augment: Augment
    seed: int
    augmenter: Augmenter | None
    """None where the images are augmented later, on the device that computes."""

    def __call__(self, request: Request) -> Tensor:
        """The images; the request has keys."""
        assert request.keys is not None
        images = self._cut(torch.from_numpy(request.positions), request.epoch, request.keys)
        if self.augmenter is None:
            return images
        return self.augmenter.pixels(images, self.seed, request.epoch, request.keys)

    def _cut(self, positions: Tensor, epoch: int, keys: NDArray[np.int64]) -> Tensor:
        crop = self.augment.crop
        if crop == "off":
            return self.image_set.images(positions)
        boxes = inception_boxes(crop, self.image_set.sizes(positions), self.seed, epoch, keys)
        return self.image_set.images(positions, boxes, self._bicubic(crop, epoch, keys))

    def _bicubic(self, crop: InceptionCrop, epoch: int, keys: NDArray[np.int64]) -> NDArray[np.bool_] | None:
        if crop.resampling == "bilinear":
            return None
        if crop.resampling == "random":
            return random_resampling(self.seed, epoch, keys)
        return np.full(len(keys), crop.resampling == "bicubic")


@dataclass(frozen=True)
class EvaluationLook:
    """Images as evaluation sees them, uint8 (B, C, S, S)."""

    image_set: ImageSet

    def __call__(self, request: Request) -> Tensor:
        """The images."""
        return self.image_set.images(torch.from_numpy(request.positions))
