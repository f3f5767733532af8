"""A whole model by its name: one of timm's, one of our own beside the space, or a class of the user's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, model_serializer

from ablate.parts import MODELS, PartError, options_of
from ablate.recipe.part import resolve_options
from ablate.timm_source import DECIDED_ELSEWHERE, keyword_arguments, model_names
from ablate.wording import listing, nearest, shown

TIMM = "timm/"


class WholeModel(BaseModel):
    """A model that is no point of the space: ``{name: timm/swin_tiny_patch4_window7_224, embed_dim: 48}``.

    Its options are its constructor's. Those of a model of timm are as the study gives them: what it leaves out is
    settled by timm, whose version is part of the Trial's identity.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    options: dict[str, Any]

    def __hash__(self) -> int:
        return hash((self.name, json.dumps(self.options, sort_keys=True)))

    @model_serializer
    def _flat(self) -> dict[str, Any]:
        return {"name": self.name, **self.options}

    @property
    def timm_name(self) -> str | None:
        """Its name at timm, or None for a model that is not timm's."""
        return self.name.removeprefix(TIMM) if self.name.startswith(TIMM) else None


def resolve_whole(value: Any) -> WholeModel:
    """Check a whole model as a study wrote it, and fill in the options that are known.

    Raises `PartError` (a ValueError) with the names allowed and the nearest one.
    """
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        raise PartError(f"a whole model must be a name, or a mapping with a name and its options, not {shown(value)}")
    name, given = value["name"], {k: v for k, v in value.items() if k != "name"}
    if name.startswith(TIMM):
        return WholeModel(name=name, options=_timm_options(name, given))
    options = options_of(model_target(name))
    return WholeModel(name=name, options=resolve_options("model", name, given, options))


def model_target(name: str) -> str:
    """The ``"module:Class"`` behind the name of a whole model that is not timm's. Raises `PartError`."""
    if name in MODELS:
        return MODELS[name]
    if ":" in name:
        return name
    choices = f"{listing(MODELS)}, one of timm's as 'timm/NAME', or a class of your own as 'module:Class'"
    raise PartError(f"there is no whole model named {name!r}; {choices}{nearest(name, MODELS)}", "name")


def _timm_options(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    known = model_names()
    own = name.removeprefix(TIMM)
    if own not in known:
        raise PartError(f"timm has no model named {own!r}{nearest(own, known)}", "name")
    decided = [key for key in given if key in DECIDED_ELSEWHERE]
    if decided:
        raise PartError(f"model {name!r} takes no option {decided[0]!r} here: the data section decides it", decided[0])
    options = keyword_arguments(own)
    if options is None:  # not told by timm's source: it is checked when the model is built
        return dict(given)
    return resolve_options("model", name, given, options, fill=False)
