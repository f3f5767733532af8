from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torchvision.transforms import InterpolationMode, TrivialAugmentWide, autoaugment

from ablate.data import trivialaugment as ours
from ablate.data.trivialaugment import BINS, OPERATIONS, SPACE, apply_magnitudes, trivialaugment


def random_images(batch: int, channels: int) -> torch.Tensor:
    rng = np.random.default_rng(0)
    low = rng.integers(0, 100, (batch, channels, 1, 1))
    high = low + rng.integers(20, 156, (batch, channels, 1, 1))
    return torch.from_numpy((low + rng.random((batch, channels, 33, 33)) * (high - low)).astype(np.uint8))


def test_the_space_is_torchvisions():
    """Operations, magnitudes and which of them have a sign are torchvision's, to float32's precision."""
    theirs = TrivialAugmentWide()._augmentation_space(BINS)
    assert list(SPACE) == list(theirs)
    for name, (magnitudes, signed) in theirs.items():
        assert SPACE[name][1] == signed
        assert np.allclose(SPACE[name][0], magnitudes.numpy(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", OPERATIONS)
def test_pixels_are_torchvisions(name, channels):
    """At every magnitude and sign an operation gives torchvision's pixels for uint8 tensors.

    Moved pixels: at most one in a thousand is another one, where a source lies between two. Values: at most one level
    apart, as torchvision's tensors have another rounding than PIL.
    """
    magnitudes, signed = SPACE[name]
    both = np.concatenate([magnitudes, -magnitudes]) if signed else magnitudes
    images = random_images(len(both), channels)
    found = apply_magnitudes(images, np.full(len(both), OPERATIONS.index(name)), both).int()
    expected = torch.stack(
        [
            autoaugment._apply_op(image, name, float(m), InterpolationMode.NEAREST, None)
            for image, m in zip(images, both, strict=True)
        ]
    ).int()
    apart = (found - expected).abs()
    if name in ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"):
        assert (apart > 0).float().mean() <= 0.001
    else:
        assert apart.max() <= 1


def test_operations_bins_and_signs_are_uniform(monkeypatch):
    """All fourteen operations, all 31 bins and both signs are as likely: chi-squared, p > .01 with fixed keys."""
    seen = []
    monkeypatch.setattr(ours, "apply_magnitudes", lambda images, places, magnitudes: seen.append((places, magnitudes)))
    trivialaugment(torch.zeros(40000, 1, 1, 1, dtype=torch.uint8), 0, 0, np.arange(40000))
    ((places, magnitudes),) = seen
    assert chisquare(np.bincount(places, minlength=14)).pvalue > 0.01
    solarized = magnitudes[places == OPERATIONS.index("Solarize")]
    assert chisquare(np.unique(solarized, return_counts=True)[1]).pvalue > 0.01
    assert len(np.unique(solarized)) == BINS
    rotated = magnitudes[places == OPERATIONS.index("Rotate")]
    assert (rotated > 0).mean() == pytest.approx(15 / 31, abs=4 * 0.5 / len(rotated) ** 0.5)
    assert (rotated < 0).mean() == pytest.approx(15 / 31, abs=4 * 0.5 / len(rotated) ** 0.5)
    assert (solarized >= 0).all()


def test_an_image_is_augmented_alike_in_any_batch():
    """Draws depend on seed, epoch and key alone, whatever the number of channels."""
    images, chosen = random_images(40, 4), np.array([31, 4])
    whole = trivialaugment(images, 1, 2, np.arange(40))
    assert torch.equal(trivialaugment(images[chosen], 1, 2, chosen), whole[chosen])
    assert not torch.equal(trivialaugment(images, 1, 3, np.arange(40)), whole)
