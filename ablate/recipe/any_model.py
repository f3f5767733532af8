"""A model as a Recipe holds it: a point of the space, or a whole model by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Tag

from ablate.parts import MODELS, PartError
from ablate.presets import PRESETS, preset
from ablate.recipe.model import Model
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
