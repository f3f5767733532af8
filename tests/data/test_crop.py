from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import ks_2samp
from torch.nn.functional import interpolate
from torchvision.transforms import RandomResizedCrop

from ablate import draws, recipe
from ablate.data.crop import crop_resize, inception_boxes, random_resampling

GOLDEN = np.load(Path(__file__).parent / "golden" / "big_vision.npz")


def boxes_of(height: int, width: int, count: int = 500, **settings: Any) -> np.ndarray:
    sizes = np.tile([height, width], (count, 1))
    return inception_boxes(recipe.InceptionCrop(**settings), sizes, 0, 0, np.arange(count))


@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    min_area=st.floats(0.01, 1.0),
    min_aspect=st.floats(0.3, 1.0),
    max_aspect=st.floats(1.0, 3.0),
)
def test_boxes_keep_their_bounds(height, width, min_area, min_aspect, max_aspect):
    """A box lies in the image, and unless it is the whole image has the area and the aspect ratio asked for.

    Widths are rounded to pixels, so the ratio may be off by half a pixel.
    """
    limits = {"min_area": min_area, "min_aspect": min_aspect, "max_aspect": max_aspect}
    top, left, tall, wide = boxes_of(height, width, 60, **limits).T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (tall > 0).all()
    assert (wide > 0).all()
    assert (top + tall <= height).all()
    assert (left + wide <= width).all()
    cut = (tall < height) | (wide < width)
    assert (tall * wide >= min_area * height * width)[cut].all()
    assert (wide <= tall * max_aspect + 0.5 + 1e-9)[cut].all()
    assert (wide >= tall * min_aspect - 0.5 - 1e-9)[cut].all()


def test_boxes_are_distributed_as_in_tensorflow():
    """Heights and widths follow TensorFlow's sampler: Kolmogorov-Smirnov, p > .01 with fixed keys."""
    reference = GOLDEN["crops of 200 x 300"]
    found = boxes_of(200, 300, 4000, min_area=0.05, max_aspect=4 / 3)
    assert ks_2samp(found[:, 2], reference[:, 2]).pvalue > 0.01
    assert ks_2samp(found[:, 3], reference[:, 3]).pvalue > 0.01
    assert ks_2samp(found[:, 3] / found[:, 2], reference[:, 3] / reference[:, 2]).pvalue > 0.01


def test_every_place_is_possible():
    """Boxes reach all four borders and all rows between."""
    found = boxes_of(8, 8, 2000, min_area=0.2, min_aspect=1.0, max_aspect=1.0)
    tops = found[found[:, 2] == 4][:, 0]
    assert sorted(set(tops.tolist())) == [0, 1, 2, 3, 4]


def test_impossible_boxes_become_the_whole_image():
    """A long image holds no box of nearly its whole area and a square's shape, so nothing is cut."""
    found = boxes_of(10, 100, min_area=0.9, min_aspect=0.9, max_aspect=1.1)
    assert (found == [0, 0, 10, 100]).all()


def test_boxes_are_keyed_by_image():
    """An image's box depends on seed, epoch, size and index, not on the batch."""
    settings, sizes = recipe.InceptionCrop(), np.full((40, 2), 64)
    whole = inception_boxes(settings, sizes, 1, 2, np.arange(40))
    chosen = np.array([31, 5, 22])
    assert np.array_equal(inception_boxes(settings, sizes[:3], 1, 2, chosen), whole[chosen])
    assert len(np.unique(whole, axis=0)) > 35
    assert not np.array_equal(inception_boxes(settings, sizes, 1, 3, np.arange(40)), whole)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 28])
def test_crops_are_resized_as_torch_and_pil_do(channels, size):
    """Enlarged crops equal torch's bilinear interpolation and PIL's, within one level, image by image."""
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 256, (20, channels, size, size), dtype=np.uint8))
    boxes = boxes_of(size, size, 20)
    found = crop_resize(images, boxes, size).float()
    for image, (top, left, tall, wide), result in zip(images, boxes, found, strict=True):
        region = image[:, top : top + tall, left : left + wide]
        expected = interpolate(region[None].float(), (size, size), mode="bilinear", align_corners=False)[0]
        assert (result - expected).abs().max() <= 0.51  # rounding to nearest, and float32
        for plane, channel in zip(region, result, strict=True):
            resized = Image.fromarray(plane.numpy()).resize((size, size), Image.Resampling.BILINEAR)
            assert np.abs(np.asarray(resized, dtype=float) - channel.numpy()).max() <= 1


