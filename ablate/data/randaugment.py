"""RandAugment (Cubuk et al., arXiv 1909.13719) as big_vision trained SimpleViT with it, on batches.

Operations and magnitudes are those of `distort_image_with_randaugment` in big_vision's `pp/autoaugment.py`,
with level 10 as each operation's full range. Its two magnitudes in pixels, translation (100) and cutout
(40), were meant for images of 224 px; here both shrink and grow with the image. Every image has its own
draw of operation, sign and place, keyed by (seed, epoch, image) and so the same in every batch and on every
device.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ablate import draws, recipe
from ablate.data import image_ops as ops

OPERATIONS = (
    "AutoContrast", "Equalize", "Invert", "Rotate", "Posterize", "Solarize", "Color", "Contrast",
    "Brightness", "Sharpness", "ShearX", "ShearY", "TranslateX", "TranslateY", "Cutout", "SolarizeAdd",
)  # fmt: skip
#: Operations that map pixel values to pixel values, whatever the image: one table lookup does all of them.
POINTWISE = ("Invert", "Posterize", "Solarize", "SolarizeAdd", "Brightness", "Contrast")
#: Operations that move pixels: one gather does all of them.
AFFINE = ("Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY")

_REFERENCE_SIZE = 224
_DRAWS = 5  # per layer and image: operation, whether to apply it, sign, row and column of the cutout


class Magnitudes:
    """The argument of each operation at a level (10 is the full range) and an image size in px."""

    def __init__(self, level: float, image_size: int) -> None:
        share = level / 10.0
        scale = image_size / _REFERENCE_SIZE
        self.degrees = share * 30.0
        self.shear = share * 0.3
        self.translation = share * 100.0 * scale
        """In px, rounded only when pixels are looked up."""
        self.enhance = share * 1.8 + 0.1
        """Factor of Color, Contrast, Brightness and Sharpness; 1 is the image itself."""
        self.bits = int(share * 4)
        self.threshold = int(share * 256)
        self.addition = int(share * 110)
        self.cutout = int(share * 40 * scale)
        """Half the side of the square, px, rounded down: 40 at 224 px, 5 at 28, 1 at 8."""


class RandAugmenter:
    """Applies the Recipe's RandAugment to batches of uint8 images (B, C, S, S), any C."""

    def __init__(self, settings: recipe.RandAugment, image_size: int) -> None:
        self.settings = settings
        self.image_size = image_size
        self.magnitudes = m = Magnitudes(settings.level, image_size)
        values = torch.arange(256, dtype=torch.uint8)
        tables = {
            "Invert": ops.invert(values),
            "Posterize": ops.posterize(values, m.bits),
            "Solarize": ops.solarize(values, m.threshold),
            "SolarizeAdd": ops.solarize_add(values, m.addition),
            "Brightness": ops.brightness(values, m.enhance),
            "Contrast": ops.contrast(values, m.enhance),
        }
        self._tables = torch.stack([tables[name] for name in POINTWISE])

    def __call__(self, images: Tensor, seed: int, epoch: int, indices: NDArray[np.int64]) -> Tensor:
        """Return augmented copies; ``indices`` (B,) are the stable ids that the draws are keyed by."""
        layers = self.settings.layers
        draw = draws.uniform(seed, "randaug", epoch, indices, layers * _DRAWS).reshape(-1, layers, _DRAWS)
        images = images.clone()
        for layer in range(layers):
            self._layer(images, draw[:, layer])
        return images

    def _layer(self, images: Tensor, draw: NDArray[np.float64]) -> None:
        """Apply one operation to each image, in place."""
        chosen = (draw[:, 0] * len(OPERATIONS)).astype(np.int64)
        chosen[draw[:, 1] >= self.settings.probability] = -1
        groups = {name: np.flatnonzero(chosen == k) for k, name in enumerate(OPERATIONS)}
        pointwise = np.concatenate([groups.pop(name) for name in POINTWISE])
        affine = np.concatenate([groups.pop(name) for name in AFFINE])
        if len(pointwise):
            table = np.array([POINTWISE.index(OPERATIONS[k]) for k in chosen[pointwise]], dtype=np.int32)
            rows = torch.from_numpy(pointwise).to(images.device)
            tables = self._tables.to(images.device)
            images[rows] = ops.lookup(images[rows], tables, torch.from_numpy(table).to(images.device))
        if len(affine):
            names = [OPERATIONS[k] for k in chosen[affine]]
            matrices = torch.from_numpy(self.matrices(names, draw[affine, 2])).to(images.device)
            rows = torch.from_numpy(affine).to(images.device)
            images[rows] = ops.affine(images[rows], matrices)
        for name, members in groups.items():
            if len(members):
                rows = torch.from_numpy(members).to(images.device)
                images[rows] = self._single(name, images[rows], draw[members])

    def _single(self, name: str, images: Tensor, draw: NDArray[np.float64]) -> Tensor:
        if name == "AutoContrast":
            return ops.autocontrast(images)
        if name == "Equalize":
            return ops.equalize(images)
        if name == "Color":
            return ops.color(images, self.magnitudes.enhance)
        if name == "Sharpness":
            return ops.sharpness(images, self.magnitudes.enhance)
        centres = torch.from_numpy((draw[:, 3:5] * self.image_size).astype(np.int64)).to(images.device)
        return ops.cutout(images, centres, self.magnitudes.cutout)

    def matrices(self, names: list[str], sign_draws: NDArray[np.float64]) -> NDArray[np.float32]:
        """Rows a to f for `image_ops.affine`, (len(names), 6); a draw below one half turns the sign."""
        m = self.magnitudes
        sign = np.where(sign_draws < 0.5, -1.0, 1.0)
        kind = np.array(names)
        matrices = np.tile(np.array([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]), (len(names), 1))
        for column, name, size in (
            (1, "ShearX", m.shear),
            (3, "ShearY", m.shear),
            (2, "TranslateX", m.translation),
            (5, "TranslateY", m.translation),
        ):
            matrices[:, column] += np.where(kind == name, sign * size, 0.0)
        turned = kind == "Rotate"
        matrices[turned] = _rotations(sign[turned] * m.degrees, self.image_size)
        return matrices.astype(np.float32)


def _rotations(degrees: NDArray[np.float64], size: int) -> NDArray[np.float32]:
    """Rotations about the centre of the image, (n, 6).

    Rounded to float32 where TensorFlow rounds: 30 degrees puts pixels exactly between two others.
    """
    radians = (degrees.astype(np.float32) * np.float32(math.pi / 180.0)).astype(np.float64)
    cos, sin = np.cos(radians).astype(np.float32), np.sin(radians).astype(np.float32)
    last, two = np.float32(size - 1), np.float32(2.0)
    x = (last - (cos * last - sin * last)) / two
    y = (last - (sin * last + cos * last)) / two
    return np.stack([cos, -sin, x, sin, cos, y], axis=1)
