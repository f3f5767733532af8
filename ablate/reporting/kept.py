"""What a report may ask for beside Records: files kept with Trials, pictures of the data, the cost of a model, and
Trials that are not its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ablate.study.study import ResolvedRecipe, Trial


class ModelCost(NamedTuple):
    """What a model costs before anything is trained."""

    parameters: float
    """Trainable ones."""
    flops: float
    """Of one image's forward pass, two to a multiply-add."""


def _no_file(_trial_id: str, _name: str) -> Path | None:
    return None


def _no_pictures(_recipe: ResolvedRecipe, _indices: Sequence[int]) -> list[bytes] | None:
    return None


def _no_cost(_recipe: ResolvedRecipe) -> ModelCost | None:
    return None


def _no_names(_recipe: ResolvedRecipe) -> list[str] | None:
    return None


def _no_trials() -> tuple[Trial, ...]:
    return ()


@dataclass(frozen=True)
class Kept:
    """Questions that a report may ask; the answers of the default are that there is nothing."""

    artifact: Callable[[str, str], Path | None] = _no_file
    """Trial id and name of a file -> where it lies, None where it is not here."""
    pictures: Callable[[ResolvedRecipe, Sequence[int]], list[bytes] | None] = _no_pictures
    """A Recipe and places of held-out images in its source -> a PNG for each; None where they are not here."""
    cost: Callable[[ResolvedRecipe], ModelCost | None] = _no_cost
    """Of a Recipe's model; None where it cannot be told."""
    beyond: Callable[[], tuple[Trial, ...]] = _no_trials
    """Finished Trials that other results would have asked a growing study for, and that these do not."""
    class_names: Callable[[ResolvedRecipe], list[str] | None] = _no_names
    """Of a Recipe's data, in the order of their labels; None where they have none, or are not here."""
