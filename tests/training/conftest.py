"""A Recipe that trains in a second, and a report that only writes down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from ablate.recipe import Recipe

#: A small transformer on scikit-learn's digits: 21 updates an epoch. Every random stream is in use.
SMALL: dict[str, Any] = {
    "model": {
        "dim": 16,
        "depth": 1,
        "stem": {"name": "patches", "patch_size": 2},
        "position": "sincos2d",
        "position_covers": "patches",
        "mixer": {"name": "self_attention", "heads": 2},
        "feed_forward": {"name": "mlp", "ratio": 2.0},
        "norm": "layer_norm",
        "final_norm": "before_pooling",
        "readout": "gap",
        "head": "linear",
        "dropout": 0.1,
        "init": "jax",
    },
    "data": {
        "source": "digits",
        "image_size": 8,
        "channels": 1,
        "classes": 10,
        "mean": 0.5,
        "std": 0.5,
        "test_fraction": 0.25,
        "val_fraction": 0.0,
        "split_seed": 0,
        "evaluate_on": "test",
        "eval_resize": 8,
    },
    "augment": {
        "crop": {"min_area": 0.5, "min_aspect": 1 / 1.2, "max_aspect": 1.2},
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
    "schedule": {
        "epochs": 3,
        "batch_size": 64,
        "warmup_steps": 5,
        "warmup_epochs": None,
        "decay": "cosine",
    },
    "precision": "float32",
}


def small_recipe(**overrides: Any) -> Recipe:
    """`SMALL` with overrides by dotted field, dots written as two underscores: ``schedule__epochs=2``."""
    tree: dict[str, Any] = {k: dict(v) if isinstance(v, dict) else v for k, v in SMALL.items()}
    for field, value in overrides.items():
        section, _, name = field.partition("__")
        if name:
            tree[section][name] = value
        else:
            tree[section] = value
    return Recipe.model_validate(tree)


@pytest.fixture(scope="session")
def make_recipe() -> Callable[..., Recipe]:
    """`small_recipe`, for tests that override fields."""
    return small_recipe


@pytest.fixture
def recipe() -> Recipe:
    """The small Recipe as it is."""
    return small_recipe()


class Journal:
    """A `Report` that keeps rows, and asks to stop after it was asked a number of times whether it does."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.rows: dict[int, dict[str, float]] = {}
        self.asked = 0
        self.stop_after = stop_after

    @property
    def stop_requested(self) -> bool:
        self.asked += 1
        return self.stop_after is not None and self.asked > self.stop_after

    def __call__(self, step: int, metrics: Mapping[str, float]) -> None:
        self.rows[step] = dict(metrics)

    def timeless(self) -> dict[int, dict[str, float]]:
        """The rows without what depends on the machine."""
        from ablate.training.vision import TIMING_METRICS

        return {s: {k: v for k, v in row.items() if k not in TIMING_METRICS} for s, row in self.rows.items()}


@pytest.fixture
def make_journal() -> Callable[..., Journal]:
    """`Journal`."""
    return Journal


@pytest.fixture
def journal() -> Journal:
    """A report that never asks to stop."""
    return Journal()
