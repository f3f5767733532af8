from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from ablate.data.augmenting import Augmenter, flip
from ablate.data.autoaugment import AutoAugmenter
from ablate.data.erasing import Eraser
from ablate.data.jitter import ColorJitterer
from ablate.data.padding import PaddedCrop
from ablate.data.timm_randaugment import TimmRandAugmenter
from ablate.data.trivialaugment import trivialaugment
from ablate.recipe import Augment, ColorJitter, Data, Erasing, RandAugment

KEYS = np.arange(100, 148)
OFF: dict[str, Any] = {"crop": "off", "flip": False, "randaug": "off", "mixup": "off"}
EVERYTHING = Augment(
    **OFF
    | {
        "padding": 2,
        "flip": True,
        "jitter": ColorJitter(hue=0.1),
        "autoaugment": "v0",
        "randaug": RandAugment(operations="timm", level=9.0, noise=0.5, increasing=True, probability=0.5),
        "trivialaugment": "wide",
        "erasing": Erasing(probability=0.5),
    }
)


def data(channels: int) -> Data:
    return Data(
        source="digits", image_size=12, channels=channels, classes=10, mean=0.4, std=0.3, test_fraction=0.2,
        val_fraction=0.0, split_seed=0, evaluate_on="test", eval_resize=12,
    )  # fmt: skip


def random_images(channels: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (48, channels, 12, 12), dtype=np.uint8))


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_augmentations_follow_the_order_of_the_fields(channels):
    """Pixels are padded and cut, mirrored, jittered, and go through the three automatic augmentations in turn."""
    images = random_images(channels)
    expected = images
    assert EVERYTHING.jitter != "off"
    assert EVERYTHING.randaug != "off"
    for change in (
        PaddedCrop(2),
        flip,
        ColorJitterer(EVERYTHING.jitter),
        AutoAugmenter("v0", data(channels)),
        TimmRandAugmenter(EVERYTHING.randaug, data(channels)),
        trivialaugment,
    ):
        before, expected = expected, change(expected, 5, 6, KEYS)
        assert not torch.equal(before, expected)
    found = Augmenter(EVERYTHING, data(channels)).pixels(images, 5, 6, KEYS)
    assert torch.equal(found, expected)
    assert found.dtype == torch.uint8


def test_values_are_erased():
    """Normalised images are erased in, and nothing else happens to them."""
    assert EVERYTHING.erasing != "off"
    images = random_images(3).float() / 100
    expected = Eraser(EVERYTHING.erasing)(images, 5, 6, KEYS)
    assert torch.equal(Augmenter(EVERYTHING, data(3)).values(images, 5, 6, KEYS), expected)
    assert not torch.equal(expected, images)


def test_nothing_happens_where_all_is_off():
    """Without augmentations the very tensors come back."""
    images, augmenter = random_images(3), Augmenter(Augment(**OFF), data(3))
    assert augmenter.pixels(images, 0, 0, KEYS) is images
    values = images.float()
    assert augmenter.values(values, 0, 0, KEYS) is values


def test_an_image_looks_alike_in_any_batch():
    """All of it together depends on seed, epoch and key, not on neighbours or place."""
    images, chosen = random_images(3), np.array([40, 3, 11])
    augmenter = Augmenter(EVERYTHING, data(3))
    pixels = augmenter.pixels(images, 1, 2, KEYS)
    values = augmenter.values(pixels.float(), 1, 2, KEYS)
    some = augmenter.pixels(images[chosen], 1, 2, KEYS[chosen])
    assert torch.equal(some, pixels[chosen])
    assert torch.equal(augmenter.values(some.float(), 1, 2, KEYS[chosen]), values[chosen])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no accelerator")
def test_gpu_computes_the_same_pixels():
    """The same keys give the same pixels on CPU and GPU; hue is left alone, whose float32 may round otherwise."""
    images = random_images(3)
    augmenter = Augmenter(EVERYTHING.model_copy(update={"jitter": ColorJitter()}), data(3))
    on_cpu = augmenter.pixels(images, 0, 0, KEYS)
    assert torch.equal(augmenter.pixels(images.cuda(), 0, 0, KEYS).cpu(), on_cpu)
    values = on_cpu.float()
    assert torch.equal(augmenter.values(values.cuda(), 0, 0, KEYS).cpu(), augmenter.values(values, 0, 0, KEYS))
