from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import beta, kstest

from ablate import recipe
from ablate.data.mixing import mix, shares


@pytest.mark.parametrize("alpha", [0.5, 1.0, 3.0])
def test_shares_are_the_larger_part_of_a_beta(alpha):
    """Shares follow max(s, 1 - s) of Beta(alpha, alpha): Kolmogorov-Smirnov, p > .01 with fixed keys."""
    found = shares(recipe.MixUp(alpha=alpha), 0, 0, 0, np.arange(5000)).astype(np.float64)
    assert found.min() >= 0.5
    assert kstest(found, lambda x: 2 * beta.cdf(x, alpha, alpha) - 1).pvalue > 0.01


def test_shares_of_the_published_alpha():
    """Quantiles of shares for Beta(.2, .2) are where they should be (within four standard errors).

    One share in thirty is within float32's precision of 1, so a Kolmogorov-Smirnov test would see a step.
    """
    found = shares(recipe.MixUp(alpha=0.2), 0, 0, 0, np.arange(5000))
    for level in (0.1, 0.3, 0.5, 0.7, 0.9):
        below = (found <= beta.ppf((1 + level) / 2, 0.2, 0.2)).mean()
        assert below == pytest.approx(level, abs=4 * (level * (1 - level) / 5000) ** 0.5)


def test_shares_per_image_depend_on_image_and_epoch_alone():
    """An image keeps its share in any batch, at any step, and gets a new one in the next epoch."""
    settings = recipe.MixUp(alpha=1.0, draw="image")
    whole = shares(settings, 4, 1, 10, np.arange(50))
    assert len(np.unique(whole)) == 50
    assert np.array_equal(shares(settings, 4, 1, 99, np.array([7, 3])), whole[[7, 3]])
    assert not np.array_equal(shares(settings, 4, 2, 10, np.arange(50)), whole)


def test_share_per_batch_depends_on_the_step_alone():
    """All images of a batch share one draw, which another epoch's step of the same number would repeat."""
    settings = recipe.MixUp(alpha=1.0, draw="batch")
    one = shares(settings, 4, 1, 10, np.arange(50))
    assert len(np.unique(one)) == 1
    assert np.array_equal(shares(settings, 4, 1, 10, np.arange(50, 100)), one)
    assert shares(settings, 4, 1, 11, np.arange(50))[0] != one[0]


def test_mix_is_big_visions_formula():
    """Each value is its share of itself and the rest of the one before it in the batch."""
    values = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    mixed = mix(values, values.roll(1, 0), torch.tensor([0.9, 0.6, 1.0]))
    assert torch.allclose(mixed, torch.tensor([[1.0, 0.0], [0.4, 0.6], [1.0, 0.0]]), atol=1e-7)


def test_mix_treats_images_as_targets():
    """Images of any shape are mixed with the same shares."""
    images = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 2, 4, 4)
    mixed = mix(images, images.roll(1, 0), torch.tensor([0.5, 0.75, 1.0]))
    assert torch.allclose(mixed[:, 0, 0, 0], torch.tensor([1.0, 0.75, 2.0]))
