"""The engine's numbers, pinned: who changes them must tell the store so, by another ENGINE_REVISION."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ablate.recipe import Recipe
from ablate.study.identity import ENGINE_REVISION
from ablate.training.vision import train

#: The revision that made the numbers, and for each of two epochs the loss in training and on held-out images.
GOLDEN_REVISION = "2"
GOLDEN = {1: (2.300163, 2.272145), 2: (2.277547, 2.204747)}


def test_the_engine_computes_what_its_revision_says(
    make_recipe: Callable[..., Recipe], journal: Any, tmp_path: Path
) -> None:
    """Two epochs with every augmentation, dropout, clipping and decay give the pinned losses, to a relative 1e-4.

    Other thread counts and vector units round otherwise; over these 42 updates that adds up to less than 1e-7.
    """
    recipe = make_recipe(
        model__readout="cls",
        model__position="learned",
        model__head="mlp",
        optimizer__learning_rate=1e-2,
        schedule__epochs=2,
    )
    train(recipe, 0, journal, tmp_path)
    losses = {epoch: (row["train_loss"], row["loss"]) for epoch, row in journal.rows.items()}
    message = "the engine changed: bump ENGINE_REVISION, and write the new numbers and revision into this test"
    for epoch, expected in GOLDEN.items():
        assert losses[epoch] == pytest.approx(expected, rel=1e-4), message
    assert ENGINE_REVISION == GOLDEN_REVISION, message
