from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, kstest, norm

from ablate import draws, recipe
from ablate.data import timm_operations
from ablate.data.pil_affine import Resampling
from ablate.data.timm_randaugment import INCREASING, OPERATIONS, TimmRandAugmenter

GRAY = SimpleNamespace(mean=0.5, channels=1)
COUNT = 6000


def augmenter(**settings: object) -> TimmRandAugmenter:
    return TimmRandAugmenter(recipe.RandAugment(operations="timm", **settings), GRAY)


def drawn(**settings: object) -> tuple[np.ndarray, np.ndarray]:
    uniforms = draws.uniform(0, "test", 0, np.arange(COUNT), 3)
    return augmenter(**settings).choose(uniforms)


def test_operations_are_chosen_uniformly():
    """All fifteen are as likely: chi-squared, p > .01 with fixed keys; the increasing set has the same places."""
    places, _ = drawn()
    assert chisquare(np.bincount(places, minlength=15)).pvalue > 0.01
    assert len(OPERATIONS) == len(INCREASING) == 15
    assert augmenter(increasing=True).names == INCREASING


def test_probability_is_the_share_of_images_with_an_operation():
    """At timm's probability of one half, half of the images go on untouched (within four standard errors)."""
    places, _ = drawn(probability=0.5)
    assert (places == -1).mean() == pytest.approx(0.5, abs=4 * 0.5 / COUNT**0.5)


def test_levels_are_normal_and_clipped():
    """Noise of .5 about 9 has the normal's distribution, cut off at 10, which one image in 44 reaches."""
    _, levels = drawn(level=9.0, noise=0.5)
    inside = levels[levels < 10]
    assert kstest(inside, lambda x: norm.cdf(x, 9, 0.5) / norm.cdf(10, 9, 0.5)).pvalue > 0.01
    clipped = norm.sf(2.0)
    assert (levels == 10).mean() == pytest.approx(clipped, abs=4 * (clipped / COUNT) ** 0.5)
    _, low = drawn(level=0.5, noise=2.0)
    assert low.min() == 0.0
    assert (low == 0).mean() == pytest.approx(norm.cdf(-0.25), abs=4 * 0.5 / COUNT**0.5)


def test_a_level_beyond_the_clip_is_no_level():
    """timm clips it silently; here a Recipe must raise the limit, too, and then gets what it says."""
    with pytest.raises(ValueError, match="level is 15, and is clipped at max_level, 10"):
        drawn(level=15.0)
    _, levels = drawn(level=15.0, max_level=20.0)
    assert (levels == 15.0).all()


def test_signs_and_resampling_are_even(monkeypatch):
    """Half of the rotations go either way, and half of all are bicubic (within four standard errors)."""
    seen = []
    monkeypatch.setattr(timm_operations, "apply", lambda images, chosen, fill: seen.append(chosen) or images)
    augmenter(layers=1, level=5.0)(torch.zeros(COUNT, 1, 1, 1, dtype=torch.uint8), 0, 0, np.arange(COUNT))
    rotated = seen[0].places == OPERATIONS.index("Rotate")
    turns = seen[0].arguments[rotated]
    assert set(turns.tolist()) == {-15.0, 15.0}
    assert (turns > 0).mean() == pytest.approx(0.5, abs=2 / len(turns) ** 0.5)
    assert set(seen[0].resampling.tolist()) == {Resampling.BILINEAR, Resampling.BICUBIC}
    assert (seen[0].resampling == Resampling.BICUBIC).mean() == pytest.approx(0.5, abs=2 / COUNT**0.5)


@pytest.mark.parametrize("how", ["bilinear", "bicubic"])
def test_resampling_may_be_always_the_same(monkeypatch, how):
    """DeiT resamples bicubically throughout: no image is resampled otherwise."""
    seen = []
    monkeypatch.setattr(timm_operations, "apply", lambda images, chosen, fill: seen.append(chosen.resampling) or images)
    augmenter(resampling=how)(torch.zeros(64, 1, 8, 8, dtype=torch.uint8), 0, 0, np.arange(64))
    assert set(np.concatenate(seen)) == {Resampling[how.upper()]}


def test_layers_follow_one_another():
    """Two layers differ from one, draw anew, and give an image the same look in any batch."""
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(30, 200, (40, 1, 20, 20), dtype=np.uint8))
    keys = np.arange(40)
    two = augmenter(layers=2, noise=0.5)(images, 3, 1, keys)
    assert not torch.equal(two, augmenter(layers=1, noise=0.5)(images, 3, 1, keys))
    assert not torch.equal(two, augmenter(layers=2, noise=0.5)(images, 3, 2, keys))
    chosen = np.array([17, 3, 29])
    assert torch.equal(augmenter(layers=2, noise=0.5)(images[chosen], 3, 1, chosen), two[chosen])
