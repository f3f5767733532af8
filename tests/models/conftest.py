"""Small models for the tests of `ablate.models`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from ablate.models.build import build
from ablate.models.init import initialise
from ablate.models.vision_transformer import VisionTransformer
from ablate.recipe import Data, Model


def model_recipe(**changes: Any) -> Model:
    """A Recipe's model section, small: 16 tokens of 32, 2 blocks, on images of 8 x 8."""
    fields: dict[str, Any] = {
        "dim": 32,
        "depth": 2,
        "stem": {"name": "patches", "patch_size": 2},
        "position": "sincos2d",
        "position_covers": "patches",
        "mixer": {"name": "self_attention", "heads": 4},
        "feed_forward": {"name": "mlp", "ratio": 2.0},
        "norm": "layer_norm",
        "final_norm": "before_pooling",
        "readout": "gap",
        "head": "linear",
        "dropout": 0.0,
        "init": "jax",
    }
    return Model(**(fields | changes))


def data_recipe(**changes: Any) -> Data:
    """A Recipe's data section: 8 x 8 images, one channel, 10 classes."""
    fields: dict[str, Any] = {
        "source": "digits",
        "image_size": 8,
        "channels": 1,
        "classes": 10,
        "mean": 0.5,
        "std": 0.5,
        "test_fraction": 0.2,
        "val_fraction": 0.1,
        "split_seed": 0,
        "evaluate_on": "val",
        "eval_resize": 8,
    }
    return Data(**(fields | changes))


def built(data: Data | None = None, seed: int = 0, **changes: Any) -> VisionTransformer:
    """The model of `model_recipe` with first values drawn."""
    recipe = model_recipe(**changes)
    model = build(recipe, data or data_recipe())
    initialise(model, recipe.init, seed)
    return model


def scrambled(data: Data | None = None, **changes: Any) -> VisionTransformer:
    """The same in float64 and eval mode, with every parameter moved off zero, one and its neighbours."""
    model = built(data, **changes).double().eval()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return model


@pytest.fixture(name="model_recipe")
def _model_recipe() -> Callable[..., Model]:
    return model_recipe


@pytest.fixture(name="data_recipe")
def _data_recipe() -> Callable[..., Data]:
    return data_recipe


@pytest.fixture(name="built")
def _built() -> Callable[..., VisionTransformer]:
    return built


@pytest.fixture(name="scrambled")
def _scrambled() -> Callable[..., VisionTransformer]:
    return scrambled


@pytest.fixture
def images() -> torch.Tensor:
    """Three images of 8 x 8, one channel, float64."""
    return torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
