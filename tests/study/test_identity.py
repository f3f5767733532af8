"""A Trial's id: equal for equal trainings on any machine, different for different ones."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate import parts
from ablate.study.identity import (
    ENGINE_REVISION,
    digest,
    engine_revision,
    revision_of,
    trial_id,
    trial_ids,
    without_paths,
)
from ablate.study.study import VISION

RECIPE: dict[str, Any] = {
    "model": {"dim": 16, "position": {"name": "sincos2d", "temperature": 10000.0}, "dropout": 0.0},
    "data": {"source": "imagefolder:/some/where", "image_size": 8},
    "augment": {"randaug": "off", "flip": False},
    "schedule": {"warmup_steps": None, "batch_size": 64},
}


def _id(recipe: dict[str, Any] = RECIPE, seed: int = 0, **options: str) -> str:
    return trial_id(recipe, seed, **{"trainable": VISION, "revision": "1", "data_fingerprint": "d", **options})


def test_the_id_of_a_recipe_is_fixed() -> None:
    """A golden value: results that are stored are found again by every later version."""
    assert _id() == "0f216af97b7ccf9f"


def test_the_seeds_of_a_recipe_have_the_ids_that_they_have_alone() -> None:
    """What is found once for all of them changes none; the golden value is among them."""
    found = trial_ids(RECIPE, [3, 0], trainable=VISION, revision="1", data_fingerprint="d")
    assert found == {3: _id(seed=3), 0: "0f216af97b7ccf9f"}


def test_everything_that_decides_the_outcome_is_in_the_id() -> None:
    """Seed, data, revision, training code, and every field of the Recipe."""
    changed = {**RECIPE, "schedule": {"warmup_steps": 0, "batch_size": 64}}
    one = {**RECIPE, "model": {**RECIPE["model"], "dropout": 0}}
    different = [_id(), _id(seed=1), _id(data_fingerprint="e"), _id(revision="2"), _id(trainable="a:b"), _id(changed)]
    assert len({*different, _id(one)}) == len(different) + 1


def test_the_path_of_the_data_is_not_in_the_id() -> None:
    """What lies there is, by its fingerprint; and the Recipe given stays as it was."""
    moved = {**RECIPE, "data": {**RECIPE["data"], "source": "imagefolder:/elsewhere"}}
    assert _id(moved) == _id()
    assert without_paths(RECIPE)["data"]["source"] == "imagefolder"
    assert RECIPE["data"]["source"] == "imagefolder:/some/where"


def test_a_users_recipe_is_in_the_id_as_it_is() -> None:
    """What looks like a path of the vision trainer's is a value like others in somebody else's Recipe."""
    moved = {**RECIPE, "data": {**RECIPE["data"], "source": "imagefolder:/elsewhere"}}
    assert _id(moved, trainable="a:b") != _id(trainable="a:b")


def _shuffled(value: Any, order: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: _shuffled(value[key], order) for key in order(list(value))}


@given(st.randoms())
def test_the_order_of_keys_is_not_in_the_id(random: Any) -> None:
    """Two mappings that are equal have one id, in whatever order they were written."""
    assert _id(_shuffled(RECIPE, lambda keys: random.sample(keys, len(keys)))) == _id()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_cannot_hold_has_no_digest(value: float) -> None:
    """NaN is not equal to itself and may not stand for anything."""
    with pytest.raises(ValueError, match="JSON"):
        digest({"a": value})


def test_values_of_different_types_differ() -> None:
    """1, 1.0, true and "1" are four values."""
    assert len({digest(value) for value in (1, 1.0, True, "1")}) == 4


def test_the_revision_of_our_own_parts_is_the_engines() -> None:
    """A Recipe of the catalogue's parts needs no more."""
    kinds = ("stem", "position", "mixer", "feed_forward", "norm", "readout", "head")
    assert engine_revision({"model": {kind: {"name": "x"} for kind in kinds}}) == ENGINE_REVISION


