"""Which images a Recipe trains on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from ablate.places import data_path
from ablate.recipe.section import NEUTRAL, Section

SOURCE_PATTERN = r"^(digits|mnist5k|(imagefolder|imagenet|cifar10|cifar100):.+|(hfds|wds|tfds)/.+)$"


def _no_list(value: object) -> object:
    """A frozen Recipe holds tuples, and YAML and JSON know lists."""
    return tuple(value) if isinstance(value, list) else value


Number = Annotated[float, Field()]
PerChannel = Annotated[tuple[float, ...], Field(min_length=1), BeforeValidator(_no_list)]
Deviation = Annotated[float, Field(gt=0.0)]
DeviationPerChannel = Annotated[tuple[Deviation, ...], Field(min_length=1), BeforeValidator(_no_list)]


class Data(Section):
    """Which images, how they are split and how they are scaled."""

    source: Annotated[str, Field(pattern=SOURCE_PATTERN)]
    """`digits`, `mnist5k`, `imagefolder:PATH`, `imagenet:PATH`, `cifar10:PATH`, `cifar100:PATH`, or one of timm's
    readers: `hfds/NAME`, `wds/PATH`, `tfds/NAME`. A path is not part of a Trial's identity, what lies there is."""
    image_size: Annotated[int, Field(gt=0)]
    """Side of the square image that the model sees, px."""
    channels: Annotated[int, Field(gt=0)]
    """Channels of an image; checked against the source."""
    classes: Annotated[int, Field(gt=1)]
    """Number of classes; checked against the source."""
    mean: Number | PerChannel
    """Subtracted from pixels scaled to [0, 1]; one number, or one for each channel."""
    std: Deviation | DeviationPerChannel
    """Divides what is left; one number, or one for each channel."""
    train_split: Annotated[str, NEUTRAL] = "train"
    """The source's split that is trained on, by the source's own name; packaged sources have no other."""
    test_split: Annotated[str | None, NEUTRAL] = None
    """The source's split that is `test`, by the source's own name: `val` in ImageNet's folders, `test` in CIFAR. null:
    the source has none, and `test_fraction` is carved out."""
    test_fraction: Annotated[float, Field(ge=0.0, lt=1.0)]
    """Share held out as `test`, from a source that has no test split of its own; 0 where it has one."""
    val_fraction: Annotated[float, Field(ge=0.0, lt=1.0)]
    """Share of what is left for training that is carved out as `val`."""
    carve: Annotated[Literal["stratified", "random"], NEUTRAL] = "stratified"
    """How both are carved: the same share of each class, or of all images together."""
    split_seed: int
    """Seed of both draws; the same for every seed of a study, so that all Trials are judged on the same images."""
    evaluate_on: Literal["val", "test"]
    """The held-out images a Trial is judged on. Tune on `val`, report on `test`."""
    eval_resize: Annotated[int, Field(gt=0)]
    """Shorter side after resizing for evaluation, px, before the centre crop to `image_size`."""
    eval_resampling: Annotated[Literal["area", "bilinear", "bicubic"], NEUTRAL] = "area"
    """How: the mean over areas (big_vision), or PIL's antialiased `bilinear` or `bicubic` (torchvision, timm). Images
    that lie in memory all of one size are resized bilinearly where this says `area`."""
    faulty: Annotated[Literal["error", "skip"], NEUTRAL] = "error"
    """An image that cannot be read, or a class without images: an error when it is met (a class at the start), or left
    out before the start, counted (`skipped_images`) and listed (`artifacts/skipped.txt`)."""

    @model_validator(mode="after")
    def _explicit_splits(self) -> Data:
        if self.kind in ("digits", "mnist5k") and (self.train_split != "train" or self.test_split is not None):
            raise ValueError(
                f"{self.source} has no splits of its own: leave train_split at train and test_split at null, and hold "
                "test images out with test_fraction"
            )
        if self.test_split is not None and self.test_fraction:
            raise ValueError(
                f"test_split is {self.test_split} and test_fraction {self.test_fraction}: test images are the source's "
                "own, or held out of those for training; set one to null or 0"
            )
        return self

    @model_validator(mode="after")
    def _per_channel(self) -> Data:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if isinstance(values, tuple) and len(values) != self.channels:
                raise ValueError(f"{name} has {len(values)} numbers, but channels is {self.channels}")
        return self

    @property
    def kind(self) -> str:
        """The source without what it is called or where it lies: `digits`, `imagefolder`, `cifar10`, `hfds`."""
        return re.split("[:/]", self.source, maxsplit=1)[0]

    def location(self) -> Path | None:
        """The folder behind `imagefolder:PATH`, `imagenet:PATH`, `cifar10:PATH` and `cifar100:PATH`, else None.

        A relative path starts at `$ABLATE_DATA`, or at the working folder where that is not set.
        """
        kind, _, path = self.source.partition(":")
        if kind not in ("imagefolder", "imagenet", "cifar10", "cifar100"):
            return None
        return data_path(path)
