"""`data.faulty`: what cannot be used ends a Trial, or is left out, counted and listed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from ablate.data import faults, sources
from ablate.data.errors import DataError
from ablate.recipe import Data


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four classes with grays 0 to 23 in train and 100 to 107 in val."""
    monkeypatch.setenv("ABLATE_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "images"
    for split, count, first in (("train", 6, 0), ("val", 2, 100)):
        for label, name in enumerate(("ant", "bee", "cat", "dog")):
            (root / split / name).mkdir(parents=True)
            for k in range(count):
                gray = first + count * label + k
                Image.new("L", (9, 9), gray).save(root / split / name / f"{k}.png")
    return root


def of(place: Path, **changes: object) -> Data:
    fields = {
        "source": f"imagefolder:{place}", "image_size": 9, "channels": 1, "classes": 4, "mean": 0.5, "std": 0.5,
        "test_split": "val", "test_fraction": 0.0, "val_fraction": 0.0, "split_seed": 0, "evaluate_on": "test",
        "eval_resize": 9, "faulty": "skip",
    }  # fmt: skip
    return Data(**{**fields, **changes})


def grays(image_set) -> list[int]:
    return image_set.images(torch.arange(len(image_set)))[:, 0, 0, 0].tolist()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-25])


def test_nothing_is_skipped_without_faults(place):
    """With nothing to leave out, the images are those of `error`."""
    skip, error = sources.load(of(place)), sources.load(of(place, faulty="error"))
    assert skip.skipped == ()
    assert grays(skip.train) == grays(error.train) == list(range(24))
    assert grays(skip.held_out) == grays(error.held_out)


@pytest.mark.parametrize("content", [b"", b"no image", "cut", "sixteen bits"])
def test_unreadable_images_are_left_out_and_listed(place, content):
    """Whatever would stop the training is skipped; the other images keep their indices."""
    broken = place / "train" / "bee" / "2.png"
    if content == "cut":
        cut(broken)
    elif content == "sixteen bits":
        Image.new("I;16", (9, 9), 700).save(broken)
    else:
        broken.write_bytes(content)
    splits = sources.load(of(place))
    assert len(splits.skipped) == 1
    assert str(broken) in splits.skipped[0]
    rest = [k for k in range(24) if k != 8]
    assert grays(splits.train) == splits.train.indices.tolist() == rest
    with pytest.raises(DataError, match=r"bee.2\.png"):
        grays(sources.load(of(place, faulty="error")).train)


def test_only_splits_in_use_are_looked_at(place):
    """A fault among the test images is none of a Trial's that is judged on val."""
    cut(place / "val" / "ant" / "1.png")
    assert len(sources.load(of(place)).skipped) == 1
    assert sources.load(of(place, evaluate_on="val", val_fraction=0.5)).skipped == ()


def test_a_class_without_images_is_left_out_of_both_splits(place):
    """Empty, or with none that can be read, it is no class any more; data.classes must say how many are left."""
    for k in range(6):
        cut(place / "train" / "cat" / f"{k}.png")
        (place / "train" / "ant" / f"{k}.png").unlink()
    with pytest.raises(DataError, match=r"classes is 4, but .* has 2 without those left out: the class .*cat"):
        sources.load(of(place))
    splits = sources.load(of(place, classes=2))
    assert len(splits.skipped) == 8  # six images, two classes
    assert splits.held_out.labels.tolist() == [0, 0, 1, 1]
    assert grays(splits.held_out) == [102, 103, 106, 107]
    assert splits.held_out.indices.tolist() == [20, 21, 24, 25]  # after 18 that are listed in train
    assert sources.class_names(of(place)) == ["bee", "dog"]
    with pytest.raises(DataError, match=r"the class .*ant has no images"):
        sources.load(of(place, faulty="error"))


def test_a_class_without_test_images_stays_a_class(place):
    """It is trained on, and listed as missing among the test images."""
    for k in range(2):
        (place / "val" / "cat" / f"{k}.png").unlink()
    splits = sources.load(of(place))
    assert splits.held_out.labels.tolist() == [0, 0, 1, 1, 3, 3]
    assert splits.skipped == (f"the class cat of {place / 'val'} has no images",)


def test_a_split_without_a_usable_image_is_an_error(place):
    """Nothing is judged on no images."""
    for path in (place / "val").glob("*/*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"no image of .*val can be used"):
        sources.load(of(place))


def test_images_are_tried_once_until_they_change(place, monkeypatch):
    """What was found is kept, and found anew when a file has another size or time, or what was kept is torn."""
    cut(place / "train" / "ant" / "0.png")
    tried = []
    look = faults.opened
    monkeypatch.setattr(faults, "opened", lambda file: tried.append(file) or look(file))
    first = sources.load(of(place)).skipped
    assert len(tried) == 32
    assert sources.load(of(place)).skipped == first
    assert len(tried) == 32
    cut(place / "train" / "ant" / "1.png")
    assert len(sources.load(of(place)).skipped) == 2
    assert len(tried) == 32 + 24
    os.utime(place / "val" / "ant" / "1.png", (1, 1))
    sources.load(of(place))
    assert len(tried) == 32 + 24 + 8
    for path in (place.parent / "cache" / "unreadable").glob("*.json"):
        path.write_text("{")
    assert len(sources.load(of(place)).skipped) == 2
