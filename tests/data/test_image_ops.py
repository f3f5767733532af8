from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from ablate import recipe
from ablate.data import image_ops as ops
from ablate.data.randaugment import AFFINE, Magnitudes, RandAugmenter

GOLDEN = np.load(Path(__file__).parent / "golden" / "big_vision.npz")
SIZES = [(8, 8), (28, 28), (17, 31), (64, 48)]


def random_images(channels: int, size: tuple[int, int], seed: int = 0, batch: int = 5) -> torch.Tensor:
    """Images with a narrow range of values each, so that contrast and histogram operations have work to do."""
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 100, (batch, channels, 1, 1))
    high = low + rng.integers(20, 156, (batch, channels, 1, 1))
    return torch.from_numpy((low + rng.random((batch, channels, *size)) * (high - low)).astype(np.uint8))


def pil(image: torch.Tensor) -> Image.Image:
    array = image.permute(1, 2, 0).numpy()
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)


def difference(images: torch.Tensor, reference: list[Image.Image]) -> int:
    """Largest difference of a pixel from PIL's."""
    arrays = np.stack([np.asarray(r).reshape(*images.shape[2:], -1).transpose(2, 0, 1) for r in reference])
    return int(np.abs(images.numpy().astype(int) - arrays.astype(int)).max())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
class TestAgainstPIL:
    def test_invert_is_exact(self, channels, size):
        """Invert is PIL's."""
        images = random_images(channels, size)
        assert difference(ops.invert(images), [ImageOps.invert(pil(i)) for i in images]) == 0

    @pytest.mark.parametrize("bits", [1, 4, 7, 8])
    def test_posterize_is_exact(self, channels, size, bits):
        """Posterize is PIL's for 1 to 8 bits."""
        images = random_images(channels, size)
        assert difference(ops.posterize(images, bits), [ImageOps.posterize(pil(i), bits) for i in images]) == 0

    @pytest.mark.parametrize("threshold", [0, 77, 128, 255])
    def test_solarize_is_exact(self, channels, size, threshold):
        """Solarize is PIL's for thresholds that a uint8 can hold."""
        images = random_images(channels, size)
        reference = [ImageOps.solarize(pil(i), threshold) for i in images]
        assert difference(ops.solarize(images, threshold), reference) == 0

    def test_equalize_is_exact(self, channels, size):
        """Equalize is PIL's, channel by channel."""
        images = random_images(channels, size)
        assert difference(ops.equalize(images), [ImageOps.equalize(pil(i)) for i in images]) == 0

    def test_autocontrast_within_one(self, channels, size):
        """AutoContrast is PIL's within one level: float32 here, float64 there."""
        images = random_images(channels, size)
        assert difference(ops.autocontrast(images), [ImageOps.autocontrast(pil(i)) for i in images]) <= 1

    @pytest.mark.parametrize("factor", [0.1, 0.5, 1.0, 1.9])
    def test_brightness_within_one(self, channels, size, factor):
        """Brightness is PIL's within one level."""
        images = random_images(channels, size)
        reference = [ImageEnhance.Brightness(pil(i)).enhance(factor) for i in images]
        assert difference(ops.brightness(images, factor), reference) <= 1

    @pytest.mark.parametrize("factor", [0.1, 0.5, 1.0, 1.9])
    @pytest.mark.parametrize("name", ["Color", "Sharpness"])
    def test_enhancements_within_two(self, channels, size, factor, name):
        """Color and Sharpness are PIL's within two: its gray and its smooth image are rounded, ours truncated."""
        images = random_images(channels, size)
        reference = [getattr(ImageEnhance, name)(pil(i)).enhance(factor) for i in images]
        assert difference(getattr(ops, name.lower())(images, factor), reference) <= 2

    def test_affine_takes_the_same_pixels(self, channels, size):
        """An affine map with nearest pixels is PIL's, whose coordinates count from pixel corners.

        PIL computes in fixed point of 16 bits, so up to one pixel in 1,000 may fall to the other side.
        """
        images = random_images(channels, size)
        rng = np.random.default_rng(1)
        matrices = np.array([1, 0, 0, 0, 1, 0]) + rng.normal(0, [0.3, 0.3, 3, 0.3, 0.3, 3], (len(images), 6))
        moved = ops.affine(images, torch.from_numpy(matrices.astype(np.float32)))
        reference = []
        for image, (a, b, c, d, e, f) in zip(images, matrices, strict=True):
            data = (a, b, c + 0.5 - (a + b) / 2, d, e, f + 0.5 - (d + e) / 2)
            fill = (ops.FILL,) * channels if channels > 1 else ops.FILL
            source = pil(image)
            method, nearest = Image.Transform.AFFINE, Image.Resampling.NEAREST
            reference.append(source.transform(source.size, method, data, nearest, fillcolor=fill))
        arrays = np.stack([np.asarray(r).reshape(*size, channels).transpose(2, 0, 1) for r in reference])
        assert (moved.numpy() != arrays).mean() <= 0.001


