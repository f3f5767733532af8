"""RandAugment (Cubuk et al., arXiv 1909.13719) as timm has it and as DeiT was trained: `rand-m9-mstd0.5-inc1`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from torch import Tensor

from ablate import draws, recipe
from ablate.data.pil_affine import Resampling
from ablate.data.timm_operations import DRAWS, apply_at_levels, fill_colour

#: timm's fifteen, in its order.
OPERATIONS = (
    "AutoContrast", "Equalize", "Invert", "Rotate", "Posterize", "Solarize", "SolarizeAdd", "Color", "Contrast",
    "Brightness", "Sharpness", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel",
)  # fmt: skip
#: The same with severities that grow with the level (`inc1`).
INCREASING = tuple(
    f"{name}Increasing" if name in ("Posterize", "Solarize", "Color", "Contrast", "Brightness", "Sharpness") else name
    for name in OPERATIONS
)
_ALWAYS = {"random": None, "bilinear": Resampling.BILINEAR, "bicubic": Resampling.BICUBIC}
_OWN_DRAWS = 3  # operation, whether to apply it, noise on the level


class TimmRandAugmenter:
    """Applies the Recipe's RandAugment to batches of uint8 images (B, C, S, S), any C.

    Each layer draws its operation anew, with replacement. The level is clipped to 0 and `max_level` for every image,
    noise or not.
    """

    def __init__(self, settings: recipe.RandAugment, data: recipe.Data) -> None:
        self.settings = settings
        self.names = INCREASING if settings.increasing else OPERATIONS
        self._fill = fill_colour(data)
        self._resampling = _ALWAYS[settings.resampling]

    def __call__(self, images: Tensor, seed: int, epoch: int, keys: NDArray[np.int64]) -> Tensor:
        """Return augmented copies; ``keys`` (B,) are what draws are keyed by."""
        layers = self.settings.layers
        count = _OWN_DRAWS + DRAWS
        draw = draws.uniform(seed, "randaug timm", epoch, keys, layers * count).reshape(-1, layers, count)
        for layer in range(layers):
            places, levels = self.choose(draw[:, layer, :_OWN_DRAWS])
            own = draw[:, layer, _OWN_DRAWS:]
            images = apply_at_levels(images, self.names, places, levels, own, self._fill, self._resampling)
        return images

    def choose(self, draw: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Which operation (-1: none) and at which level, both (B,), from uniforms (B, 3)."""
        s = self.settings
        places = (draw[:, 0] * len(self.names)).astype(np.int64)
        places[draw[:, 1] >= s.probability] = -1
        noise = s.noise * ndtri(draw[:, 2]) if s.noise else 0.0
        return places, np.clip(np.full(len(draw), s.level) + noise, 0.0, s.max_level)