@pytest.mark.parametrize(
    "source",
    [
        "def train(): ...",
        "async def train(): ...",
        "class train: ...",
        "train = print",
        "train: object = print",
        "from os import getcwd as train",
        "from os import *",
        "if True:\n    def train(): ...",
        "try:\n    import a\nexcept ImportError:\n    train = None",
    ],
)
def test_a_function_is_found_however_it_is_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """Definitions, assignments and imports at the top of the module, without importing it."""
    name = f"bound_{abs(hash(source))}"
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    assert len(revision_of(f"{name}:train")) == 16
    if "*" not in source:
        with pytest.raises(ValueError, match="defines no function 'tran'"):
            revision_of(f"{name}:tran")


PLAIN: dict[str, Any] = {
    "model": {kind: {"name": "x"} for kind in parts.KINDS},
    "optimizer": {"name": "adamw"},
    "augment": {"autoaugment": "off", "randaug": {"operations": "timm"}},
    "distillation": "off",
}
TAUGHT: dict[str, Any] = {"checkpoint": "file:a/b.pt", "model": PLAIN["model"]}


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"name": "timm/resnet18"}},
        {"optimizer": {"name": "lamb"}},
        {"augment": {"autoaugment": "v0"}},
        {"distillation": {"teacher": {"checkpoint": "timm", "model": {"name": "timm/regnety_160"}}}},
        {"distillation": {"teacher": {"checkpoint": "file:x.pt", "model": {"name": "timm/regnety_160"}}}},
    ],
)
def test_timms_version_counts_where_timm_takes_part(change: dict[str, Any]) -> None:
    """A model, the teacher's too, an optimizer of its factory, its policies of AutoAugment; each counts once."""
    assert engine_revision(PLAIN) == ENGINE_REVISION  # its RandAugment is our own
    assert engine_revision(PLAIN | change) == f"{ENGINE_REVISION}+timm-{version('timm')}"
    both = {"model": {"name": "timm/resnet18"}, "optimizer": {"name": "lamb"}}
    assert engine_revision(PLAIN | both) == f"{ENGINE_REVISION}+timm-{version('timm')}"


def test_a_part_of_the_users_own_counts_in_a_teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the teacher's model computes is learnt from."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "counted_norm.py").write_text("class Own: pass\n")
    own = {**TAUGHT, "model": PLAIN["model"] | {"norm": {"name": "counted_norm:Own"}}}
    assert engine_revision(PLAIN | {"distillation": {"teacher": TAUGHT}}) == ENGINE_REVISION
    assert engine_revision(PLAIN | {"distillation": {"teacher": own}}) != ENGINE_REVISION


def test_a_teachers_weights_count_and_their_place_does_not() -> None:
    """A file by its digest, a Trial by its id; without either the id is what it always was."""

    def with_teacher(checkpoint: str) -> dict[str, Any]:
        return {**RECIPE, "distillation": {"teacher": {"checkpoint": checkpoint}}}

    here, there = with_teacher("file:/a/b.pt"), with_teacher("file:c.pt")
    assert without_paths(here)["distillation"]["teacher"]["checkpoint"] == "file:"
    assert here["distillation"]["teacher"]["checkpoint"] == "file:/a/b.pt"
    assert _id(here, weights="w") == _id(there, weights="w") != _id(here, weights="v")
    trial = with_teacher("trial:0123456789abcdef")
    assert without_paths(trial)["distillation"] == trial["distillation"]
    assert _id(trial) != _id(with_teacher("trial:0123456789abcdee"))
    assert _id(weights="") == _id()


def test_the_sources_beside_a_part_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change in a module that the user's part imports from beside it is another revision; a comment is not."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "counted_part.py").write_text("import torch\nfrom counted_gain import GAIN\nclass Own: pass\n")
    recipe = {"model": {kind: {"name": "x"} for kind in parts.KINDS} | {"norm": {"name": "counted_part:Own"}}}

    def revision(gain: str) -> str:
        (tmp_path / "counted_gain.py").write_text(gain)
        return engine_revision(recipe)

    assert revision("GAIN = 1\n") == revision("GAIN = 1  # one\n")
    assert revision("GAIN = 1\n") != revision("GAIN = 3\n")
