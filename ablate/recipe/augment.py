"""What happens to a Recipe's training images."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ablate.recipe.section import NEUTRAL, Off, Section

Positive = Annotated[float, Field(gt=0.0)]
Share = Annotated[float, Field(gt=0.0, le=1.0)]


class InceptionCrop(Section):
    """A random area and aspect ratio, resized to the image size (Szegedy et al., arXiv 1409.4842)."""

    min_area: Share = 0.05
    """Smallest share of the image's area (SimpleViT .05; timm and torchvision .08)."""
    min_aspect: Positive = 0.75
    """Smallest ratio of width to height."""
    max_aspect: Positive = 1.33
    """Largest ratio of width to height (SimpleViT 1.33; timm and torchvision 4/3)."""
    max_area: Annotated[Share, NEUTRAL] = 1.0
    """Largest share of the image's area."""
    draw: Annotated[Literal["height", "area"], NEUTRAL] = "height"
    """What is uniform: the `height` of the box (TensorFlow, 31 % of the image on average at `min_area` .05), or its
    `area`, with the logarithm of the aspect ratio (torchvision and timm, 52 %)."""
    resampling: Annotated[Literal["bilinear", "antialiased", "bicubic", "random"], NEUTRAL] = "bilinear"
    """`bilinear`: four pixels, no antialiasing (TensorFlow). `antialiased` and `bicubic`: PIL's resizing, which smooths
    where it shrinks. `random`: one of these two for each image (timm)."""

    @model_validator(mode="after")
    def _ordered(self) -> InceptionCrop:
        if self.min_aspect > self.max_aspect:
            raise ValueError("min_aspect must not be larger than max_aspect")
        if self.min_area > self.max_area:
            raise ValueError("min_area must not be larger than max_area")
        return self


class ColorJitter(Section):
    """Brightness, contrast, saturation and hue changed at random, in random order (torchvision's ColorJitter)."""

    brightness: Annotated[float, Field(ge=0.0)] = 0.4
    """The factor is uniform from max(0, 1 - this) to 1 + this."""
    contrast: Annotated[float, Field(ge=0.0)] = 0.4
    """As `brightness`."""
    saturation: Annotated[float, Field(ge=0.0)] = 0.4
    """As `brightness`; does nothing to gray images."""
    hue: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    """Hue is turned by a share of the circle, uniform from -this to this; does nothing to gray images."""


class RandAugment(Section):
    """RandAugment (Cubuk et al., arXiv 1909.13719), in the operations and magnitudes of big_vision or of timm."""

    layers: Annotated[int, Field(gt=0)] = 2
    """Operations applied to each image, N of the paper."""
    level: Annotated[float, Field(gt=0.0, le=30.0)] = 10.0
    """Magnitude, M of the paper, in big_vision's formulas; 10 is the published setting.

    It is no even scale of strength: Color, Contrast, Brightness and Sharpness do nothing at 5, and at levels 3, 5,
    10 and 15 Posterize keeps 1, 2, 4 and 6 bits and Solarize inverts from 76, 128, 0 and 128 on. With
    `operations: timm` and `increasing`, all of them grow with the level."""
    probability: Share = 1.0
    """With which each operation is applied (1 in the paper, .5 in timm)."""
    operations: Annotated[Literal["big_vision", "timm"], NEUTRAL] = "big_vision"
    """`big_vision`: sixteen operations, nearest pixel, gray fill. `timm`: PIL's fifteen, with its resampling, filled
    with the data's mean."""
    increasing: Annotated[bool, NEUTRAL] = False
    """With `operations: timm`: severity grows with the level in every operation (timm's `inc1`)."""
    noise: Annotated[float, Field(ge=0.0), NEUTRAL] = 0.0
    """With `operations: timm`: standard deviation of the normal noise on the level, clipped to 0 and `max_level`
    (timm's `mstd`)."""
    max_level: Annotated[float, Field(gt=0.0), NEUTRAL] = 10.0
    """With `operations: timm`: where noise is clipped (timm's `mmax`)."""

    resampling: Annotated[Literal["random", "bilinear", "bicubic"], NEUTRAL] = "random"
    """With `operations: timm`: how operations that move pixels resample; `random`: either, drawn for each."""

    @model_validator(mode="after")
    def _understood(self) -> RandAugment:
        timm_alone = (self.increasing, self.noise != 0, self.max_level != 10.0, self.resampling != "random")
        if self.operations != "timm" and any(timm_alone):
            raise ValueError("increasing, noise, max_level and resampling need operations: timm")
        if self.operations == "timm" and self.level > self.max_level:
            raise ValueError(
                f"level is {self.level:g}, and is clipped at max_level, {self.max_level:g}: raise that, too"
            )
        return self


