"""CIFAR in both of its formats, made here in small: records of bytes, and pickled dicts of arrays."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from ablate.data import sources
from ablate.data.errors import DataError
from ablate.places import CIFAR
from ablate.recipe import Data

KINDS = ("cifar10", "cifar100")
COUNTS = {"cifar10": 10, "cifar100": 100}


def recipe(kind: str, place: Path, **changes: object) -> Data:
    fields = {
        "source": f"{kind}:{place}", "image_size": 32, "channels": 3, "classes": COUNTS[kind], "mean": 0.5, "std": 0.5,
        "test_split": "test", "test_fraction": 0.0, "val_fraction": 0.25, "split_seed": 0, "evaluate_on": "test",
        "eval_resize": 32,
    }  # fmt: skip
    return Data(**{**fields, **changes})


class Made:
    """Images of a small CIFAR, file after file, and how either version writes them."""

    def __init__(self, kind: str) -> None:
        rng = np.random.default_rng(0)
        _, _, train, test = CIFAR[kind][0]
        self.kind, per_file = kind, 4 * COUNTS[kind]
        files = len(train) + len(test)
        self.pixels = rng.integers(0, 256, (files, per_file, 3, 32, 32), dtype=np.uint8)
        self.labels = np.stack([rng.permutation(np.arange(per_file) % COUNTS[kind]) for _ in range(files)])

    def write(self, place: Path, binary: bool) -> Path:
        name, _, train, test = CIFAR[self.kind][0 if binary else 1]
        (place / name).mkdir(parents=True)
        for file, pixels, labels in zip(train + test, self.pixels, self.labels, strict=True):
            content = self.records(pixels, labels) if binary else self.batch(pixels, labels)
            (place / name / file).write_bytes(content)
        return place / name

    def records(self, pixels: np.ndarray, labels: np.ndarray) -> bytes:
        superclass = b"\x07" if self.kind == "cifar100" else b""
        rows = zip(labels.tolist(), pixels, strict=True)
        return b"".join(superclass + bytes([label]) + image.tobytes() for label, image in rows)

    def batch(self, pixels: np.ndarray, labels: np.ndarray) -> bytes:
        key = b"fine_labels" if self.kind == "cifar100" else b"labels"
        content = {b"data": pixels.reshape(len(pixels), -1), key: labels.tolist(), b"filenames": [b"a.png"]}
        return pickle.dumps(content, protocol=2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("inside", [True, False])
def test_both_versions_give_the_images(tmp_path, kind, binary, inside):
    """Pixels, classes and indices are those that were written, training batches in their order and then test."""
    made = Made(kind)
    folder = made.write(tmp_path, binary)
    splits = sources.load(recipe(kind, folder if inside else tmp_path))
    pixels, labels = made.pixels.reshape(-1, 3, 32, 32), made.labels.reshape(-1)
    for image_set in (splits.train, splits.held_out):
        at = image_set.indices.numpy()
        assert np.array_equal(image_set.images(torch.arange(len(image_set))).numpy(), pixels[at])
        assert np.array_equal(image_set.labels.numpy(), labels[at])
    per_file = made.pixels.shape[1]
    assert splits.held_out.indices.tolist() == list(range(len(labels) - per_file, len(labels)))
    assert len(splits.train) == 0.75 * (len(labels) - per_file)
    assert not splits.train.decodes


def test_val_is_carved_from_the_training_batches(tmp_path):
    """Judged on val, no image of the test batch is seen, and train and val are the training batches."""
    Made("cifar10").write(tmp_path, binary=True)
    splits = sources.load(recipe("cifar10", tmp_path, evaluate_on="val"))
    parts = [set(s.indices.tolist()) for s in (splits.train, splits.held_out)]
    assert not parts[0] & parts[1]
    assert parts[0] | parts[1] == set(range(200))


class Evil:
    """Pickled, it asks for a function to be called."""

    def __reduce__(self):
        return (print, ("called",))


def test_pickles_run_nothing(tmp_path, capsys):
    """A batch that asks for a function is refused and the function not called; numpy's older name is admitted."""
    folder = Made("cifar10").write(tmp_path, binary=False)
    whole = (folder / "data_batch_2").read_bytes()
    assert b"numpy._core.multiarray" in whole
    (folder / "data_batch_2").write_bytes(whole.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    sources.load(recipe("cifar10", tmp_path))
    other = tmp_path / "other"
    folder = Made("cifar10").write(other, binary=False)
    (folder / "data_batch_2").write_bytes(pickle.dumps({b"data": Evil()}))
    with pytest.raises(DataError, match=r"data_batch_2 is not a batch of cifar10: it asks for builtins\.print"):
        sources.load(recipe("cifar10", other))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("binary", [True, False])
def test_damaged_files_are_named(tmp_path, binary):
    """A batch that was cut short is a DataError with its name; so is one that is missing."""
    folder = Made("cifar10").write(tmp_path, binary)
    batch = folder / CIFAR["cifar10"][0 if binary else 1][2][3]
    batch.write_bytes(batch.read_bytes()[:-5])
    with pytest.raises(DataError, match=batch.name):
        sources.load(recipe("cifar10", tmp_path))
    batch.unlink()
    with pytest.raises(DataError, match=f"lacks {batch.name}"):
        sources.load(recipe("cifar10", tmp_path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test_split": None}, "write data.train_split: train, data.test_split: test"),
        ({"test_split": "val"}, "cifar10 has two splits"),
        ({"train_split": "all"}, "cifar10 has two splits"),
        ({"test_split": None, "test_fraction": 0.1}, "data.test_fraction: 0"),
        ({"channels": 1}, "channels is 1, but images of cifar10 have 3"),
        ({"classes": 9}, "classes is 9, but cifar10:.* has 10"),
    ],
)
def test_the_impossible_is_refused(tmp_path, changes, message):
    """What cannot be is one DataError that names the field."""
    Made("cifar10").write(tmp_path, binary=True)
    with pytest.raises(DataError, match=message):
        sources.load(recipe("cifar10", tmp_path, **changes))


def test_other_places_are_refused(tmp_path):
    """A folder without CIFAR is told what it must hold, and CIFAR-100 under CIFAR-10's name is not CIFAR-10."""
    with pytest.raises(DataError, match="must hold cifar-10-batches-bin or cifar-10-batches-py"):
        sources.load(recipe("cifar10", tmp_path))
    folder = Made("cifar100").write(tmp_path, binary=False)
    folder = folder.rename(tmp_path / "cifar-10-batches-py")
    for k in range(1, 6):
        (folder / f"data_batch_{k}").write_bytes((folder / "train").read_bytes())
    (folder / "test").rename(folder / "test_batch")
    with pytest.raises(DataError, match="is not a batch of cifar10"):
        sources.load(recipe("cifar10", tmp_path))
