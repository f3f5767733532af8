"""Folders of images and ImageNet's layouts: which images are train, val and test, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from ablate.data import sources
from ablate.data.errors import DataError
from ablate.recipe import Data

CLASSES = ("n01", "n02", "n03")
FIELDS = {
    "image_size": 8, "channels": 3, "classes": 3, "mean": 0.5, "std": 0.5, "test_split": "val", "test_fraction": 0.0,
    "val_fraction": 0.25, "split_seed": 0, "evaluate_on": "test", "eval_resize": 8,
}  # fmt: skip


def of(source: str, **changes: object) -> Data:
    return Data(**{**FIELDS, "source": source, **changes})


def paint(path: Path, value: int) -> None:
    """An image of one gray that says which it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (value, value, value)).save(path)


def write(root: Path, split: str, count: int, first: int = 0) -> None:
    for label, name in enumerate(CLASSES):
        for k in range(count):
            paint(root / split / name / f"{k}.png", first + count * label + k)


def grays(image_set) -> list[int]:
    return image_set.images(torch.arange(len(image_set)))[:, 0, 0, 0].tolist()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Grays 0 to 23 are train, 100 to 105 val, 200 to 205 test."""
    for split, count, first in (("train", 8, 0), ("val", 2, 100), ("test", 2, 200)):
        write(tmp_path, split, count, first)
    return tmp_path


@pytest.mark.parametrize(("split", "first"), [("val", 100), ("test", 200)])
def test_the_named_split_is_test(place, split, first):
    """The Recipe says which folder is test; one with another name is not looked at."""
    splits = sources.load(of(f"imagefolder:{place}", test_split=split))
    assert grays(splits.held_out) == list(range(first, first + 6))
    assert splits.held_out.indices.tolist() == list(range(24, 30))
    assert splits.skipped == ()


def test_the_named_split_is_trained_on(place):
    """So is the folder for training."""
    splits = sources.load(of(f"imagefolder:{place}", train_split="test", val_fraction=0.0))
    assert grays(splits.train) == list(range(200, 206))


def test_no_split_stands_in_for_another(place):
    """Judged on test without a test split, the error says which folders are there and what to write."""
    message = r"test_split is null: .* holds test, train, val\. Write data\.test_split: test, or .*data\.test_fraction"
    with pytest.raises(DataError, match=message):
        sources.load(of(f"imagefolder:{place}", test_split=None))
    with pytest.raises(DataError, match=r"no folder .*dev \(data\.test_split\); .* holds test, train, val"):
        sources.load(of(f"imagefolder:{place}", test_split="dev"))
    with pytest.raises(ValidationError, match=r"test_split is val and test_fraction 0\.1"):
        Data.model_validate(of(f"imagefolder:{place}").model_dump() | {"test_fraction": 0.1})


def test_test_can_be_carved_out_of_a_folder(place):
    """With a fraction, test and val are carved out of train/, and neither is trained on, whichever is asked for."""
    carving = {"test_split": None, "test_fraction": 0.25, "val_fraction": 0.5}
    test = sources.load(of(f"imagefolder:{place}", **carving))
    val = sources.load(of(f"imagefolder:{place}", evaluate_on="val", **carving))
    parts = [set(grays(s)) for s in (test.train, test.held_out, val.held_out)]
    assert set(grays(val.train)) == parts[0]
    assert [len(p) for p in parts] == [9, 6, 9]
    assert set.union(*parts) == set(range(24))


@pytest.mark.parametrize("other", ["train", "./train", "link", "train/n01"])
def test_train_and_test_may_not_share_a_folder(place, other):
    """The same folder under another name, or one inside the other, is no test split."""
    (place / "link").symlink_to(place / "train")
    with pytest.raises(DataError, match="are one folder, or one in the other"):
        sources.load(of(f"imagefolder:{place}", test_split=other))


def test_train_and_test_may_not_share_a_class_by_a_link(place):
    """A class of the test split that is a link to one for training is the same images under another name."""
    (place / "test" / "n02").rename(place / "away")
    (place / "test" / "n02").symlink_to(place / "train" / "n02")
    with pytest.raises(DataError, match="are one folder, or one in the other"):
        sources.load(of(f"imagefolder:{place}", test_split="test"))


def kaggle(place: Path, below: str) -> Path:
    """Move val/ into one flat folder with Kaggle's answers, and all splits below a folder."""
    rows = ["ImageId,PredictionString"]
    for label, name in enumerate(CLASSES):
        for k in range(2):
            image = f"ILSVRC2012_val_{(5 * (2 * label + k)) % 7:08}"  # not in the order of the classes
            (place / "val" / name / f"{k}.png").rename(place / "val" / f"{image}.JPEG")
            rows.append(f"{image},{name} 1 2 3 4 {name} 5 6 7 8 ")
        (place / "val" / name).rmdir()
    (place / "LOC_val_solution.csv").write_text("\n".join(rows) + "\n")
    if below:
        (place / below).mkdir(parents=True)
        for split in ("train", "val", "test"):
            (place / split).rename(place / below / split)
    return place


