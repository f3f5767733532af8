"""Estimates of training time from the Recipe alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ablate.estimate import estimate, held_out_images, training_images, training_seconds
from ablate.recipe import Recipe
from ablate.study.load import load_study
from ablate.study.study import VISION
from ablate.tracking.record import Record

MODEL: dict[str, Any] = {
    "dim": 16,
    "depth": 2,
    "stem": {"name": "patches", "patch_size": 2},
    "position": "sincos2d",
    "position_covers": "patches",
    "mixer": {"name": "self_attention", "heads": 2},
    "feed_forward": "mlp",
    "norm": "layer_norm",
    "final_norm": "before_pooling",
    "readout": "gap",
    "head": "linear",
    "dropout": 0.0,
    "init": "jax",
}
AUGMENT = {"crop": "off", "flip": False, "randaug": "off", "mixup": "off"}


def recipe(data: Any = None, **changes: Any) -> Recipe:
    """On digits, an eighth of them held out, unless ``data`` says otherwise."""
    fields = {
        "model": MODEL,
        "data": {
            "source": "digits",
            "image_size": 8,
            "channels": 1,
            "classes": 10,
            "mean": 0.5,
            "std": 0.5,
            "test_fraction": 0.0,
            "val_fraction": 0.0,
            "split_seed": 0,
            "evaluate_on": "test",
            "eval_resize": 8,
            **(data or {}),
        },
        "augment": AUGMENT,
        "optimizer": {
            "name": "adamw",
            "learning_rate": 1e-3,
            "beta1": 0.9,
            "beta2": 0.999,
            "eps": 1e-8,
            "weight_decay": 0.0,
            "decay": "kernels",
            "clip_norm": "off",
        },
        "schedule": {"epochs": 1, "batch_size": 8, "warmup_steps": 0, "decay": "cosine"},
        "precision": "float32",
        **changes,
    }
    return Recipe.model_validate(fields)


@pytest.mark.parametrize(
    ("data", "trained", "held_out"),
    [
        ({"test_fraction": 0.25, "val_fraction": 0.2}, 1078, 449),
        ({"test_fraction": 0.25, "val_fraction": 0.2, "evaluate_on": "val"}, 1078, 270),
        ({"source": "mnist5k", "test_fraction": 0.2}, 4000, 1000),
        ({"source": "cifar10:x", "test_split": "test"}, 50_000, 10_000),
        ({"source": "cifar100:x", "test_split": "test", "val_fraction": 0.1, "evaluate_on": "val"}, 45_000, 5000),
        ({"source": "imagenet:nowhere", "test_split": "val", "val_fraction": 0.01}, 1_268_355, 50_000),
        ({"source": "imagefolder:nowhere", "classes": 1000}, 1_281_167, 50_000),
        ({"source": "imagefolder:nowhere", "classes": 12}, None, None),
        ({"source": "hfds/who/what", "classes": 1000, "test_split": "validation"}, 1_281_167, 50_000),
        ({"source": "tfds/what", "classes": 37}, None, None),
    ],
)
def test_images_of_every_source(data: dict[str, Any], trained: int | None, held_out: int | None) -> None:
    """By the datasets' published sizes, less what is carved out; None where nobody knows."""
    assert (training_images(recipe(data)), held_out_images(recipe(data))) == (trained, held_out)


def test_a_folders_images_are_counted(tmp_path: Path) -> None:
    """In the folder of the split that the Recipe names."""
    for split, count in (("train", 5), ("tiny", 3), ("val", 2)):
        for each in range(count):
            (tmp_path / split / f"class{each % 2}").mkdir(parents=True, exist_ok=True)
            (tmp_path / split / f"class{each % 2}" / f"{each}.png").touch()
    data = {"source": f"imagefolder:{tmp_path}", "test_split": "val"}
    assert (training_images(recipe(data)), held_out_images(recipe(data))) == (5, 2)
    assert training_images(recipe(data | {"train_split": "tiny"})) == 3


def test_what_a_teacher_and_checkpointing_add() -> None:
    """A teacher of the student's model adds a forward pass to three, as checkpointing does; repeats add nothing."""
    step_s, updates = 6e-3, 1797 // 8

    def work(**changes: Any) -> float:
        seconds = training_seconds(recipe(**changes).resolved())
        assert seconds is not None
        return seconds / updates - step_s

    plain = work()
    teacher = {"teacher": {"checkpoint": "file:x.pt", "model": MODEL}}
    assert work(distillation=teacher) == pytest.approx(4 / 3 * plain)
    assert work(compute={"checkpoint_activations": True}) == pytest.approx(4 / 3 * plain)
    assert work(augment=AUGMENT | {"repeats": 4}) == plain
    assert work(distillation={"teacher": {"checkpoint": "trial:0123456789abcdef"}}) == plain


def test_unknown_data_has_no_estimate() -> None:
    """Nor has a model without a formula."""
    assert training_seconds(recipe({"source": "wds/nowhere"}).resolved()) is None
    assert training_seconds(recipe(model="timm/vit_tiny_patch16_224").resolved()) is None


def test_a_recipe_is_looked_at_once_for_all_of_its_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many seeds and Records it has; each Trial keeps its own measured time, the others are scaled by them."""
    study = load_study(Path(__file__).parents[1] / "studies" / "simplevit.yaml", "digits", only=["head=linear"])
    first, other = study.trials[:2]
    record = Record(first.id, 0, VISION, json.loads(json.dumps(first.recipe)), "finished", 0.0, seconds=80.0)
    looked: list[Any] = []
    modelled = {t.variant: training_seconds(t.recipe) for t in (first, other)}
    monkeypatch.setattr("ablate.estimate.training_seconds", lambda r: looked.append(r) or training_seconds(r))
    found = estimate(study, [record])
    assert len(looked) == len(study.variants) == 2
    assert found.seconds[first.id] == 80.0
    scale = 80.0 / (modelled[first.variant] or 0.0)
    assert found.seconds[other.id] == pytest.approx(scale * (modelled[other.variant] or 0.0))
    assert len(found.seconds) == 6
