from __future__ import annotations

import numpy as np
import pytest
import torch

from ablate.data import pieces
from ablate.data.operations import Chosen, apply
from ablate.data.pieces import in_pieces

NAMES = ("Invert", "Color", "Contrast", "Rotate", "ShearX", "TranslateY")


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_batches_equal_images_taken_alone(channels):
    """Images that go through an operation together come out as each does alone; those without one stay."""
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 256, (60, channels, 9, 9), dtype=np.uint8))
    before = images.clone()
    places, arguments, kinds = rng.integers(-1, 6, 60), rng.uniform(0.1, 1.9, 60), rng.choice([1, 2, 4], 60)
    fill = torch.full((channels,), 77, dtype=torch.uint8)

    def applied(rows: slice) -> torch.Tensor:
        return apply(images[rows], Chosen(NAMES, places[rows], arguments[rows], kinds[rows]), fill)

    together = applied(slice(None))
    assert torch.equal(together, torch.cat([applied(slice(k, k + 1)) for k in range(60)]))
    assert torch.equal(together[places == -1], images[places == -1])
    assert torch.equal(together[places == 0], 255 - images[places == 0])
    assert torch.equal(images, before)


def test_pieces_hold_as_many_images_as_fit(monkeypatch):
    """Images and what belongs to them are cut alike, and put together in order; one image always fits."""
    seen = []

    def change(images: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        seen.append(len(images))
        return images + values

    images, values = torch.zeros(7, 1, 4, 4), torch.arange(7.0).view(-1, 1, 1, 1)
    for pixels in (50, 1):
        monkeypatch.setattr(pieces, "_PIXELS_ON_CPU", pixels)
        assert torch.equal(in_pieces(change, images, values), values.expand(-1, 1, 4, 4))
    assert seen == [3, 3, 1] + [1] * 7
