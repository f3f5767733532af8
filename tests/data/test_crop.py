from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import ks_2samp
from torch.nn.functional import interpolate

from ablate import recipe
from ablate.data.crop import crop_resize, inception_boxes

GOLDEN = np.load(Path(__file__).parent / "golden" / "big_vision.npz")


def boxes_of(height: int, width: int, count: int = 500, **settings: float) -> np.ndarray:
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


def test_whole_box_changes_nothing():
    """The whole image as box is the image."""
    images = torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8)
    assert torch.equal(crop_resize(images, np.array([[0, 0, 8, 8]]), 8), images)
