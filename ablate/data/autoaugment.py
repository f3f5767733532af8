"""AutoAugment (Cubuk et al., arXiv 1805.09501) in the policies that timm has for ImageNet.

The tables are timm's, read from it when they are needed. `original` is the paper's, `v0` that of TPU EfficientNet,
`originalr` and `v0r` are the same with a Posterize that discards more bits as the level grows. `3a` is the 3-Augment
of DeiT III (Touvron et al., arXiv 2204.07118): solarize, gray or blur.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ablate import draws, recipe
from ablate.data.timm_operations import DRAWS, LEVELS, apply_at_levels, fill_colour

#: One of a policy's lines: operations in turn, each with its probability and level.
Line = tuple[tuple[str, float, float], ...]


def policy(name: str) -> tuple[Line, ...]:
    """The table in timm; all lines of a policy have as many operations."""
    from timm.data.auto_augment import auto_augment_policy

    return tuple(
        tuple((operation.name, operation.prob, operation.magnitude) for operation in line)
        for line in auto_augment_policy(name)
    )


class AutoAugmenter:
    """Applies one line of a policy, drawn at random, to each uint8 image of a batch (B, C, S, S), any C."""

    def __init__(self, name: str, data: recipe.Data) -> None:
        self._names = tuple(LEVELS)
        lines = policy(name)
        self._places = np.array([[self._names.index(name) for name, _, _ in line] for line in lines])
        self._probabilities = np.array([[probability for _, probability, _ in line] for line in lines])
        self._levels = np.array([[float(level) for _, _, level in line] for line in lines])
        self._fill = fill_colour(data)

    def __call__(self, images: Tensor, seed: int, epoch: int, keys: NDArray[np.int64]) -> Tensor:
        """Return augmented copies; ``keys`` (B,) are what draws are keyed by."""
        lines, length = self._places.shape
        count = 1 + DRAWS
        draw = draws.uniform(seed, "autoaugment", epoch, keys, 1 + length * count)
        line = (draw[:, 0] * lines).astype(np.int64)
        for step, own in enumerate(np.split(draw[:, 1:], length, axis=1)):
            skipped = own[:, 0] >= self._probabilities[line, step]
            places = np.where(skipped, -1, self._places[line, step])
            images = apply_at_levels(images, self._names, places, self._levels[line, step], own[:, 1:], self._fill)
        return images
