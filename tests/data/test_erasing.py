from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp, kstest
from timm.data.random_erasing import RandomErasing

from ablate import recipe
from ablate.data.erasing import Eraser

COUNT = 3000
MODES = {"pixel": "pixel", "channel": "rand", "constant": "const"}


def erased(images: torch.Tensor, epoch: int = 0, keys: np.ndarray | None = None, **settings: object) -> torch.Tensor:
    eraser = Eraser(recipe.Erasing(**settings))
    return eraser(images, 0, epoch, np.arange(len(images)) if keys is None else keys)


def sevens(count: int = COUNT, channels: int = 1, size: int = 24) -> torch.Tensor:
    """Images of a value that no normal draw takes."""
    return torch.full((count, channels, size, size), 77.0)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("fill", MODES)
def test_boxes_are_distributed_as_timms(count, fill):
    """Erased areas, heights and widths follow timm's `RandomErasing`: Kolmogorov-Smirnov, p > .01 with fixed keys."""
    images = sevens()
    found = (erased(images, probability=1.0, fill=fill, count=count) != 77)[:, 0]
    random.seed(0)
    torch.manual_seed(0)
    timm = RandomErasing(1.0, mode=MODES[fill], min_count=count, device="cpu")
    theirs = (timm(images.clone()) != 77)[:, 0]
    for measure in (lambda m: m.sum((1, 2)), lambda m: m.any(2).sum(1), lambda m: m.any(1).sum(1)):
        assert ks_2samp(measure(found).numpy(), measure(theirs).numpy()).pvalue > 0.01
    for axis in (1, 2):
        assert ks_2samp(found.any(axis).float().argmax(1), theirs.any(axis).float().argmax(1)).pvalue > 0.01


def test_probability_is_the_share_of_images_erased_in():
    """A quarter of the images changes (within four standard errors); the input never does."""
    images = sevens()
    changed = (erased(images) != 77).flatten(1).any(1)
    assert changed.float().mean().item() == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / COUNT) ** 0.5)
    assert (images == 77).all()


def test_noise_is_standard_normal():
    """Erased pixels are normal draws, other in every pixel, channel, image and epoch: Kolmogorov-Smirnov, p > .01."""
    images = sevens(60, 3)
    first, second = (erased(images, epoch, probability=1.0) for epoch in (0, 1))
    values = first[first != 77].numpy()
    assert kstest(values, "norm").pvalue > 0.01
    assert len(np.unique(values)) > 0.999 * len(values)
    assert np.isin(second[second != 77].numpy(), values).mean() < 0.01  # float32 has few enough values to meet again


def test_fills():
    """`channel` gives each channel of a box one value, `constant` zero."""
    images = sevens(50, 3)
    for image in erased(images, probability=1.0, fill="channel"):
        values = [channel[channel != 77].unique() for channel in image]
        assert [len(v) for v in values] == [1, 1, 1]
        assert len(torch.cat(values).unique()) == 3
    constant = erased(images, probability=1.0, fill="constant")
    assert set(constant.unique().tolist()) == {0.0, 77.0}


def test_boxes_are_inside_and_of_the_area_asked_for():
    """Boxes keep their bounds of area and aspect ratio up to rounding; one without room is none at all."""
    eraser = Eraser(recipe.Erasing(min_area=0.1, max_area=0.2, min_aspect=0.5))
    draw = np.random.default_rng(0).random((500, 1, 10, 4))
    top, left, tall, wide = eraser.boxes(draw, 40, 60)[:, 0].T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + tall <= 40).all()
    assert (left + wide <= 60).all()
    assert np.all(np.abs(tall * wide - 0.15 * 2400) <= 0.05 * 2400 + (tall + wide) / 2 + 1)
    assert np.all(tall / wide < 2.1)
    assert np.all(tall / wide > 0.48)
    whole = Eraser(recipe.Erasing(min_area=1.0, max_area=1.0, min_aspect=1.0))
    assert not whole.boxes(draw, 40, 40).any()


@pytest.mark.parametrize("fill", MODES)
def test_an_image_is_erased_alike_in_any_batch(fill):
    """Boxes and noise depend on seed, epoch and key alone."""
    images, chosen = torch.randn(60, 3, 16, 16, generator=torch.Generator().manual_seed(0)), np.array([41, 4, 7])
    whole = erased(images, probability=0.7, fill=fill, count=2)
    assert torch.equal(erased(images[chosen], 0, chosen, probability=0.7, fill=fill, count=2), whole[chosen])
