from __future__ import annotations

import numpy as np
import torch
from scipy.stats import chisquare
from torch.nn.functional import pad

from ablate.data.padding import PaddedCrop


def test_each_image_is_a_box_of_itself_with_zeros_around():
    """All 25 places of a box in an image padded by two come up, as often (chi-squared, p > .01), and no other box."""
    image = torch.arange(1, 41, dtype=torch.uint8).view(1, 2, 4, 5)
    found = PaddedCrop(2)(image.expand(3000, -1, -1, -1), 0, 0, np.arange(3000))
    padded = pad(image[0], [2] * 4)
    boxes = torch.stack([padded[:, y : y + 4, x : x + 5] for y in range(5) for x in range(5)])
    same = (found[:, None] == boxes[None]).flatten(2).all(2)
    assert (same.sum(1) == 1).all()
    assert chisquare(same.sum(0).numpy()).pvalue > 0.01


def test_an_image_is_cut_alike_in_any_batch():
    """Draws depend on seed, epoch and key alone."""
    images = torch.arange(40 * 16, dtype=torch.int32).view(40, 1, 4, 4).to(torch.uint8)
    crop, chosen = PaddedCrop(3), np.array([31, 5])
    whole = crop(images, 1, 2, np.arange(40))
    assert torch.equal(crop(images[chosen], 1, 2, chosen), whole[chosen])
    assert not torch.equal(crop(images, 1, 3, np.arange(40)), whole)
