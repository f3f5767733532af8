"""The studies that come with the repository: each loads at each profile, and says what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ablate.models.build import build
from ablate.models.vision_transformer import count_parameters
from ablate.recipe import Recipe
from ablate.study.document import read_document
from ablate.study.load import load_study
from ablate.study.models import spelled_out
from ablate.study.study import Study, Variant

STUDIES = Path(__file__).parents[1] / "studies"
PROFILES = [
    (path.stem, profile) for path in sorted(STUDIES.glob("*.yaml")) for profile in read_document(path).tree["profiles"]
]
IDS = ["/".join(both) for both in PROFILES]


def load(name: str, profile: str) -> Study:
    return load_study(STUDIES / f"{name}.yaml", profile)


def parameters(variant: Variant) -> int:
    recipe = Recipe.model_validate(variant.recipe)
    with torch.device("meta"):
        return count_parameters(build(recipe.model, recipe.data))


@pytest.mark.parametrize(("name", "profile"), PROFILES, ids=IDS)
def test_every_model_of_every_profile_can_be_built(name: str, profile: str) -> None:
    """The study loads, and so does each model, at its own size, without memory for its weights."""
    study = load(name, profile)
    assert len(study.variants) > 5
    assert all(parameters(variant) > 1000 for variant in study.variants)


@pytest.mark.parametrize(("name", "profile"), PROFILES, ids=IDS)
def test_every_study_has_a_header(name: str, profile: str) -> None:
    """Question, source, command, cost and expectation, three seeds, and a note to each profile."""
    study = load(name, profile)
    told = [study.question, study.source, study.expected, *study.header.values()]
    assert len(told) == 6
    assert all(told)
    assert study.seeds == (0, 1, 2)


def test_the_families_have_equal_numbers_of_parameters() -> None:
    """On digits, within five per cent of the baseline."""
    study = load("families", "digits")
    counts = {variant.name: parameters(variant) for variant in study.variants}
    assert len(counts) == 11
    assert {n: c for n, c in counts.items() if abs(c / counts["baseline"] - 1) > 0.05} == {}


@pytest.mark.parametrize(
    ("name", "variant", "preset"),
    [
        ("ceit", "baseline", "CeiT-T"),
        ("ceit", "deit", "DeiT-Ti/16"),
        ("vit-to-ceit", "6-simplevit", "SimpleViT-S/16"),
        ("vit-to-ceit", "9-deit", "DeiT-S/16"),
        ("vit-to-ceit", "12-ceit", "CeiT-S"),
        ("deepvit", "depth=32,attention=re_attention", "DeepViT-32"),
        ("mixers", "baseline", "ResMLP-S12"),
        ("deit", "baseline", "DeiT-B/16"),
        ("deit", "distillation=untaught_token", "DeiT-B/16-distilled"),
        ("families", "family=cswin", "CSWin-T"),
        ("families", "family=pvt", "PVT-Small"),
    ],
)
def test_variants_are_the_papers_models(name: str, variant: str, preset: str) -> None:
    """At ImageNet's size a Variant that is named after a model is that preset, but for how it is trained."""
    profile = next(p for n, p in PROFILES if n == name and p.startswith("imagenet"))
    found = next(v for v in load(name, profile).variants if v.name == variant)
    trained = {"dropout", "stochastic_depth", "stochastic_depth_rule"} | ({"init"} if name == "vit-to-ceit" else set())
    expected = {k: v for k, v in spelled_out(preset).items() if k not in trained}
    if preset == "SimpleViT-S/16":  # the ladder has the exact GELU on every rung, and says so
        expected["feed_forward"] = {**expected["feed_forward"], "activation": "gelu"}
    assert {k: v for k, v in found.recipe["model"].items() if k in expected} == expected


def test_every_study_of_the_mission_is_there() -> None:
    """One file a paper, the families side by side, and the ladder."""
    names = {path.stem for path in STUDIES.glob("*.yaml")}
    assert names >= {"simplevit", "vit", "deit", "ceit", "deepvit", "mixers", "families", "vit-to-ceit", "mlp-mixer"}
