"""The operations of timm's AutoAugment and RandAugment (`timm.data.auto_augment`), with levels of 0 to 10 and beyond.

An operation's name says which of several scales of severity is meant: `Posterize` keeps more bits as the level grows,
`PosterizeIncreasing` fewer. `LEVELS` equals timm's `LEVEL_TO_ARG`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ablate.data.operations import Chosen, apply
from ablate.data.pil_affine import Resampling
from ablate.recipe import Data

Values = NDArray[np.float64]
DRAWS = 2
"""Uniforms that an operation takes for an image: its sign (or the blur's radius), and the resampling."""


def fill_colour(data: Data) -> Tensor:
    """The data's mean, (C,) uint8, which timm puts where pixels come from outside."""
    mean = np.broadcast_to(np.asarray(data.mean), (data.channels,))
    return torch.from_numpy(np.clip(np.rint(255 * mean), 0, 255).astype(np.uint8))


def _signed(full: float) -> Callable[[Values, Values], Values]:
    return lambda level, draw: level / 10 * full * _sign(draw)


def _sign(draw: Values) -> Values:
    return np.where(draw > 0.5, -1.0, 1.0)


def _enhance(level: Values, _: Values) -> Values:
    return level / 10 * 1.8 + 0.1


def _enhance_increasing(level: Values, draw: Values) -> Values:
    return np.maximum(0.1, 1.0 + level / 10 * 0.9 * _sign(draw))


def _bits(level: Values) -> Values:
    return np.floor(level / 10 * 4)


def _threshold(level: Values) -> Values:
    return np.minimum(256.0, np.floor(level / 10 * 256))


def _nothing(level: Values, _: Values) -> Values:
    return np.zeros_like(level)


#: Operation -> its argument from levels (n,) and uniforms (n,), of which those above one half turn the sign.
LEVELS: dict[str, Callable[[Values, Values], Values]] = {
    "AutoContrast": _nothing,
    "Equalize": _nothing,
    "Invert": _nothing,
    "Rotate": _signed(30.0),
    "Posterize": lambda level, _: _bits(level),
    "PosterizeIncreasing": lambda level, _: 4 - _bits(level),
    "PosterizeOriginal": lambda level, _: 4 + _bits(level),
    "Solarize": lambda level, _: _threshold(level),
    "SolarizeIncreasing": lambda level, _: 256 - _threshold(level),
    "SolarizeAdd": lambda level, _: np.minimum(128.0, np.floor(level / 10 * 110)),
    "Color": _enhance,
    "ColorIncreasing": _enhance_increasing,
    "Contrast": _enhance,
    "ContrastIncreasing": _enhance_increasing,
    "Brightness": _enhance,
    "BrightnessIncreasing": _enhance_increasing,
    "Sharpness": _enhance,
    "SharpnessIncreasing": _enhance_increasing,
    "ShearX": _signed(0.3),
    "ShearY": _signed(0.3),
    "TranslateXRel": _signed(0.45),
    "TranslateYRel": _signed(0.45),
    "Desaturate": lambda level, _: np.clip(0.5 + 0.5 * (level / 10), 0.5, 1.0),
    # Uniform from .1 px to twice the level's share of 10.
    "GaussianBlurRand": lambda level, draw: 0.1 + (2.0 * np.clip(level / 10, 0.0, 1.0) - 0.1) * draw,
}


def operation(name: str) -> str:
    """What an operation of timm does, whatever its scale, by its name in `ablate.data.operations`."""
    for suffix in ("Increasing", "Original", "Rand"):
        name = name.removesuffix(suffix)
    return name


def apply_at_levels(
    images: Tensor,
    names: tuple[str, ...],
    places: NDArray[np.int64],
    levels: Values,
    draw: Values,
    fill: Tensor,
    always: Resampling | None = None,
) -> Tensor:
    """Changed copies of uint8 images (B, C, H, W): image i by ``names[places[i]]`` at ``levels[i]``; -1 is none.

    ``draw`` (B, `DRAWS`) are uniforms. Resampling is bilinear or bicubic, one as likely as the other (timm's
    ``interpolation="random"``), or ``always`` the same.
    """
    arguments = np.zeros(len(images))
    for place in np.unique(places[places >= 0]):
        own = places == place
        arguments[own] = LEVELS[names[place]](levels[own], draw[own, 0])
    drawn = np.where(draw[:, 1] < 0.5, Resampling.BILINEAR, Resampling.BICUBIC)
    resampling = (drawn if always is None else np.full(len(images), always)).astype(np.int64)
    chosen = Chosen(tuple(map(operation, names)), places, arguments, resampling)
    return apply(images, chosen, fill.to(images.device))
