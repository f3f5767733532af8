"""The ImageNet profiles of all studies, at full model size, on a made folder of a thousand classes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from ablate.recipe import Recipe
from ablate.study.load import load_study
from ablate.training import vision
from ablate.training.world import World

STUDIES = Path(__file__).parents[2] / "studies"
PROFILES = [
    (path.stem, profile)
    for path in sorted(STUDIES.glob("*.yaml"))
    for profile in ("imagenet-90ep", "imagenet-300ep", "imagenet-400ep")
    if f"\n  {profile}:" in path.read_text(encoding="utf-8")
]


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """$ABLATE_DATA with ImageNet's layout: in each of 1,000 classes one of three images to train on and to judge."""
    top = tmp_path_factory.mktemp("data")
    draw = np.random.default_rng(0)
    for number, size in enumerate([(300, 260), (240, 400), (500, 375)]):
        pixels = np.kron(draw.integers(0, 256, (size[0] // 20, size[1] // 20, 3)), np.ones((20, 20, 1)))
        Image.fromarray(pixels.astype(np.uint8)).save(top / f"{number}.JPEG")
    for split in ("train", "val"):
        for label in range(1000):
            folder = top / "imagenet" / split / f"n{label:08}"
            folder.mkdir(parents=True)
            os.link(top / f"{label % 3}.JPEG", folder / "0.JPEG")
    return top


class Deaf:
    stop_requested = False

    def __call__(self, step: int, metrics: Any) -> None: ...


def small_batch(recipe: dict[str, Any]) -> Recipe:
    """The Recipe for a thousand images and a CPU: two images a batch, without autocast; the rest as published."""
    changes = {
        "schedule": recipe["schedule"] | {"batch_size": 2},
        "optimizer": recipe["optimizer"] | {"scaling": "off"},
        "data": recipe["data"] | {"val_fraction": 0.0},
        "precision": "float32",
    }
    return Recipe.model_validate(recipe | changes)


def two_updates(recipe: Recipe, folder: Path) -> None:
    training = vision._Training(recipe, 0, Deaf(), folder, torch.device("cpu"), World())
    before = [parameter.detach().clone() for parameter in training.parameters]
    for step, batch in enumerate(training.batches.epoch(0)):
        loss, norm = training.update(batch, step + 1)  # the rate of the first update may be zero
        assert np.isfinite([loss.item(), norm.item()]).all()
        assert norm > 0
        if step == 1:
            break
    training.batches.close()
    assert not all(map(torch.equal, before, training.parameters))
    if training.average is not None:
        assert training.average.state_dict().keys() == training.model.state_dict().keys()


@pytest.mark.slow
@pytest.mark.parametrize(("study", "profile"), PROFILES, ids=[study for study, _ in PROFILES])
def test_the_published_recipe_takes_real_steps(
    imagenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, study: str, profile: str
) -> None:
    """The baseline, with all its augmentations, makes two updates at full model and image size, and they move it."""
    monkeypatch.setenv("ABLATE_DATA", str(imagenet))
    baseline = load_study(STUDIES / f"{study}.yaml", profile).baseline
    two_updates(small_batch(dict(baseline.recipe)), tmp_path)


@pytest.mark.slow
def test_the_distilled_deit_learns_from_its_published_teacher(
    imagenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DeiT-B with its distillation token makes two updates beside a RegNetY-16GF of full size, whose weights are made.

    Downloading is all that is left out: timm is asked for the weights of the paper's authors by their name.
    """
    monkeypatch.setenv("ABLATE_DATA", str(imagenet))
    asked = []
    true = timm.create_model

    def offline(name: str, pretrained: bool = False, **options: Any) -> Any:
        asked.append((name, pretrained))
        return true(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    variants = load_study(STUDIES / "deit.yaml", "imagenet-300ep").variants
    recipe = next(v.recipe for v in variants if v.name == "distillation=token")
    two_updates(small_batch(dict(recipe)), tmp_path)
    assert asked == [("regnety_160.deit_in1k", True)]


def test_every_study_has_a_profile_for_imagenet() -> None:
    """So that none is left out above."""
    assert {study for study, _ in PROFILES} == {path.stem for path in STUDIES.glob("*.yaml")}
