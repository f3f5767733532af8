from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from ablate import recipe
from ablate.data import image_ops as ops
from ablate.data import randaugment
from ablate.data.randaugment import OPERATIONS, Magnitudes, RandAugmenter


def random_images(batch: int, channels: int = 3, size: int = 20) -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(30, 200, (batch, channels, size, size), dtype=np.uint8))


def one_by_one(augmenter: RandAugmenter, image: torch.Tensor, draw: np.ndarray) -> torch.Tensor:
    """RandAugment on one image, written out plainly from the draws (layers, 5)."""
    m = augmenter.magnitudes
    for u_operation, u_apply, u_sign, u_row, u_column in draw:
        if u_apply >= augmenter.settings.probability:
            continue
        name = OPERATIONS[int(u_operation * 16)]
        size = image.shape[-1]
        if name in randaugment.AFFINE:
            matrix = torch.from_numpy(augmenter.matrices([name], np.array([u_sign])))
            image = ops.affine(image, matrix)
        elif name == "Cutout":
            image = ops.cutout(image, torch.tensor([[int(u_row * size), int(u_column * size)]]), m.cutout)
        else:
            arguments = {
                "AutoContrast": (), "Equalize": (), "Invert": (), "Posterize": (m.bits,),
                "Solarize": (m.threshold,), "SolarizeAdd": (m.addition,),
            }.get(name, (m.enhance,))  # fmt: skip
            function = getattr(ops, "solarize_add" if name == "SolarizeAdd" else name.lower())
            image = function(image, *arguments)
    return image


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [8, 20, 28])
@pytest.mark.parametrize("probability", [1.0, 0.5])
def test_batches_equal_images_taken_alone(channels, size, probability):
    """Grouping and fusing operations changes no pixel against one image and one operation at a time."""
    images = random_images(120, channels, size)
    settings = recipe.RandAugment(layers=2, level=7.0, probability=probability)
    augmenter = RandAugmenter(settings, size)
    indices = np.arange(1000, 1120)
    result = augmenter(images, seed=3, epoch=5, indices=indices)
    draw = randaugment.draws.uniform(3, "randaug", 5, indices, 10).reshape(-1, 2, 5)
    expected = torch.cat([one_by_one(augmenter, images[k : k + 1], draw[k]) for k in range(120)])
    assert torch.equal(result, expected)


def test_an_image_is_augmented_alike_in_any_batch():
    """What happens to an image depends on seed, epoch and its index, not on its neighbours or its place."""
    images = random_images(30)
    augmenter = RandAugmenter(recipe.RandAugment(), 20)
    whole = augmenter(images, 0, 2, np.arange(30))
    chosen = torch.tensor([17, 3, 29, 8])
    assert torch.equal(augmenter(images[chosen], 0, 2, chosen.numpy()), whole[chosen])


def test_images_of_a_batch_draw_independently():
    """Copies of one image come out in many ways, and in other ways in another epoch or with another seed."""
    images = random_images(1).expand(64, -1, -1, -1)
    augmenter = RandAugmenter(recipe.RandAugment(), 20)
    first = augmenter(images, 0, 0, np.arange(64))
    assert len(first.flatten(1).unique(dim=0)) > 40
    assert not torch.equal(first, augmenter(images, 0, 1, np.arange(64)))
    assert not torch.equal(first, augmenter(images, 1, 0, np.arange(64)))


def test_input_is_left_alone():
    """Augmentation returns new images and keeps the data set as it was."""
    images = random_images(40)
    before = images.clone()
    RandAugmenter(recipe.RandAugment(), 20)(images, 0, 0, np.arange(40))
    assert torch.equal(images, before)


