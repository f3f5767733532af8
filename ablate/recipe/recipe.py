"""The Recipe: everything that decides the outcome of one training, and nothing else.

A Recipe is frozen, validated and torch-free. No default hides behind it: what a field is not told stands
in the resolved Recipe all the same (`ablate plan --full` prints it), and the Trial's identity is a hash
of the whole. Durations carry their unit in their name. Where a file is, how many workers read it and
which device computes are not here: they do not decide the outcome.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Tag

from ablate.parts import MODELS, PartError
from ablate.presets import PRESETS, preset
from ablate.recipe.augment import Augment
from ablate.recipe.data import Data
from ablate.recipe.model import Model
from ablate.recipe.section import Section
from ablate.recipe.training import Optimizer, Schedule
from ablate.recipe.whole import TIMM, WholeModel, resolve_whole
from ablate.wording import nearest


def _named_model(value: Any) -> Any:
    """A model that is given by its name alone, spelled out."""
    if isinstance(value, str):
        if value in PRESETS:
            return _named_model(preset(value))
        if ":" not in value and not value.startswith(TIMM) and value not in MODELS:
            choices = "`ablate model` lists them, or 'timm/NAME', or a class of your own as 'module:Class'"
            raise PartError(f"there is no preset named {value!r}; {choices}{nearest(value, PRESETS)}")
        value = {"name": value}
    return resolve_whole(value) if isinstance(value, Mapping) and "name" in value else value


def _kind_of_model(value: Any) -> str:
    return "whole" if isinstance(value, WholeModel) else "space"


AnyModel = Annotated[
    Annotated[Model, Tag("space")] | Annotated[WholeModel, Tag("whole")],
    Discriminator(_kind_of_model),
    BeforeValidator(_named_model),
]


class Recipe(Section):
    """Everything that decides the outcome of one training of the built-in vision trainer."""

    model: AnyModel
    """A preset by its name, a model of the space part by part, or a whole model by its name."""
    data: Data
    augment: Augment
    optimizer: Optimizer
    schedule: Schedule
    precision: Literal["float32", "bfloat16"]
    """Of the forward pass (autocast); weights and optimiser stay in float32."""

    def resolved(self) -> dict[str, Any]:
        """Every value as plain JSON types, in a stable order."""
        return self.model_dump(mode="json")
