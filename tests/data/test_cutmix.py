from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, chisquare, kstest
from timm.data import mixup as timm_mixup

from ablate import draws
from ablate.data.mixing import Mixer, boxes, choices
from ablate.recipe import CutMix, MixUp

SIZE = (12, 16)


def augment(**fields: Any) -> Any:
    """The fields of a Recipe that say how images are mixed."""
    neutral = {"mixup": "off", "cutmix": "off", "cutmix_share": 0.5, "mixing_probability": 1.0}
    return SimpleNamespace(**neutral | fields)


def mixed(count: int = 40, step: int = 3, **fields: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Images whose pixels say whose they are (0, 1, 2, ...), and one-hot targets, mixed."""
    images = torch.arange(float(count)).view(-1, 1, 1, 1).expand(-1, 2, *SIZE).contiguous()
    targets = torch.eye(count)
    pairs = (images, images.roll(1, 0)), (targets, targets.roll(1, 0))
    return Mixer(augment(**fields))(*pairs, 0, 1, step, np.arange(count))


@settings(deadline=None, max_examples=30)
@given(
    alpha=st.floats(0.1, 4.0),
    draw=st.sampled_from(["image", "batch"]),
    probability=st.floats(0.1, 1.0),
    both=st.booleans(),
    step=st.integers(0, 1000),
)
def test_targets_follow_the_pixels(alpha, draw, probability, both, step):
    """Rows of targets sum to one, and an image's share of its target is its share of the pixels (to 1e-5)."""
    mixup = MixUp(alpha=alpha, draw=draw) if both else "off"
    images, targets = mixed(
        step=step, mixup=mixup, cutmix=CutMix(alpha=alpha, draw=draw), mixing_probability=probability
    )
    own = torch.arange(40.0)
    partner = own.roll(1)
    kept = (images.mean((1, 2, 3)) - partner) / (own - partner)
    assert torch.allclose(targets.sum(1), torch.ones(40))
    assert torch.allclose(targets.diagonal(), kept, atol=1e-5)


@settings(deadline=None, max_examples=50)
@given(share=st.floats(0.0, 1.0), y=st.integers(0, 11), x=st.integers(0, 15))
def test_a_box_is_timms(share, y, x):
    """From the same share and centre, the box, the mixed images and the corrected share are timm's."""
    uniform = np.array([[beta.cdf(share, 1, 1), (y + 0.5) / 12, (x + 0.5) / 16]])
    centre = iter([y, x])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draws, "uniform", lambda *_: uniform)
        patch.setattr(np.random, "randint", lambda low, high, size: next(centre))
        top, left, tall, wide = boxes(CutMix(), SIZE, 0, 0, 0, np.arange(1))[0]
        expected, kept = timm_mixup.cutmix_bbox_and_lam((1, *SIZE), share)
        assert (top, top + tall, left, left + wide) == expected
        image, partner = torch.zeros(1, 1, *SIZE), torch.ones(1, 1, *SIZE)
        found, targets = Mixer(augment(cutmix=CutMix()))(
            (image, partner), (torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])), 0, 0, 0, np.arange(1)
        )
    image[:, :, expected[0] : expected[1], expected[2] : expected[3]] = 1.0
    assert torch.equal(found, image)
    assert targets[0, 0].item() == pytest.approx(kept, abs=1e-6)


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_boxes_cover_what_a_beta_leaves(alpha):
    """Sides are the root of 1 - Beta(alpha, alpha) from its quantiles, and centres uniform: p > .01 with fixed keys."""
    top, left, tall, wide = boxes(CutMix(alpha=alpha), (1000, 1000), 0, 0, 0, np.arange(4000)).T
    inside = (top > 0) & (left > 0) & (top + tall < 1000) & (left + wide < 1000)
    assert (tall[inside] == wide[inside]).all()
    uniforms = draws.uniform(0, "cutmix", 0, np.arange(4000), 3)
    sides = np.floor(1000 * np.sqrt(1 - beta.ppf(uniforms[:, 0], alpha, alpha)))
    assert np.abs(sides[inside] - tall[inside]).max() <= 1
    centres = np.concatenate([(top + tall // 2)[inside & (sides < 500)], (left + wide // 2)[inside & (sides < 500)]])
    away = centres[(centres >= 250) & (centres < 750)]  # where no such box is clipped
    assert kstest(away, "uniform", (250, 500)).pvalue > 0.01


@pytest.mark.parametrize(("share", "probability"), [(0.5, 1.0), (0.2, 0.7)])
def test_each_image_gets_mixup_cutmix_or_nothing(share, probability):
    """Shares of the three are as asked for: chi-squared, p > .01 with fixed keys."""
    wanted = augment(mixup=MixUp(), cutmix=CutMix(), cutmix_share=share, mixing_probability=probability)
    chosen, cut = choices(wanted, 0, 0, 0, np.arange(6000))
    found = np.array([(chosen & cut).sum(), (chosen & ~cut).sum(), (~chosen).sum()])
    expected = 6000 * np.array([probability * share, probability * (1 - share), 1 - probability])
    assert chisquare(found[expected > 0], expected[expected > 0]).pvalue > 0.01
    assert not found[expected == 0].any()


def test_a_batch_draws_once():
    """With `draw: batch` all images have the same box and the same kind of mixing, anew in each step."""
    kinds = set()
    for step in range(40):
        fields = {"mixup": MixUp(draw="batch"), "cutmix": CutMix(draw="batch"), "mixing_probability": 0.7}
        _, targets = mixed(step=step, **fields)
        assert targets.diagonal().unique().numel() == 1
        chosen, cut = choices(augment(**fields), 0, 1, step, np.arange(40))
        assert len(set(chosen)) == len(set(cut)) == 1
        kinds.add((chosen[0], cut[0]))
    assert len(kinds) == 4


def test_cutmix_leaves_mixups_shares_alone():
    """Images that get MixUp beside CutMix keep the share that they have without it."""
    _, alone = mixed(mixup=MixUp(alpha=1.0))
    _, both = mixed(mixup=MixUp(alpha=1.0), cutmix=CutMix())
    _, cut = choices(augment(mixup=MixUp(), cutmix=CutMix()), 0, 1, 3, np.arange(40))
    assert torch.equal(alone[~cut], both[~cut])
    assert not torch.equal(alone[cut], both[cut])


def test_nothing_is_mixed_where_both_are_off():
    """Images and targets come back as they are."""
    images, targets = torch.rand(3, 1, 2, 2), torch.eye(3)
    found = Mixer(augment())((images, images), (targets, targets), 0, 0, 0, np.arange(3))
    assert torch.equal(found[0], images)
    assert torch.equal(found[1], targets)
    assert not Mixer(augment()).pairs
