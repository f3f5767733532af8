"""A small study on digits whose Levels the tests choose, and modules of the user's own beside it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ablate.check import Finding, compare
from ablate.check.comparison import needs_exact
from ablate.recipe import Recipe
from ablate.study.load import load_study
from ablate.study.overrides import apply, differences
from ablate.study.study import Study
from ablate.training.probe import Probe, probe

BASE: dict[str, Any] = {
    "model": {
        "dim": 16,
        "depth": 2,
        "stem": {"name": "patches", "patch_size": 2},
        "position": "sincos2d",
        "position_covers": "patches",
        "mixer": {"name": "self_attention", "heads": 2},
        "feed_forward": {"name": "mlp", "ratio": 2.0},
        "norm": "layer_norm",
        "final_norm": "before_pooling",
        "readout": "gap",
        "head": "linear",
        "dropout": 0.0,
        "init": "truncated_normal",
    },
    "data": {
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
    },
    "augment": {
        "crop": "off",
        "flip": False,
        "randaug": {"layers": 1, "level": 5.0, "probability": 1.0},
        "mixup": {"alpha": 0.2, "draw": "image"},
    },
    "optimizer": {
        "name": "adamw",
        "learning_rate": 3e-3,
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-8,
        "weight_decay": 0.1,
        "decay": "kernels",
        "clip_norm": 1.0,
    },
    "schedule": {"epochs": 3, "batch_size": 64, "warmup_steps": 5, "warmup_epochs": None, "decay": "cosine"},
    "precision": "float32",
}

Overrides = Mapping[str, Any]


class Pair:
    """A base Recipe, one that differs from it by overrides, and the probes of both."""

    def __init__(self, overrides: Overrides, base: Overrides) -> None:
        recipe = Recipe.model_validate(apply(Recipe.model_validate(BASE).resolved(), base, parts=True))
        other = Recipe.model_validate(apply(recipe.resolved(), overrides, parts=True))
        self.changes = differences(recipe.resolved(), other.resolved())
        self._recipes = recipe, other
        self.baseline, self.variant = probe(recipe), probe(other)

    def finding(self, baseline: Probe | None = None, variant: Probe | None = None) -> Finding:
        """What `ablate check` finds; a probe given stands in for its side."""
        one, other = baseline or self.baseline, variant or self.variant
        exact = None
        if needs_exact(one, other, self.changes):
            exact = (probe(self._recipes[0], double=True), probe(self._recipes[1], double=True))
        return compare(one, other, self.changes, exact)


def make_pair(overrides: Overrides, base: Overrides | None = None) -> Pair:
    """A `Pair`; dotted fields as in a study."""
    return Pair(overrides, base or {})


@pytest.fixture(name="make_pair", scope="session")
def _make_pair() -> Callable[..., Pair]:
    return make_pair


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Write a module of the user's own, under a name that no other test uses, where a study finds it."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])

    def write(name: str, source: str) -> None:
        monkeypatch.delitem(sys.modules, name, raising=False)
        tmp_path.joinpath(f"{name}.py").write_text(source, encoding="utf-8")

    return write


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Study]:
    """Load a study of these Factors (name -> Level -> overrides); other sections of the file by keyword."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def load(factors: Mapping[str, Mapping[str, Overrides]], *, only: tuple[str, ...] = (), **sections: Any) -> Study:
        written = {name: {"reference": "base", "levels": levels} for name, levels in factors.items()}
        document = {
            "study": "checked",
            "question": "Does each do what it says?",
            "metric": {"name": "top1", "direction": "maximize"},
            "seeds": [0],
            "base": BASE,
            "factors": written,
            **sections,
        }
        path = tmp_path / "study.yaml"
        path.write_text(json.dumps(document), encoding="utf-8")  # JSON is YAML
        return load_study(path, only=only)

    return load