class Erasing(Section):
    """Random erasing (Zhong et al., arXiv 1708.04896) of normalised images, as in timm."""

    probability: Share = 0.25
    """Of an image to be erased in."""
    fill: Literal["pixel", "channel", "constant"] = "pixel"
    """`pixel`: normal noise, each value its own. `channel`: one normal draw for each channel. `constant`: zero, which
    is the data's mean."""
    min_area: Share = 0.02
    """Smallest share of the image that a box covers."""
    max_area: Share = 1 / 3
    """Largest."""
    min_aspect: Annotated[float, Field(gt=0.0, le=1.0)] = 0.3
    """Smallest ratio of height to width; the largest is its inverse."""
    count: Annotated[int, Field(gt=0)] = 1
    """Boxes; together they cover what one would."""

    @model_validator(mode="after")
    def _ordered(self) -> Erasing:
        if self.min_area > self.max_area:
            raise ValueError("min_area must not be larger than max_area")
        return self


class MixUp(Section):
    """MixUp (Zhang et al., arXiv 1710.09412)."""

    alpha: Positive = 0.2
    """Parameter of Beta(alpha, alpha), from which the share of the first image is drawn."""
    draw: Literal["image", "batch"] = "image"
    """One share for each image, or one for the whole batch (big_vision)."""


class CutMix(Section):
    """CutMix (Yun et al., arXiv 1905.04899): a box of the partner's pixels, and its share of the target."""

    alpha: Positive = 1.0
    """Parameter of Beta(alpha, alpha), from which the area that is kept is drawn."""
    draw: Literal["image", "batch"] = "image"
    """One box for each image, or one for the whole batch (timm's default)."""


class Augment(Section):
    """What happens to training images, in this order; `repeats` decides how often an image comes."""

    crop: InceptionCrop | Off
    """Random crop, or `off`: the evaluation's resize and centre crop."""
    padding: Annotated[int, Field(ge=0), NEUTRAL] = 0
    """Zeros put around the image, px on each side, before a box of the image size is cut out at a random place: the
    crop of CIFAR's recipes (4 px). Needs `crop: off`."""
    flip: bool
    """Mirror left and right with probability one half."""
    jitter: Annotated[ColorJitter | Off, NEUTRAL] = "off"
    """Colour jitter, or `off`."""
    autoaugment: Annotated[Literal["original", "originalr", "v0", "v0r", "3a"] | Off, NEUTRAL] = "off"
    """AutoAugment (Cubuk et al., arXiv 1805.09501) in one of timm's policies for ImageNet, or `off`; `3a` is the
    3-Augment of DeiT III (arXiv 2204.07118)."""
    randaug: RandAugment | Off
    """RandAugment, or `off`."""
    trivialaugment: Annotated[Literal["wide"] | Off, NEUTRAL] = "off"
    """TrivialAugment (Mueller and Hutter, arXiv 2103.10158) in its `wide` space, or `off`."""
    erasing: Annotated[Erasing | Off, NEUTRAL] = "off"
    """Random erasing, or `off`."""
    mixup: MixUp | Off
    """MixUp, or `off`."""
    cutmix: Annotated[CutMix | Off, NEUTRAL] = "off"
    """CutMix, or `off`. With both, each image (or batch) gets one of the two."""
    cutmix_share: Annotated[Share, NEUTRAL] = 0.5
    """Where both are on: how often it is CutMix (timm's switch probability)."""
    mixing_probability: Annotated[Share, NEUTRAL] = 1.0
    """With which an image (or batch) is mixed at all."""
    repeats: Annotated[int, Field(gt=0), NEUTRAL] = 1
    """How often an image comes in a row, each time augmented anew (repeated augmentation, Hoffer et al., arXiv
    1901.09335; DeiT 3). An epoch keeps its number of updates and sees as many fewer images."""

    @model_validator(mode="after")
    def _agreed(self) -> Augment:
        if self.padding and self.crop != "off":
            raise ValueError("padding needs crop: off")
        if self.mixup != "off" and self.cutmix != "off" and self.mixup.draw != self.cutmix.draw:
            raise ValueError(
                "mixup.draw and cutmix.draw must be the same, as one of the two is chosen for what is drawn"
            )
        if self.cutmix_share != 0.5 and (self.mixup == "off" or self.cutmix == "off"):
            raise ValueError("cutmix_share needs both mixup and cutmix")
        if self.mixing_probability != 1.0 and self.mixup == "off" and self.cutmix == "off":
            raise ValueError("mixing_probability needs mixup or cutmix")
        return self
