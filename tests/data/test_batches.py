from __future__ import annotations

import random
import sys
from collections import defaultdict

import numpy as np
import pytest
import torch

from ablate import draws
from ablate.data import batches as data_batches
from ablate.data import sources
from ablate.data.augmenting import flip, normalise
from ablate.data.batches import Batch, TrainBatches, eval_batches
from ablate.data.errors import DataError
from ablate.data.mixing import mix, shares
from ablate.data.randaugment import RandAugmenter
from ablate.recipe import Augment, Data, InceptionCrop, MixUp, RandAugment

DATA = Data(
    source="digits", image_size=8, channels=1, classes=10, mean=0.5, std=0.25, test_fraction=0.25,
    val_fraction=0.0, split_seed=0, evaluate_on="test", eval_resize=8,
)  # fmt: skip
PLAIN = Augment(crop="off", flip=False, randaug="off", mixup="off")
FULL = Augment(crop=InceptionCrop(), flip=True, randaug=RandAugment(), mixup=MixUp())


def batches(augment: Augment, batch_size: int = 64, seed: int = 0) -> TrainBatches:
    return TrainBatches(sources.load(DATA).train, augment, DATA, seed, batch_size)


def equal(one: Batch, other: Batch) -> bool:
    return all(torch.equal(getattr(one, k), getattr(other, k)) for k in ("images", "targets", "labels", "indices"))


@pytest.mark.parametrize("draw", ["image", "batch"])
def test_an_epoch_resumes_at_any_step(draw):
    """The batches from step k on are those of the whole epoch, bit for bit."""
    source = batches(FULL.model_copy(update={"mixup": MixUp(draw=draw)}))
    whole = list(source.epoch(3))
    assert len(whole) == source.steps_per_epoch == len(sources.load(DATA).train) // 64
    for start in (0, 1, 7, source.steps_per_epoch):
        rest = list(source.epoch(3, start=start))
        assert len(rest) == len(whole) - start
        assert all(map(equal, whole[start:], rest))


@pytest.mark.parametrize("at_once", [1, 3 * 64 * 64, 2**40])
@pytest.mark.parametrize("augment", [FULL, PLAIN, FULL.model_copy(update={"crop": "off"})])
def test_augmenting_many_batches_at_once_changes_no_bit(monkeypatch, augment, at_once):
    """One batch at a time, three or the whole epoch, from the start or from step 5: the batches are the same."""
    expected = []
    for step in range(21):  # each by itself: its images have no neighbours to share an operation with
        alone = batches(augment)
        monkeypatch.setattr(alone, "_batches_at_once", 1)
        expected.append(next(alone.epoch(2, start=step)))
    monkeypatch.setattr(data_batches, "_AT_ONCE", at_once)
    source = batches(augment)
    assert source._batches_at_once == {1: 1, 3 * 64 * 64: 3, 2**40: 2**28}[at_once]
    for start in (0, 5):
        assert all(equal(*pair) for pair in zip(expected[start:], source.epoch(2, start), strict=True))


@pytest.mark.parametrize("at_once", [1, 2**40])
def test_images_are_augmented_in_as_few_calls_as_fit(monkeypatch, at_once):
    """An epoch in memory is one call of RandAugment where it fits, and one a batch where no more does."""
    calls = []
    true = RandAugmenter.__call__

    def counting(self, images, *keys):
        calls.append(len(images))
        return true(self, images, *keys)

    monkeypatch.setattr(RandAugmenter, "__call__", counting)
    monkeypatch.setattr(data_batches, "_AT_ONCE", at_once)
    list(batches(FULL).epoch(0))
    assert calls == ([64] * 21 if at_once == 1 else [64 * 21])


