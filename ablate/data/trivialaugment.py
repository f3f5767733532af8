"""TrivialAugment (Mueller and Hutter, arXiv 2103.10158) in its wide space, as torchvision's `TrivialAugmentWide`.

One operation for each image, at one of 31 magnitudes, all as likely; nearest pixel, black outside. The operations are
PIL's, which torchvision uses for images that are no tensors.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ablate import draws
from ablate.data.operations import Chosen, apply
from ablate.data.pil_affine import Resampling

BINS = 31
_NONE = np.zeros(BINS)

#: Operation -> its magnitudes, (31,), and whether a draw turns their sign.
SPACE: dict[str, tuple[NDArray[np.float64], bool]] = {
    "Identity": (_NONE, False),
    "ShearX": (np.linspace(0.0, 0.99, BINS), True),
    "ShearY": (np.linspace(0.0, 0.99, BINS), True),
    "TranslateX": (np.linspace(0.0, 32.0, BINS), True),
    "TranslateY": (np.linspace(0.0, 32.0, BINS), True),
    "Rotate": (np.linspace(0.0, 135.0, BINS), True),
    "Brightness": (np.linspace(0.0, 0.99, BINS), True),
    "Color": (np.linspace(0.0, 0.99, BINS), True),
    "Contrast": (np.linspace(0.0, 0.99, BINS), True),
    "Sharpness": (np.linspace(0.0, 0.99, BINS), True),
    "Posterize": (8 - np.rint(np.arange(BINS) / ((BINS - 1) / 6)), False),
    "Solarize": (np.linspace(255.0, 0.0, BINS), False),
    "AutoContrast": (_NONE, False),
    "Equalize": (_NONE, False),
}
OPERATIONS = tuple(SPACE)
_MAGNITUDES = np.stack([magnitudes for magnitudes, _ in SPACE.values()])
_SIGNED = np.array([signed for _, signed in SPACE.values()])


def trivialaugment(images: Tensor, seed: int, epoch: int, keys: NDArray[np.int64]) -> Tensor:
    """Augmented copies of uint8 images (B, C, S, S), any C; ``keys`` (B,) are what draws are keyed by."""
    draw = draws.uniform(seed, "trivialaugment", epoch, keys, 3)
    places = (draw[:, 0] * len(OPERATIONS)).astype(np.int64)
    magnitudes = _MAGNITUDES[places, (draw[:, 1] * BINS).astype(np.int64)]
    turned = _SIGNED[places] & (draw[:, 2] < 0.5)
    return apply_magnitudes(images, places, np.where(turned, -magnitudes, magnitudes))


def apply_magnitudes(images: Tensor, places: NDArray[np.int64], magnitudes: NDArray[np.float64]) -> Tensor:
    """Image i changed by ``OPERATIONS[places[i]]`` at ``magnitudes[i]``, as torchvision reads a magnitude."""
    arguments = magnitudes.copy()
    for place, name in enumerate(OPERATIONS):
        own = places == place
        if name in ("Brightness", "Color", "Contrast", "Sharpness"):
            arguments[own] += 1.0
        elif name.startswith("Translate"):  # whole pixels, and where pixels go instead of where they come from
            arguments[own] = -np.trunc(magnitudes[own])
    nearest = np.full(len(images), int(Resampling.NEAREST))
    changed = np.where(places == OPERATIONS.index("Identity"), -1, places)
    black = torch.zeros(images.shape[1], dtype=torch.uint8, device=images.device)
    return apply(images, Chosen(OPERATIONS, changed, arguments, nearest), black)
