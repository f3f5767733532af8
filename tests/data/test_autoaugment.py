from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, kstest

from ablate.data import autoaugment, pil_ops
from ablate.data.autoaugment import AutoAugmenter, policy

RGB = SimpleNamespace(mean=0.5, channels=3)


def test_the_papers_policy_has_its_first_and_last_lines():
    """`original` is table 9 of the paper: 25 lines of two operations."""
    table = policy("original")
    assert len(table) == 25
    assert table[0] == (("PosterizeOriginal", 0.4, 8), ("Rotate", 0.6, 9))
    assert table[-1] == (("Equalize", 0.8, 8), ("Equalize", 0.6, 3))


@pytest.mark.parametrize("name", ["original", "originalr", "v0", "v0r", "3a"])
def test_lines_and_operations_come_as_often_as_the_policy_says(name, monkeypatch):
    """Lines are uniform (chi-squared, p > .01), and each step applies what its line says, with its probability and
    level: expected counts of every (operation, level) within five standard errors."""
    table, count, steps = policy(name), 20000, []

    def recording(images, names, places, levels, draw, fill):
        steps.append((np.array([*names, "none"])[places], levels))
        return images

    monkeypatch.setattr(autoaugment, "apply_at_levels", recording)
    AutoAugmenter(name, RGB)(torch.zeros(count, 3, 1, 1, dtype=torch.uint8), 0, 0, np.arange(count))
    assert len(steps) == len(table[0])
    for step, (names, levels) in enumerate(steps):
        expected: dict[tuple[str, float], float] = {}
        for line in table:
            operation, probability, level = line[step]
            expected[operation, level] = expected.get((operation, level), 0.0) + probability / len(table)
        for (operation, level), share in expected.items():
            found = ((names == operation) & (levels == level)).mean()
            assert found == pytest.approx(share, abs=5 * (share * (1 - share) / count) ** 0.5)
        assert (names == "none").mean() == pytest.approx(1 - sum(expected.values()), abs=5 * 0.5 / count**0.5)


def test_three_augment_is_gray_solarized_or_blurred(monkeypatch):
    """`3a` turns a third of images gray, inverts a third from 128 on and blurs the rest by .1 to 2 px, uniformly."""
    count, radii = 3000, []
    monkeypatch.setitem(pil_ops.ON_VALUES, "GaussianBlur", lambda images, radius: radii.append(radius) or images)
    images = torch.tensor([10, 140, 250], dtype=torch.uint8).view(1, 3, 1, 1).expand(count, 3, 1, 1)
    found = AutoAugmenter("3a", RGB)(images, 0, 0, np.arange(count)).flatten(1)
    gray = (found == found[:, :1]).all(1)
    solarized = (found == torch.tensor([10, 115, 5], dtype=torch.uint8)).all(1)
    blurred = torch.cat(radii).flatten().numpy()
    assert chisquare([gray.sum(), solarized.sum(), len(blurred)]).pvalue > 0.01
    assert gray.sum() + solarized.sum() + len(blurred) == count
    assert kstest(blurred, lambda x: (x - 0.1) / 1.9).pvalue > 0.01


def test_an_image_is_augmented_alike_in_any_batch():
    """Draws depend on seed, epoch and key alone."""
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 256, (40, 3, 20, 20), dtype=np.uint8))
    augment = AutoAugmenter("v0", RGB)
    whole, chosen = augment(images, 1, 2, np.arange(40)), np.array([31, 4])
    assert torch.equal(augment(images[chosen], 1, 2, chosen), whole[chosen])
    assert not torch.equal(augment(images, 1, 3, np.arange(40)), whole)
