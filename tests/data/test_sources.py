from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torchvision.transforms.functional import center_crop

from ablate.data import sources
from ablate.data.errors import DataError
from ablate.data.image_sets import resize
from ablate.recipe import Data

DIGITS = {
    "source": "digits", "image_size": 8, "channels": 1, "classes": 10, "mean": 0.5, "std": 0.5,
    "test_fraction": 0.25, "val_fraction": 0.2, "split_seed": 0, "evaluate_on": "test", "eval_resize": 8,
}  # fmt: skip


def digits(**changes: object) -> Data:
    return Data(**{**DIGITS, **changes})


def everything(image_set) -> torch.Tensor:
    return image_set.images(torch.arange(len(image_set)))


def test_digits_are_scikit_learns():
    """Each image is scikit-learn's at its index, 0..16 scaled to 0..255, with its label."""
    splits = sources.load(digits())
    bunch = load_digits()
    for image_set in (splits.train, splits.held_out):
        indices = image_set.indices.numpy()
        expected = np.rint(bunch.images[indices] * 255 / 16).astype(np.uint8)
        assert np.array_equal(everything(image_set)[:, 0].numpy(), expected)
        assert np.array_equal(image_set.labels.numpy(), bunch.target[indices])


def test_mnist_is_read_as_28_px():
    """mnist5k has 5,000 images of 28 x 28 px, 500 of each digit, split by class."""
    data = digits(source="mnist5k", image_size=28, eval_resize=28, val_fraction=0.0)
    splits = sources.load(data)
    assert len(splits.train) == 3750
    assert everything(splits.held_out).shape == (1250, 1, 28, 28)
    assert torch.bincount(splits.held_out.labels).tolist() == [125] * 10


def test_splits_are_disjoint_and_complete():
    """Train, val and test share no image, and together they are the whole source."""
    test, val = sources.load(digits()), sources.load(digits(evaluate_on="val"))
    train = set(test.train.indices.tolist())
    assert train == set(val.train.indices.tolist())
    parts = [train, set(val.held_out.indices.tolist()), set(test.held_out.indices.tolist())]
    assert sum(map(len, parts)) == 1797
    assert set.union(*parts) == set(range(1797))


def test_splits_are_stratified():
    """A class's share of the test images is its share of the source, within one image."""
    labels = load_digits().target
    held_out = sources.load(digits()).held_out
    counts = torch.bincount(held_out.labels).numpy()
    assert np.abs(counts - np.bincount(labels) * 0.25).max() <= 0.5


def test_splits_depend_on_the_split_seed_alone():
    """The same seed splits alike, another one otherwise, and global generators are not asked."""
    first = sources.load(digits()).held_out.indices
    torch.manual_seed(5)
    np.random.seed(5)
    assert torch.equal(sources.load(digits()).held_out.indices, first)
    assert not torch.equal(sources.load(digits(split_seed=1)).held_out.indices, first)


def test_test_images_stay_when_val_is_carved():
    """The test split does not depend on whether val is carved out of the rest."""
    with_val = sources.load(digits()).held_out.indices
    assert torch.equal(sources.load(digits(val_fraction=0.0)).held_out.indices, with_val)


def test_other_sizes_are_resampled():
    """Images are resized with antialiasing; for evaluation to eval_resize, of which the centre is taken."""
    splits = sources.load(digits(image_size=12, eval_resize=16))
    view = everything(splits.held_out)
    bunch = load_digits()
    pixels = np.rint(bunch.images[splits.held_out.indices.numpy()] * 255 / 16).astype(np.uint8)
    expected = center_crop(resize(torch.from_numpy(pixels)[:, None], 16, 16), [12, 12])
    assert torch.equal(view, expected)
    boxes = np.tile([0, 0, 12, 12], (len(splits.train), 1))
    whole = splits.train.images(torch.arange(len(splits.train)), boxes)
    assert whole.shape == (len(splits.train), 1, 12, 12)
    assert splits.train.sizes(torch.arange(3)).tolist() == [[12, 12]] * 3


def test_resize_averages_when_it_shrinks():
    """Halving a fine checkerboard gives gray, not one of its two colours (within 2 levels inside)."""
    board = torch.from_numpy((np.indices((32, 32)).sum(0) % 2 * 255).astype(np.uint8))[None, None]
    small = resize(board, 16, 16)
    assert (small[..., 2:-2, 2:-2].int() - 128).abs().max() <= 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"evaluate_on": "val", "val_fraction": 0.0}, "val_fraction is 0"),
        ({"test_fraction": 0.0}, "digits has no test split of its own"),
        ({"channels": 3}, "channels is 3, but images of digits have 1"),
        ({"classes": 9}, "classes is 9, but digits has 10"),
        ({"eval_resize": 7}, r"eval_resize \(7\) is smaller than data.image_size \(8\)"),
        ({"test_fraction": 0.001}, "so small that no image is held out"),
        ({"test_fraction": 0.999}, "10 of 10 classes have no image left to train on"),
    ],
)
def test_the_impossible_is_refused(changes, message):
    """What cannot be is one DataError that names the field."""
    with pytest.raises(DataError, match=message):
        sources.load(digits(**changes))