def test_operations_are_chosen_uniformly(monkeypatch):
    """All sixteen operations are as likely: chi-squared, p > .01 with fixed keys."""
    seen = dict.fromkeys(OPERATIONS, 0)
    augmenter = RandAugmenter(recipe.RandAugment(layers=1), 4)
    real_single, real_matrices, real_lookup = augmenter._single, augmenter.matrices, ops.lookup

    def single(name, images, draw):
        seen[name] += len(images)
        return real_single(name, images, draw)

    def matrices(names, draw):
        for name in names:
            seen[name] += 1
        return real_matrices(names, draw)

    def lookup(images, tables, rows):
        for row in rows.tolist():
            seen[randaugment.POINTWISE[row]] += 1
        return real_lookup(images, tables, rows)

    monkeypatch.setattr(augmenter, "_single", single)
    monkeypatch.setattr(augmenter, "matrices", matrices)
    monkeypatch.setattr(ops, "lookup", lookup)
    augmenter(random_images(8000, 1, 4), 0, 0, np.arange(8000))
    assert sum(seen.values()) == 8000
    assert chisquare(list(seen.values())).pvalue > 0.01


def test_probability_is_the_share_of_images_changed():
    """With one layer at probability .3, three in ten images see an operation (within four standard errors)."""
    images = torch.full((4000, 1, 4, 4), 200, dtype=torch.uint8)
    images[:, :, :2] = 60
    always = RandAugmenter(recipe.RandAugment(layers=1), 4)(images, 0, 0, np.arange(4000))
    seldom = RandAugmenter(recipe.RandAugment(layers=1, probability=0.3), 4)(images, 0, 0, np.arange(4000))
    changes = (always != images).flatten(1).any(1)
    changed = (seldom != images).flatten(1).any(1)
    assert not (changed & ~changes).any()
    share = changed.sum().item() / changes.sum().item()
    assert share == pytest.approx(0.3, abs=4 * (0.3 * 0.7 / changes.sum().item()) ** 0.5)


def test_signs_turn_half_of_the_time():
    """Rotations go both ways as the sign's draw says."""
    augmenter = RandAugmenter(recipe.RandAugment(), 28)
    there, back = augmenter.matrices(["Rotate", "Rotate"], np.array([0.2, 0.8]))
    assert there[1] == pytest.approx(np.sin(np.pi / 6), abs=1e-6)
    assert back[1] == pytest.approx(-np.sin(np.pi / 6), abs=1e-6)


def test_magnitudes_of_the_published_setting():
    """Level 10 at 224 px is what big_vision computes for randaug(2, 10)."""
    m = Magnitudes(10.0, 224)
    found = (m.degrees, m.shear, m.translation, m.bits, m.threshold, m.addition, m.cutout)
    assert found == pytest.approx((30.0, 0.3, 100.0, 4, 256, 110, 40))
    assert m.enhance == pytest.approx(1.9)


@pytest.mark.parametrize(
    ("level", "bits", "threshold", "enhance"), [(3, 1, 76, 0.64), (5, 2, 128, 1.0), (10, 4, 0, 1.9), (15, 6, 128, 2.8)]
)
def test_the_level_is_no_even_scale_of_strength(level, bits, threshold, enhance):
    """Bits kept by Posterize, the threshold at which Solarize starts and the enhancing factor are as documented."""
    m = Magnitudes(level, 224)
    values = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert len(ops.posterize(values, m.bits).unique()) == 2**bits
    inverted = (ops.solarize(values, m.threshold) != values).flatten()
    assert inverted.nonzero()[0].item() == threshold
    assert m.enhance == pytest.approx(enhance)


@pytest.mark.parametrize(("size", "translation", "half"), [(8, 100 / 28, 1), (28, 12.5, 5), (112, 50.0, 20)])
def test_magnitudes_in_pixels_follow_the_image(size, translation, half):
    """Translation and cutout keep their proportion to the image."""
    m = Magnitudes(10.0, size)
    assert m.translation == pytest.approx(translation)
    assert m.cutout == half


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no accelerator")
def test_gpu_computes_the_same_pixels():
    """The same keys give the same pixels on CPU and GPU."""
    images = random_images(256)
    augmenter = RandAugmenter(recipe.RandAugment(), 20)
    on_cpu = augmenter(images, 0, 0, np.arange(256))
    assert torch.equal(augmenter(images.cuda(), 0, 0, np.arange(256)).cpu(), on_cpu)