def test_no_two_uses_of_chance_share_a_purpose(monkeypatch):
    """Each random stream is drawn from in one place of the source, under a name of its own."""
    seen = defaultdict(set)
    true = draws.uniform

    def spy(seed, purpose, step, images, count):
        caller = sys._getframe(1)
        seen[purpose].add((caller.f_code.co_filename, caller.f_lineno))
        return true(seed, purpose, step, images, count)

    monkeypatch.setattr(draws, "uniform", spy)
    split = DATA.model_copy(update={"val_fraction": 0.1})
    for draw in ("image", "batch"):
        augment = FULL.model_copy(update={"mixup": MixUp(draw=draw)})
        next(TrainBatches(sources.load(split).train, augment, split, 0, 64).epoch(0))
    purposes = {"test split", "val split", "order", "crop", "flip", "randaug", "mixup", "mixup batch"}
    assert {purpose: len(places) for purpose, places in seen.items()} == dict.fromkeys(purposes, 1)


def test_a_share_per_batch_is_new_in_every_epoch():
    """With one share for the batch, the first updates of two epochs do not mix alike."""
    source = batches(PLAIN.model_copy(update={"mixup": MixUp(alpha=1.0, draw="batch")}))
    first, second = (next(source.epoch(epoch)).targets.amax(1).min() for epoch in (0, 1))
    assert first != second


def test_start_beyond_the_epoch_is_an_error():
    """A step that an epoch does not have is refused before anything is read."""
    with pytest.raises(ValueError, match="start is 22"):
        batches(PLAIN).epoch(0, start=22)


def test_each_image_comes_once_an_epoch():
    """An epoch has no image twice, and drops only the incomplete batch at its end."""
    seen = torch.cat([batch.indices for batch in batches(PLAIN).epoch(0)])
    assert len(seen) == len(seen.unique()) == len(sources.load(DATA).train) // 64 * 64


def test_order_is_the_same_for_every_batch_size():
    """A larger batch holds the images of the smaller ones in the same order."""
    small = torch.cat([b.indices for b in batches(PLAIN, 32).epoch(2)])
    large = torch.cat([b.indices for b in batches(PLAIN, 128).epoch(2)])
    assert torch.equal(small[: len(large)], large)


def test_order_changes_with_epoch_and_seed():
    """Another epoch or seed shuffles otherwise."""
    first = batches(PLAIN).order(0)
    assert sorted(first.tolist()) == list(range(len(sources.load(DATA).train)))
    assert not torch.equal(first, batches(PLAIN).order(1))
    assert not torch.equal(first, batches(PLAIN, seed=1).order(0))


def test_augmentation_is_the_same_for_every_batch_size():
    """Without MixUp, an image looks the same in an epoch whatever the batch it comes in."""
    augment = FULL.model_copy(update={"mixup": "off"})
    small = torch.cat([b.images for b in batches(augment, 32).epoch(2)])
    large = torch.cat([b.images for b in batches(augment, 128).epoch(2)])
    assert torch.equal(small[: len(large)], large)


def test_switching_one_augmentation_leaves_the_draws_of_the_others():
    """MixUp on top mixes the same crops and flips in the same order, by the keyed shares."""
    crop_and_flip = Augment(crop=InceptionCrop(), flip=True, randaug="off", mixup="off")
    plain = next(batches(crop_and_flip).epoch(1))
    mixed = next(batches(crop_and_flip.model_copy(update={"mixup": MixUp()})).epoch(1))
    share = torch.from_numpy(shares(MixUp(), 0, 1, 0, plain.indices.numpy()))
    assert torch.equal(mixed.indices, plain.indices)
    assert torch.equal(mixed.images, mix(plain.images, plain.images.roll(1, 0), share))
    assert torch.equal(mixed.targets, mix(plain.targets, plain.targets.roll(1, 0), share))