GOLDEN_CASES = sorted(key for key in GOLDEN.files if key.count("/") == 2)


@pytest.mark.parametrize("key", GOLDEN_CASES)
def test_big_vision_does_the_same(key):
    """Each operation gives the pixels of big_vision's own code under TensorFlow, at level 10 and beyond.

    AutoContrast and Sharpness may differ by one level before the blend, as TensorFlow sums in another order.
    """
    size, level, name = key.split("/")
    image = torch.from_numpy(GOLDEN[f"{size}/image"]).permute(2, 0, 1).unsqueeze(0)
    magnitudes = Magnitudes(float(level), int(size))
    if name[:-1] in AFFINE:
        augmenter = RandAugmenter(recipe.RandAugment(level=float(level)), int(size))
        draw = np.array([0.9 if name[-1] == "+" else 0.1])
        found = ops.affine(image, torch.from_numpy(augmenter.matrices([name[:-1]], draw)))
    else:
        arguments = {
            "AutoContrast": (), "Equalize": (), "Invert": (), "Posterize": (magnitudes.bits,),
            "Solarize": (magnitudes.threshold,), "SolarizeAdd": (magnitudes.addition,),
        }.get(name, (magnitudes.enhance,))  # fmt: skip
        function = getattr(ops, "solarize_add" if name == "SolarizeAdd" else name.lower())
        found = function(image, *arguments)
    apart = np.abs(found[0].permute(1, 2, 0).numpy().astype(int) - GOLDEN[key].astype(int))
    allowed = {"AutoContrast": 1, "Sharpness": round(magnitudes.enhance)}.get(name, 0)
    assert apart.max() <= allowed
    assert np.mean(apart > 0) < 0.01


def test_solarize_wraps_at_256():
    """A threshold of 256, level 10's, inverts every pixel, as TensorFlow's uint8 made it."""
    images = random_images(3, (8, 8))
    assert torch.equal(ops.solarize(images, 256), 255 - images)


def test_contrast_blends_with_the_gray_of_224_px():
    """Contrast extrapolates away from big_vision's constant, whatever the image and its size."""
    images = torch.full((1, 3, 8, 8), 100, dtype=torch.uint8)
    expected = GOLDEN["contrast of 100 at level 10, 224 px"]
    assert ops.contrast(images, 1.9)[0, :, 0, 0].tolist() == expected.tolist()


def test_solarize_add_adds_below_the_threshold_only():
    """Dark pixels gain the addition, bright ones do not."""
    images = torch.tensor([0, 17, 127, 128, 255], dtype=torch.uint8).view(1, 1, 1, 5)
    assert ops.solarize_add(images, 110).flatten().tolist() == [110, 127, 237, 128, 255]
    assert ops.solarize_add(images, 250).flatten().tolist() == [250, 255, 255, 128, 255]


def test_cutout_is_a_square_about_its_centre():
    """Rows and columns from centre - half to centre + half - 1 are gray, as far as they lie in the image."""
    images = torch.zeros(2, 3, 10, 12, dtype=torch.uint8)
    result = ops.cutout(images, torch.tensor([[5, 6], [0, 11]]), 2)
    expected = torch.zeros_like(images)
    expected[0, :, 3:7, 4:8] = 128
    expected[1, :, 0:2, 9:12] = 128
    assert torch.equal(result, expected)


def test_color_of_four_channels_moves_towards_their_mean():
    """Where channels are neither gray nor RGB, a factor below one draws them to their mean."""
    images = torch.tensor([0, 40, 80, 120], dtype=torch.uint8).view(1, 4, 1, 1)
    assert ops.color(images, 0.5).flatten().tolist() == [30, 50, 70, 90]
    assert torch.equal(ops.color(images, 1.0), images)


def test_constant_images_survive_autocontrast_and_equalize():
    """An image of one value has no contrast to stretch."""
    images = torch.full((2, 3, 20, 20), 90, dtype=torch.uint8)
    assert torch.equal(ops.autocontrast(images), images)
    assert torch.equal(ops.equalize(images), images)


def test_sharpness_leaves_images_without_inside():
    """An image of fewer than three rows is all border."""
    images = random_images(1, (2, 9))
    assert torch.equal(ops.sharpness(images, 1.9), images)


def test_lookup_takes_each_image_through_its_own_table():
    """Row k of the tables maps the pixels of the images that name k."""
    images = random_images(3, (5, 7), batch=3)
    tables = torch.stack([torch.arange(256), 255 - torch.arange(256)]).to(torch.uint8)
    result = ops.lookup(images, tables, torch.tensor([1, 0, 1], dtype=torch.int32))
    assert torch.equal(result, torch.stack([255 - images[0], images[1], 255 - images[2]]))