@pytest.mark.parametrize("below", ["", "ILSVRC/Data/CLS-LOC"])
def test_imagenet_in_kaggles_layout(place, tmp_path_factory, below):
    """Flat validation images with their CSV are those of the folders of classes, in either place."""
    plain = sources.load(of(f"imagenet:{place}"))
    copy = tmp_path_factory.mktemp("kaggle") / "copy"
    shutil.copytree(place, copy)
    flat = sources.load(of(f"imagenet:{kaggle(copy, below)}"))
    pairs = [sorted(zip(grays(s.held_out), s.held_out.labels.tolist(), strict=True)) for s in (plain, flat)]
    assert pairs[0] == pairs[1] == [(100 + k, k // 2) for k in range(6)]
    assert grays(flat.train) == grays(plain.train)


def test_imagenet_says_what_it_expects(place):
    """A folder without the splits, a flat split without labels, and labels that do not fit are each one sentence."""
    with pytest.raises(DataError, match=r"does not look like ImageNet.*Kaggle's ILSVRC/Data/CLS-LOC"):
        sources.load(of(f"imagenet:{place / 'val'}"))
    kaggle(place, "")
    answers = place / "LOC_val_solution.csv"
    text = answers.read_text()
    with pytest.raises(DataError, match="holds no folders of classes"):
        sources.load(of(f"imagefolder:{place}"))
    answers.write_text(text + "ILSVRC2012_val_00000077,n01 1 2 3 4\n")
    with pytest.raises(DataError, match="do not hold the same 7 images: ILSVRC2012_val_00000077"):
        sources.load(of(f"imagenet:{place}"))
    answers.write_text(text.replace("n03", "n04"))
    with pytest.raises(DataError, match="hold different classes: n03, n04"):
        sources.load(of(f"imagenet:{place}"))
    answers.write_text("a,b\n")
    with pytest.raises(DataError, match="must begin with the line ImageId,PredictionString"):
        sources.load(of(f"imagenet:{place}"))
    answers.unlink()
    with pytest.raises(DataError, match=r"there is no .*LOC_val_solution\.csv to label them"):
        sources.load(of(f"imagenet:{place}"))


def test_classes_have_their_folders_names(place):
    """In the order of their labels; packaged sources have numbers."""
    assert sources.class_names(of(f"imagefolder:{place}")) == list(CLASSES)
    digits = {"source": "digits", "channels": 1, "classes": 10, "test_split": None, "test_fraction": 0.1}
    assert sources.class_names(Data(**{**FIELDS, **digits})) == [str(k) for k in range(10)]


@settings(max_examples=12, deadline=None)
@given(
    test=st.floats(0.1, 0.4),
    val=st.floats(0.1, 0.4),
    carve=st.sampled_from(["stratified", "random"]),
    seed=st.integers(0, 9),
)
def test_splits_are_disjoint_however_carved(test, val, carve, seed):
    """Train, val and test share no image and are the whole source; each seed of a study sees the same."""
    fields = {**FIELDS, "source": "digits", "channels": 1, "classes": 10, "test_split": None}
    data = Data(**{**fields, "test_fraction": test, "val_fraction": val, "carve": carve, "split_seed": seed})
    splits = sources.load(data)
    judged = sources.load(data.model_copy(update={"evaluate_on": "val"}))
    parts = [set(s.indices.tolist()) for s in (splits.train, splits.held_out, judged.held_out)]
    assert set(judged.train.indices.tolist()) == parts[0]
    assert sum(map(len, parts)) == 1797
    assert set.union(*parts) == set(range(1797))
    if carve == "random":
        assert len(splits.held_out) == int(np.floor(1797 * test + 0.5))
