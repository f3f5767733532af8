"""What happens to a Recipe's training images."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ablate.recipe.section import Off, Section


class InceptionCrop(Section):
    """A random area and aspect ratio, resized to the image size (Szegedy et al., arXiv 1409.4842)."""

    min_area: Annotated[float, Field(gt=0.0, le=1.0)] = 0.05
    """Smallest share of the image's area (SimpleViT .05; timm and torchvision .08)."""
    min_aspect: Annotated[float, Field(gt=0.0)] = 0.75
    """Smallest ratio of width to height."""
    max_aspect: Annotated[float, Field(gt=0.0)] = 1.33
    """Largest ratio of width to height (SimpleViT 1.33; timm and torchvision 4/3)."""

    @model_validator(mode="after")
    def _ordered(self) -> InceptionCrop:
        if self.min_aspect > self.max_aspect:
            raise ValueError("min_aspect must not be larger than max_aspect")
        return self


class RandAugment(Section):
    """RandAugment (Cubuk et al., arXiv 1909.13719), in the operations and magnitudes of big_vision."""

    layers: Annotated[int, Field(gt=0)] = 2
    """Operations applied to each image, N of the paper."""
    level: Annotated[float, Field(gt=0.0, le=30.0)] = 10.0
    """Magnitude, M of the paper, in big_vision's formulas; 10 is the published setting.

    It is no even scale of strength: Color, Contrast, Brightness and Sharpness do nothing at 5, and at levels 3, 5,
    10 and 15 Posterize keeps 1, 2, 4 and 6 bits and Solarize inverts from 76, 128, 0 and 128 on."""
    probability: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """With which each operation is applied (1 in the paper, .5 in timm)."""


class MixUp(Section):
    """MixUp (Zhang et al., arXiv 1710.09412)."""

    alpha: Annotated[float, Field(gt=0.0)] = 0.2
    """Parameter of Beta(alpha, alpha), from which the share of the first image is drawn."""
    draw: Literal["image", "batch"] = "image"
    """One share for each image, or one for the whole batch (big_vision)."""


class Augment(Section):
    """What happens to training images, in this order."""

    crop: InceptionCrop | Off
    """Random crop, or `off`: the evaluation's resize and centre crop."""
    flip: bool
    """Mirror left and right with probability one half."""
    randaug: RandAugment | Off
    """RandAugment, or `off`."""
    mixup: MixUp | Off
    """MixUp, or `off`."""
