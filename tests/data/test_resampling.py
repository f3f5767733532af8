from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize
from torchvision.transforms.functional import resized_crop

from ablate.data.image_sets import MemoryImages
from ablate.data.resampling import evaluation_view, resize_box, to_array, to_image

MODES = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}


def pixels(height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


@given(
    st.integers(9, 60), st.integers(9, 60), st.sampled_from([1, 3]), st.integers(8, 30), st.integers(0, 9),
    st.sampled_from(["bilinear", "bicubic"]),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_evaluation_is_torchvisions(height, width, channels, size, more, resampling):
    """Bit for bit `Resize` and `CenterCrop` on a PIL image, whichever side is the shorter one."""
    image = to_image(pixels(height, width, channels))
    expected = Compose([Resize(size + more, MODES[resampling]), CenterCrop(size)])(image)
    assert np.array_equal(evaluation_view(image, size + more, size, resampling), to_array(expected))


@given(st.data(), st.sampled_from([1, 3]), st.booleans())
@settings(max_examples=40, deadline=None)
def test_training_is_torchvisions(data, channels, bicubic):
    """A box is resized bit for bit as by `resized_crop` on a PIL image, and sees nothing from outside of it."""
    height, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    top, left = data.draw(st.integers(0, 9)), data.draw(st.integers(0, 9))
    image = to_image(pixels(50, 50, channels))
    found = resize_box(image.crop((left, top, left + width, top + height)), 16, bicubic)
    mode = MODES["bicubic" if bicubic else "bilinear"]
    assert np.array_equal(to_array(found), to_array(resized_crop(image, top, left, height, width, [16, 16], mode)))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("resampling", ["bilinear", "bicubic"])
def test_images_in_memory_are_seen_alike(channels, resampling):
    """A set in memory shows views and boxes as PIL resizes them, each box in its image's own way."""
    stack = np.stack([pixels(20, 24, channels, seed) for seed in range(4)])
    numbers = torch.arange(4)
    images = MemoryImages(torch.from_numpy(stack).permute(0, 3, 1, 2), numbers, numbers, 16, 18, resampling)
    for view, image in zip(images.images(numbers), stack, strict=True):
        expected = evaluation_view(to_image(image), 18, 16, resampling)
        assert np.array_equal(view.permute(1, 2, 0).numpy(), expected)

    square = MemoryImages(torch.from_numpy(stack[:, :16, :16].copy()).permute(0, 3, 1, 2), numbers, numbers, 16, 16)
    boxes = np.array([[0, 0, 16, 16], [3, 2, 9, 13], [1, 1, 1, 1], [5, 0, 11, 4]])
    bicubic = np.array([True, False, True, False])
    for k, view in enumerate(square.images(numbers, boxes, bicubic)):
        mode = MODES["bicubic" if bicubic[k] else "bilinear"]
        expected = resized_crop(to_image(stack[k, :16, :16]), *boxes[k].tolist(), [16, 16], mode)
        assert np.array_equal(view.permute(1, 2, 0).numpy(), to_array(expected))


def test_an_empty_set_in_memory_is_no_error():
    """Where nothing is held out there is nothing to resize."""
    none = torch.zeros(0, dtype=torch.int64)
    images = MemoryImages(torch.zeros(0, 3, 20, 20, dtype=torch.uint8), none, none, 16, 18, "bicubic")
    assert len(images.images(none)) == 0


def test_area_stays_the_default():
    """Without a word, evaluation averages over areas: of 4 x 4 pixels in two by two, each mean is exact."""
    image = Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4) * 10)
    assert evaluation_view(image, 2, 2, "area")[..., 0].tolist() == [[25, 45], [105, 125]]