def test_plain_batches_are_the_images_themselves():
    """With everything off, a batch is the evaluation's view, normalised, with one-hot targets."""
    train = sources.load(DATA).train
    batch = next(batches(PLAIN).epoch(0))
    positions = torch.searchsorted(train.indices, batch.indices)
    expected = (train.images(positions).double() / 255 - 0.5) / 0.25
    assert batch.images.dtype == torch.float32
    assert torch.allclose(batch.images.double(), expected, atol=1e-6)
    assert torch.equal(batch.labels, train.labels[positions])
    assert torch.equal(batch.targets.argmax(1), batch.labels)
    assert torch.equal(batch.targets.sum(1), torch.ones(64))


def test_mixed_targets_match_mixed_images():
    """Images and targets are mixed with the same shares and the same partner."""
    plain = next(batches(PLAIN).epoch(0))
    mixed = next(batches(PLAIN.model_copy(update={"mixup": MixUp(alpha=1.0)})).epoch(0))
    partner = torch.roll(plain.labels, 1)
    differs = plain.labels != partner
    share = mixed.targets.gather(1, plain.labels[:, None])[:, 0]
    rest = mixed.targets.gather(1, partner[:, None])[:, 0]
    assert torch.allclose((share + rest)[differs], torch.ones(int(differs.sum())))
    expected = share.view(-1, 1, 1, 1) * plain.images + rest.view(-1, 1, 1, 1) * torch.roll(plain.images, 1, 0)
    assert torch.allclose(mixed.images[differs], expected[differs], atol=1e-5)
    assert (share >= 0.5).all()
    assert torch.equal(mixed.labels, plain.labels)


def test_no_global_generator_is_used():
    """Loading and augmenting leave the generators of torch, numpy and Python as they were."""
    torch.manual_seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    for _ in batches(FULL).epoch(0):
        pass
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]
    assert random.getstate() == before[2]


def test_seeds_of_global_generators_do_not_matter():
    """Batches are the same whatever state the global generators are in."""
    torch.manual_seed(1)
    first = next(batches(FULL).epoch(0))
    torch.manual_seed(2)
    assert equal(next(batches(FULL).epoch(0)), first)


def test_batches_larger_than_the_set_are_refused():
    """A batch that cannot be filled is a DataError, not an epoch of no steps."""
    count = len(sources.load(DATA).train)
    assert batches(PLAIN, count).steps_per_epoch == 1
    with pytest.raises(DataError, match=f"batch_size is {count + 1}, but there are only {count} images"):
        batches(PLAIN, count + 1)


def test_evaluation_sees_each_image_once_in_order():
    """All held-out images come in the set's order, the last batch smaller."""
    held_out = sources.load(DATA).held_out
    found = list(eval_batches(held_out, DATA, 100))
    assert [len(b.images) for b in found] == [100, 100, 100, 100, len(held_out) - 400]
    assert torch.equal(torch.cat([b.indices for b in found]), held_out.indices)
    assert torch.equal(torch.cat([b.labels for b in found]), held_out.labels)
    whole = held_out.images(torch.arange(len(held_out)))
    assert torch.equal(torch.cat([b.images for b in found]), normalise(whole, 0.5, 0.25))


def test_half_of_the_images_are_mirrored():
    """Flips are keyed by image, mirror the columns, and hit one half (within four standard errors)."""
    images = torch.arange(4, dtype=torch.uint8).view(1, 1, 1, 4).expand(4000, 1, 2, 4)
    flipped = flip(images, 0, 0, np.arange(4000))
    mirrored = (flipped == images.flip(-1)).flatten(1).all(1)
    kept = (flipped == images).flatten(1).all(1)
    assert torch.equal(mirrored, ~kept)
    assert mirrored.double().mean().item() == pytest.approx(0.5, abs=4 * 0.5 / 4000**0.5)
    assert torch.equal(flip(images[:2], 0, 0, np.array([40, 7])), flipped[[40, 7]])


def test_normalise_is_the_formula():
    """Black, mid-gray and white become (0 - .5)/.25, (.5 - .5)/.25 and (1 - .5)/.25."""
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8)
    assert torch.allclose(normalise(pixels, 0.5, 0.25), torch.tensor([-2.0, -1.2, 2.0]))
