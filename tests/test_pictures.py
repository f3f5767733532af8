"""Pictures of held-out images, for those who look at a report."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from ablate.data.sources import load
from ablate.pictures import class_names, pictures
from ablate.recipe import Data

DIGITS: dict[str, Any] = {
    "source": "digits",
    "image_size": 8,
    "channels": 1,
    "classes": 10,
    "mean": 0.5,
    "std": 0.5,
    "test_fraction": 0.25,
    "val_fraction": 0.1,
    "split_seed": 0,
    "evaluate_on": "test",
    "eval_resize": 8,
}


def recipe(**changed: Any) -> dict[str, Any]:
    """One of digits, with other settings of its data."""
    return {"data": {**DIGITS, **changed}}


def indices(given: dict[str, Any]) -> list[int]:
    """Places of its held-out images."""
    found: list[int] = load(Data.model_validate(given["data"])).held_out.indices.tolist()
    return found


def test_pictures_are_the_images_at_these_places() -> None:
    """Each is a PNG of 8 x 8 px with the pixels that the source has at that place, in the order asked for."""
    wanted = indices(recipe())[5:2:-1]
    made = pictures(recipe(), wanted)
    assert made is not None
    source = load_digits().images
    for index, content in zip(wanted, made, strict=True):
        image = Image.open(io.BytesIO(content))
        assert (image.format, image.size, image.mode) == ("PNG", (8, 8), "L")
        assert (np.asarray(image) == np.rint(source[index] * (255 / 16))).all()


def test_none_are_asked_for() -> None:
    """No index, no picture, and no error."""
    assert pictures(recipe(), []) == []


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"data": {"source": "digits"}},
        {"data": "digits"},
        recipe(source="imagefolder:/nowhere/at/all"),
        recipe(source="hfds/somebody/digits"),
        recipe(classes=11),
    ],
    ids=["no data", "unfinished", "a name", "no folder", "over a network", "other data"],
)
def test_what_is_not_here_has_no_pictures(given: dict[str, Any]) -> None:
    """Recipes of others, folders that are elsewhere and data behind a network give None."""
    assert pictures(given, [0]) is None


def test_an_image_that_is_not_held_out_has_no_picture() -> None:
    """A place that is trained on, or beyond the end, gives None rather than another image."""
    held_out = set(indices(recipe()))
    trained_on = next(i for i in range(1797) if i not in held_out)
    assert pictures(recipe(), [trained_on]) is None
    assert pictures(recipe(), [10**6]) is None


def test_a_folder_of_images_on_this_machine_has_pictures(tmp_path: Path) -> None:
    """Colour images of a folder come out in the size of the Recipe, in colour."""
    for split in ("train", "val"):
        for number, name in enumerate(("cat", "dog")):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for copy in range(2):
                Image.new("RGB", (12, 10), (100 * number, 50 * copy, 7)).save(folder / f"{copy}.png")
    given = recipe(
        source=f"imagefolder:{tmp_path}", channels=3, classes=2, test_split="val", test_fraction=0.0, val_fraction=0.0
    )
    wanted = indices(given)
    made = pictures(given, wanted)
    assert made is not None
    images = [Image.open(io.BytesIO(content)) for content in made]
    assert {(image.size, image.mode) for image in images} == {((8, 8), "RGB")}
    assert [image.getpixel((4, 4)) for image in images] == [(0, 0, 7), (0, 50, 7), (100, 0, 7), (100, 50, 7)]


def test_class_names_are_those_of_the_recipes_data(tmp_path: Path) -> None:
    """A folder's are its folders'; a Recipe of others, and one whose folder is elsewhere, have none."""
    for name in ("cat", "dog"):
        (tmp_path / "train" / name).mkdir(parents=True)
    folder = {"channels": 3, "classes": 2, "test_split": "val", "test_fraction": 0.0, "val_fraction": 0.0}
    assert class_names(recipe(source=f"imagefolder:{tmp_path}", **folder)) == ["cat", "dog"]
    assert class_names(recipe(source="imagefolder:/nowhere/at/all", **folder)) is None
    assert class_names({"data": "digits"}) is None


@pytest.mark.parametrize("evaluate_on", ["test", "val"])
def test_packaged_pictures_are_of_the_images_that_are_judged(evaluate_on: str) -> None:
    """Read without building image sets, they are of the same held-out images, and of no others."""
    given = recipe(evaluate_on=evaluate_on)
    judged = set(indices(given))
    assert pictures(given, sorted(judged)) is not None
    assert [index for index in range(60) if pictures(given, [index]) is not None] == sorted(judged & set(range(60)))


def test_a_resized_packaged_image_is_as_it_is_evaluated() -> None:
    """At another size than its own it is what the model sees."""
    given = recipe(image_size=12, eval_resize=14)
    wanted = indices(given)[:2]
    made = pictures(given, wanted)
    assert made is not None
    views = load(Data.model_validate(given["data"])).held_out.images(torch.tensor([0, 1]))[:, 0].numpy()
    assert [np.asarray(Image.open(io.BytesIO(content))).tolist() for content in made] == views.tolist()
