"""The published ImageNet profiles, as far as a machine without ImageNet and without a GPU can take them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

PROFILES = {"imagenet-90ep": 90, "imagenet-150ep": 150, "imagenet-300ep": 300}
#: What a made folder of twelve images needs to be different; model, image size and augmentation are the paper's.
SMALL = [
    *("--only", "baseline", "--seeds", 1, "--slots", 1),
    *("--set", "data.classes=3", "--set", "schedule.epochs=1", "--set", "schedule.batch_size=4"),
    *("--set", "schedule.warmup_steps=1", "--set", "data.val_fraction=0.0"),
]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder laid out as ImageNet: three classes of four images to train on and two to judge by, of uneven sizes."""
    root = tmp_path_factory.mktemp("data")
    draw = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        for kind in range(3):
            folder = root / "imagenet" / split / f"n0{kind}"
            folder.mkdir(parents=True)
            for index in range(count):
                height, width = 200 + 40 * kind, 240 + 30 * index
                pixels = draw.integers(0, 80, (height, width, 3)) + 60 * kind
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index}.JPEG")
    return root


@pytest.mark.parametrize("profile", PROFILES)
def test_the_published_recipe_can_be_planned_without_its_data(profile, place, studies):
    """The plan has the paper's values and published numbers, and says that the data is not here."""
    study = studies / "simplevit.yaml"
    plan = place.plan(study, "--profile", profile, "--full")
    baseline = plan["variants"][0]
    recipe = baseline["recipe"]
    schedule = {"epochs": PROFILES[profile], "batch_size": 1024, "warmup_steps": 10000, "warmup_epochs": None}
    assert {name: recipe["schedule"][name] for name in schedule} == schedule
    assert (recipe["model"]["dim"], recipe["model"]["depth"], recipe["data"]["image_size"]) == (384, 12, 224)
    assert len(baseline["published"]) == 2
    assert len(plan["variants"]) >= 10


def test_without_the_data_a_run_is_refused(place, studies):
    """`ablate plan` says that the study cannot be run here; `ablate run` exits with 2 and says where data belongs."""
    study = studies / "simplevit.yaml"
    assert "not on this machine" in place.ablate("plan", study, "--profile", "imagenet-90ep").out
    done = place.ablate("run", study, "--profile", "imagenet-90ep", code=2)
    assert done.out == ""
    assert "imagefolder:imagenet" in done.err
    assert "$ABLATE_DATA" in done.err
    assert list(place.root.iterdir()) == []


def test_the_published_model_has_its_number_of_parameters(studies):
    """ViT-S/16 with GAP and the MLP head has 22,122,472 parameters, 147,840 less with the linear one."""
    import torch

    from ablate.models.build import build
    from ablate.models.vision_transformer import count_parameters
    from ablate.recipe import Recipe
    from ablate.study.load import load_study

    study = load_study(studies / "simplevit.yaml", "imagenet-90ep")
    counts = {}
    with torch.device("meta"):
        for variant in study.variants:
            if variant.name in {"baseline", "head=linear"}:
                recipe = Recipe.model_validate(variant.recipe)
                counts[variant.name] = count_parameters(build(recipe.model, recipe.data))
    assert counts == {"baseline": 22_122_472, "head=linear": 21_974_632}


@pytest.mark.slow
def test_the_published_recipe_takes_real_steps(place, studies, images):
    """Full ViT-S/16 at 224 px, RandAugment and MixUp included, trains on a folder; moving that retrains nothing."""
    command = ["run", studies / "simplevit.yaml", "--profile", "imagenet-90ep", "--quiet", *SMALL]
    assert place.ablate(*command, ABLATE_DATA=str(images)).counts == (1, 0, 0)
    (record,) = place.records().values()
    assert record.metrics["steps"] == 3
    assert record.metrics["parameters"] == 22_122_472 - 997 * 385
    assert np.isfinite(record.metrics["train_loss"])
    moved = images.rename(images.with_name("moved"))
    try:
        assert place.ablate(*command, ABLATE_DATA=str(moved)).counts == (0, 1, 0)
    finally:
        moved.rename(images)
