from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import auto_augment as theirs

from ablate.data.autoaugment import policy
from ablate.data.timm_operations import LEVELS, apply_at_levels, fill_colour, operation
from ablate.data.timm_randaugment import INCREASING, OPERATIONS

POLICIES = ("original", "originalr", "v0", "v0r", "3a")


def timms_argument(name: str, level: float, negative: bool, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, ...]:
    monkeypatch.setattr(theirs.random, "random", lambda: 0.9 if negative else 0.1)
    monkeypatch.setattr(theirs.random, "uniform", lambda low, high: low + (high - low) * (0.9 if negative else 0.1))
    function = theirs.LEVEL_TO_ARG[name]
    return () if function is None else function(level, {"translate_const": 100})


def test_every_operation_of_timms_lists_has_levels():
    """RandAugment's operations are timm's, in its order, and no policy names one that is missing."""
    assert list(OPERATIONS) == theirs._RAND_TRANSFORMS
    assert list(INCREASING) == theirs._RAND_INCREASING_TRANSFORMS
    named = {name for table in POLICIES for line in policy(table) for name, _, _ in line}
    assert named | set(OPERATIONS) | set(INCREASING) == LEVELS.keys()


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("name", LEVELS)
def test_levels_are_timms(name, negative, monkeypatch):
    """From 0 to 30 in steps of a tenth, and with either sign, a level means the argument it means in timm."""
    for level in np.arange(301) / 10:
        found = LEVELS[name](np.array([level]), np.array([0.9 if negative else 0.1]))[0]
        expected = timms_argument(name, float(level), negative, monkeypatch)
        if name == "GaussianBlurRand":  # timm turns this into a radius where it blurs
            expected = (theirs.random.uniform(0.1, 2.0 * expected[0]),)
        assert found == pytest.approx(expected[0] if expected else 0.0, abs=1e-12)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("cubic", [False, True])
@pytest.mark.parametrize("name", LEVELS)
def test_pixels_are_timms(name, cubic, mode, monkeypatch):
    """An operation at a level gives the pixels of timm's `AugmentOp`: at least 999 of 1,000 equal, no one off by more
    than one level (on x86 all are equal)."""
    channels = {"L": 1, "RGB": 3}[mode]
    rng = np.random.default_rng(0)
    image = rng.integers(20, 230, (31, 31, channels), dtype=np.uint8)
    batch = torch.from_numpy(image).permute(2, 0, 1)[None]
    mean = (10, 130, 250)[:channels]
    method = Image.Resampling.BICUBIC if cubic else Image.Resampling.BILINEAR
    settings = {"img_mean": mean if channels == 3 else mean[0], "interpolation": method}
    for level in (0.0, 2.7, 5.0, 9.3, 10.0):
        for sign in (0.1, 0.9):
            draw = np.array([[sign, 0.9 if cubic else 0.1]])
            if operation(name) == "Posterize" and not LEVELS[name](np.array([level]), draw[:, 0])[0]:
                continue  # no bits: Pillow 13 raises
            fill = torch.tensor(mean, dtype=torch.uint8)
            found = apply_at_levels(batch, (name,), np.zeros(1, dtype=np.int64), np.array([level]), draw, fill)
            source = Image.fromarray(image[..., 0] if channels == 1 else image)
            timms_argument(name, level, sign > 0.5, monkeypatch)
            expected = theirs.AugmentOp(name, prob=1.0, magnitude=level, hparams=settings)(source)
            apart = np.abs(
                found[0].permute(1, 2, 0).int().numpy() - np.asarray(expected, dtype=int).reshape(image.shape)
            )
            assert apart.max() <= 1
            assert (apart > 0).mean() <= 0.001


def test_resampling_is_drawn():
    """A second draw below one half means bilinear, else bicubic."""
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 1, 9, 9), dtype=np.uint8))
    images[1] = images[0]
    fill = torch.zeros(1, dtype=torch.uint8)
    both = apply_at_levels(
        images, ("Rotate",), np.zeros(2, dtype=np.int64), np.full(2, 9.0), np.array([[0.1, 0.49], [0.1, 0.5]]), fill
    )
    for found, method in zip(both, (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC), strict=True):
        rotated = Image.fromarray(images[0, 0].numpy()).rotate(27.0, method)
        assert np.abs(np.asarray(rotated, dtype=int) - found[0].int().numpy()).max() <= 1
    assert not torch.equal(both[0], both[1])


def test_the_fill_colour_is_the_mean_as_timm_rounds_it():
    """ImageNet's mean becomes (124, 116, 104), one number stands for all channels, and 255 is the most."""
    assert fill_colour(SimpleNamespace(mean=(0.485, 0.456, 0.406), channels=3)).tolist() == [124, 116, 104]
    assert fill_colour(SimpleNamespace(mean=0.5, channels=2)).tolist() == [128, 128]
    assert fill_colour(SimpleNamespace(mean=1.2, channels=1)).tolist() == [255]
