"""Which images a Recipe trains on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ablate.recipe.section import Section

SOURCE_PATTERN = r"^(digits|mnist5k|imagefolder:.+)$"


class Data(Section):
    """Which images, how they are split and how they are scaled."""

    source: Annotated[str, Field(pattern=SOURCE_PATTERN)]
    """`digits`, `mnist5k` or `imagefolder:PATH`. The path is not part of a Trial's identity, what lies there is."""
    image_size: Annotated[int, Field(gt=0)]
    """Side of the square image that the model sees, px."""
    channels: Annotated[int, Field(gt=0)]
    """Channels of an image; checked against the source."""
    classes: Annotated[int, Field(gt=1)]
    """Number of classes; checked against the source."""
    mean: float
    """Subtracted from pixels scaled to [0, 1]."""
    std: Annotated[float, Field(gt=0)]
    """Divides what is left."""
    test_fraction: Annotated[float, Field(ge=0.0, lt=1.0)]
    """Share held out as `test`, stratified by class, from a source that has no test split of its own; 0 where
    it has one."""
    val_fraction: Annotated[float, Field(ge=0.0, lt=1.0)]
    """Share of what is left for training that is carved out as `val`, stratified by class."""
    split_seed: int
    """Seed of both draws; the same for every seed of a study, so that all Trials are judged on the same images."""
    evaluate_on: Literal["val", "test"]
    """The held-out images a Trial is judged on. Tune on `val`, report on `test`."""
    eval_resize: Annotated[int, Field(gt=0)]
    """Shorter side after resizing for evaluation, px, before the centre crop to `image_size`."""

    def location(self) -> Path | None:
        """The folder behind `imagefolder:PATH`; None for a packaged source.

        A relative path starts at `$ABLATE_DATA`, or at the working folder where that is not set.
        """
        kind, _, path = self.source.partition(":")
        if kind != "imagefolder":
            return None
        return Path(os.environ.get("ABLATE_DATA", "."), path)
