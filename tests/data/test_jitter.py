from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, kstest
from torchvision.transforms import functional

from ablate import draws, recipe
from ablate.data.jitter import ColorJitterer, turn_hue

THEIRS = (
    functional.adjust_brightness,
    functional.adjust_contrast,
    functional.adjust_saturation,
    functional.adjust_hue,
)


def random_images(batch: int, channels: int = 3) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (batch, channels, 16, 16), dtype=np.uint8))


@pytest.mark.parametrize("kind", range(4))
@pytest.mark.parametrize("channels", [1, 3])
def test_each_change_is_torchvisions(kind, channels):
    """Alone, each of the four gives torchvision's pixels for uint8 tensors within one level."""
    names = ("brightness", "contrast", "saturation", "hue")
    off = dict.fromkeys(names, 0.0)
    jitter = ColorJitterer(recipe.ColorJitter(**off | {names[kind]: 0.5}))
    images = random_images(50, channels)
    _, factors = jitter.choose(draws.uniform(1, "jitter", 2, np.arange(50), 8))
    found = jitter(images, 1, 2, np.arange(50)).int()
    expected = torch.stack([THEIRS[kind](i, f) for i, f in zip(images, factors[:, kind].tolist(), strict=True)]).int()
    assert (found - expected).abs().max() <= 1
    if channels == 3 or kind < 2:
        assert not torch.equal(found, images.int())


def test_all_four_follow_one_another_in_the_drawn_order():
    """Together they equal torchvision's functions, called in each image's order: 99 % of values within two levels.

    Differences of one level are stretched by what comes after them.
    """
    jitter = ColorJitterer(recipe.ColorJitter(hue=0.1))
    images = random_images(60)
    order, factors = jitter.choose(draws.uniform(1, "jitter", 2, np.arange(60), 8))
    expected = images.clone()
    for k in range(60):
        for kind in order[k].tolist():
            expected[k] = THEIRS[kind](expected[k], factors[k, kind].item())
    apart = (jitter(images, 1, 2, np.arange(60)).int() - expected.int()).abs()
    assert (apart <= 2).float().mean() >= 0.99
    assert apart.max() <= 12


def test_orders_and_factors_are_uniform():
    """All 24 orders are as likely, and factors uniform in their ranges, none below zero: p > .01 with fixed keys."""
    jitter = ColorJitterer(recipe.ColorJitter(brightness=0.4, contrast=1.5, saturation=0.2, hue=0.3))
    order, factors = jitter.choose(draws.uniform(0, "jitter", 0, np.arange(6000), 8))
    assert chisquare(np.unique(order, axis=0, return_counts=True)[1]).pvalue > 0.01
    assert len(np.unique(order, axis=0)) == 24
    for values, (low, high) in zip(factors.T, [(0.6, 1.4), (0.0, 2.5), (0.8, 1.2), (-0.3, 0.3)], strict=True):
        assert kstest(values, "uniform", (low, high - low)).pvalue > 0.01


@pytest.mark.parametrize("channels", [1, 4])
def test_hue_is_a_matter_of_rgb(channels):
    """Images of other channels keep their values."""
    images = random_images(2, channels)
    assert turn_hue(images, torch.full((2, 1, 1, 1), 0.4)) is images


def test_a_third_of_the_circle_swaps_channels():
    """Turned by a third, red becomes green; by nothing, an image stays as it is."""
    red = torch.tensor([200, 10, 10], dtype=torch.uint8).view(1, 3, 1, 1)
    assert turn_hue(red, torch.full((1, 1, 1, 1), 1 / 3)).flatten().tolist() == [10, 200, 10]
    images = random_images(4)
    assert (turn_hue(images, torch.zeros(4, 1, 1, 1)).int() - images.int()).abs().max() <= 1


def test_an_image_is_jittered_alike_in_any_batch():
    """Draws depend on seed, epoch and key alone, and the input is left alone."""
    jitter, images, chosen = ColorJitterer(recipe.ColorJitter()), random_images(30), np.array([21, 4])
    before = images.clone()
    whole = jitter(images, 1, 2, np.arange(30))
    assert torch.equal(jitter(images[chosen], 1, 2, chosen), whole[chosen])
    assert not torch.equal(jitter(images, 1, 3, np.arange(30)), whole)
    assert torch.equal(images, before)
