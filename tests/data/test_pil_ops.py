from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from ablate.data import pil_ops as ops
from ablate.data.pil_affine import MOVES, Resampling, move

SIZES = [(2, 9), (8, 8), (17, 31), (64, 48)]


def random_images(channels: int, size: tuple[int, int], batch: int = 5) -> torch.Tensor:
    """Images with a range of values of their own, so that contrast and histogram operations have work to do."""
    rng = np.random.default_rng(0)
    low = rng.integers(0, 100, (batch, channels, 1, 1))
    high = low + rng.integers(20, 156, (batch, channels, 1, 1))
    return torch.from_numpy((low + rng.random((batch, channels, *size)) * (high - low)).astype(np.uint8))


def pil(image: torch.Tensor) -> Image.Image:
    array = image.permute(1, 2, 0).numpy()
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)


def stacked(images: list[Image.Image]) -> torch.Tensor:
    return torch.from_numpy(np.stack([np.asarray(i).reshape(i.height, i.width, -1) for i in images])).permute(
        0, 3, 1, 2
    )


def each(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).view(-1, 1, 1, 1)


REFERENCES = {
    "AutoContrast": (lambda image, _: ImageOps.autocontrast(image), [0.0] * 5),
    "Equalize": (lambda image, _: ImageOps.equalize(image), [0.0] * 5),
    "Invert": (lambda image, _: ImageOps.invert(image), [0.0] * 5),
    "Posterize": (lambda image, bits: ImageOps.posterize(image, int(bits)), [1.0, 2.0, 4.0, 7.0, 8.0]),
    "Solarize": (ImageOps.solarize, [0.0, 76.5, 128.0, 255.0, 256.0]),
    "Color": (lambda image, factor: ImageEnhance.Color(image).enhance(factor), [0.0, 0.1, 0.73, 1.0, 1.9]),
    "Contrast": (lambda image, factor: ImageEnhance.Contrast(image).enhance(factor), [0.0, 0.1, 0.73, 1.0, 1.9]),
    "Brightness": (lambda image, factor: ImageEnhance.Brightness(image).enhance(factor), [0.0, 0.1, 0.73, 1.0, 1.9]),
    "Sharpness": (lambda image, factor: ImageEnhance.Sharpness(image).enhance(factor), [0.0, 0.1, 0.73, 1.0, 1.9]),
    "GaussianBlur": (lambda image, radius: image.filter(ImageFilter.GaussianBlur(radius)), [0.1, 0.6, 1.2, 1.7, 2.3]),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", REFERENCES)
def test_operations_are_pils(name, channels, size):
    """Each operation gives Pillow's own pixels, image by image with arguments of their own.

    Equal on x86; where a compiler fuses Pillow's products and sums, one value in a thousand may be one level off.
    """
    reference, arguments = REFERENCES[name]
    images = random_images(channels, size)
    found = ops.ON_VALUES[name](images, each(*arguments)).int()
    apart = (found - stacked([reference(pil(i), a) for i, a in zip(images, arguments, strict=True)]).int()).abs()
    assert apart.max() <= 1
    assert (apart > 0).float().mean() <= 0.001


def test_the_gray_version_is_pils():
    """All pairs of two channels' values turn gray as in Pillow."""
    values = torch.arange(256, dtype=torch.uint8)
    images = torch.stack(
        [values.view(-1, 1).expand(256, 256), values.expand(256, 256), values.flip(0).expand(256, 256)]
    )
    assert torch.equal(ops.gray(images[None])[0, 0], torch.from_numpy(np.array(pil(images).convert("L"))))


def test_four_channels_have_their_mean_as_gray():
    """Where channels are neither gray nor RGB, gray is their mean, rounded to nearest."""
    images = torch.tensor([0, 40, 80, 122], dtype=torch.uint8).view(1, 4, 1, 1)
    assert ops.gray(images).item() == 61  # 60.5
    assert ops.color(images, each(0.5)).flatten().tolist() == [30, 50, 70, 91]


def test_no_bits_are_black():
    """Posterize with no bits gives black, which Pillow 13 refuses to do."""
    assert not ops.posterize(random_images(3, (4, 4)), each(0, 0, 0, 0, 0)).any()


def test_solarize_add_adds_below_the_threshold_only():
    """Dark values gain the addition, and bright ones stay."""
    images = torch.tensor([0, 17, 127, 128, 255], dtype=torch.uint8).expand(2, 1, 1, 5)
    found = ops.solarize_add(images, each(110, 128))
    assert found[0].flatten().tolist() == [110, 127, 237, 128, 255]
    assert found[1].flatten().tolist() == [128, 145, 255, 128, 255]


def test_desaturation_leaves_a_share_of_the_colour():
    """All of it taken away leaves the gray version, none of it the image."""
    images = random_images(3, (8, 8), batch=2)
    found = ops.desaturate(images, each(1.0, 0.0))
    assert torch.equal(found[0], ops.gray(images)[0].expand(3, -1, -1))
    assert torch.equal(found[1], images[1])


def moved_by_pil(image: Image.Image, name: str, argument: float, method: Image.Resampling, colour: Any) -> Image.Image:
    if name == "Rotate":
        return image.rotate(argument, method, fillcolor=colour)
    width, height = image.size
    data = {
        "ShearX": (1, argument, 0, 0, 1, 0),
        "ShearY": (1, 0, 0, argument, 1, 0),
        "TranslateX": (1, 0, argument, 0, 1, 0),
        "TranslateY": (1, 0, 0, 0, 1, argument),
        "TranslateXRel": (1, 0, argument * width, 0, 1, 0),
        "TranslateYRel": (1, 0, 0, 0, 1, argument * height),
    }[name]
    return image.transform(image.size, Image.Transform.AFFINE, data, method, fillcolor=colour)


ARGUMENTS = {"Rotate": [-30.0, 12.3, 45.0, 90.0, 180.0], "Translate": [-7.0, 0.0, 2.5, 3.2, 40.0]}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", [Resampling.BILINEAR, Resampling.BICUBIC])
@pytest.mark.parametrize("name", MOVES)
def test_moves_are_pils(name, kind, channels, size):
    """Shears, translations and rotations give the pixels of Pillow's `transform` and `rotate`, fill colour included.

    Equal on x86; elsewhere sums may be fused, and one value in a thousand be one level off.
    """
    arguments = next((values for key, values in ARGUMENTS.items() if name.startswith(key)), [-0.3, 0.0, 0.11, 0.3, 0.9])
    images = random_images(channels, size)
    fill = (10, 130, 250)[:channels]
    found = move(images, name, np.array(arguments), torch.tensor(fill, dtype=torch.uint8), kind)
    method = {Resampling.BILINEAR: Image.Resampling.BILINEAR, Resampling.BICUBIC: Image.Resampling.BICUBIC}[kind]
    colour = fill if channels == 3 else fill[0]
    expected = [moved_by_pil(pil(i), name, a, method, colour) for i, a in zip(images, arguments, strict=True)]
    apart = (found.int() - stacked(expected).int()).abs()
    assert apart.max() <= 1
    assert (apart > 0).float().mean() <= 0.001


def test_nearest_takes_the_pixel_that_holds_the_source():
    """Without interpolation a translation by 1.6 px takes the pixel two places on, and the fill colour beyond."""
    images = torch.arange(6, dtype=torch.uint8).view(1, 1, 1, 6)
    fill = torch.tensor([99], dtype=torch.uint8)
    found = move(images, "TranslateX", np.array([1.6]), fill, Resampling.NEAREST)
    assert found.flatten().tolist() == [2, 3, 4, 5, 99, 99]