def torchvisions_boxes(height: int, width: int, count: int, settings: recipe.InceptionCrop) -> np.ndarray:
    torch.manual_seed(0)
    image = torch.empty(1, height, width)
    area, aspect = (settings.min_area, settings.max_area), (settings.min_aspect, settings.max_aspect)
    return np.array([RandomResizedCrop.get_params(image, area, aspect) for _ in range(count)])


class SameLuck:
    """torch's draws in torchvision's `get_params`, taken from the uniforms (10, 4) of our attempts."""

    def __init__(self, uniforms: np.ndarray) -> None:
        self.left = iter(uniforms[:, [1, 0]].flatten().tolist())  # area, aspect ratio
        self.places = uniforms[:, 2:]
        self.attempts = 0
        self.asked = 0

    def uniform_(self, _: torch.Tensor, low: float, high: float) -> torch.Tensor:
        self.attempts += 1
        return torch.tensor(float(low) + next(self.left) * float(high - low))

    def randint(self, low: int, high: int, size: tuple[int, ...]) -> torch.Tensor:
        place = self.places[self.attempts // 2 - 1, self.asked]
        self.asked += 1
        return torch.tensor(low + int(place * (high - low)))


@pytest.mark.parametrize("max_area", [1.0, 0.3])
def test_boxes_by_area_are_torchvisions(max_area, monkeypatch):
    """From the same uniforms RandomResizedCrop cuts the same box, but for a pixel in one of 500 (float32 there)."""
    settings = recipe.InceptionCrop(draw="area", min_area=0.08, max_area=max_area, max_aspect=4 / 3)
    sizes, keys = np.random.default_rng(0).integers(40, 400, (1000, 2)), np.arange(1000)
    found = inception_boxes(settings, sizes, 0, 0, keys)
    uniforms = draws.uniform(0, "crop", 0, keys, 40).reshape(-1, 10, 4)
    expected = []
    for size, own in zip(sizes.tolist(), uniforms, strict=True):
        luck = SameLuck(own)
        monkeypatch.setattr(torch.Tensor, "uniform_", lambda *arguments, luck=luck: luck.uniform_(*arguments))
        monkeypatch.setattr(torch, "randint", luck.randint)
        expected.append(RandomResizedCrop.get_params(torch.empty(1, *size), (0.08, max_area), (0.75, 4 / 3)))
    apart = np.abs(found - np.array(expected))
    assert apart.max() <= 1
    assert apart.any(axis=1).mean() <= 0.002


@pytest.mark.parametrize(("height", "width"), [(10, 100), (100, 10), (50, 50)])
def test_where_no_area_fits_torchvision_cuts_the_centre(height, width):
    """A long image that holds no box of nearly its whole area gives the same central box as in torchvision."""
    limits = {"draw": "area", "min_area": 0.999, "min_aspect": 0.85, "max_aspect": 0.9}
    reference = torchvisions_boxes(height, width, 3, recipe.InceptionCrop(**limits))
    found = boxes_of(height, width, 3, **limits)
    assert np.array_equal(found, reference)


@pytest.mark.parametrize("draw", ["height", "area"])
def test_boxes_cover_no_more_than_asked_for(draw):
    """No box covers much more than the largest area; by area, sides are rounded to whole pixels."""
    found = boxes_of(90, 70, 800, draw=draw, max_area=0.4)
    _, _, tall, wide = found[(found[:, 2] < 90) | (found[:, 3] < 70)].T
    room = (tall + wide) / 2 if draw == "area" else 0
    assert len(tall) > 700
    assert (tall * wide <= 0.4 * 90 * 70 + room).all()


def test_the_whole_area_by_default_changes_no_box():
    """Boxes by height are those from before there was a largest area: pinned."""
    found = boxes_of(37, 53, 3)
    assert found.tolist() == [[14, 15, 17, 18], [3, 10, 34, 35], [1, 8, 25, 29]]


def test_random_resampling_is_even_and_keyed_by_image():
    """Half of the images are resized bicubically (within four standard errors), each alike in any batch."""
    whole = random_resampling(0, 1, np.arange(4000))
    assert whole.mean() == pytest.approx(0.5, abs=2 / 4000**0.5)
    assert np.array_equal(random_resampling(0, 1, np.array([7, 3])), whole[[7, 3]])
    assert not np.array_equal(random_resampling(0, 2, np.arange(4000)), whole)


def test_whole_box_changes_nothing():
    """The whole image as box is the image."""
    images = torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8)
    assert torch.equal(crop_resize(images, np.array([[0, 0, 8, 8]]), 8), images)
