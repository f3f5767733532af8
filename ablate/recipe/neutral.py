"""What a Trial's identity takes of a Recipe: everything that decides the training, and nothing that is switched off."""

from __future__ import annotations

import typing
from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ablate.recipe.recipe import Recipe
from ablate.recipe.section import JUDGING, NEUTRAL, Section


def decisive(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """A resolved Recipe without its `NEUTRAL` fields where they do nothing, and without those that only judge.

    Two Recipes that mean one training therefore stay one when a later version adds a field to both.
    """
    return _decisive(resolved, (Recipe,))


def decisive_at(at: Sequence[str], value: Any) -> Any:
    """The value of the field at these keys as `decisive` keeps it; of a field that no Recipe has, the value itself."""
    kinds: tuple[type[Section], ...] = (Recipe,)
    for key in at:
        kinds = tuple(s for kind in kinds if key in kind.model_fields for s in _sections(kind.model_fields[key]))
    return _decisive(value, kinds) if kinds and isinstance(value, Mapping) else value


def _decisive(tree: Mapping[str, Any], kinds: tuple[type[Section], ...]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in tree.items():
        fields = [kind.model_fields[key] for kind in kinds if key in kind.model_fields]
        if any(JUDGING in field.metadata or _does_nothing(field, value) for field in fields):
            continue
        inner = tuple(section for field in fields for section in _sections(field))
        kept[key] = _decisive(value, inner) if inner and isinstance(value, Mapping) else value
    return kept


def _does_nothing(field: FieldInfo, value: Any) -> bool:
    if NEUTRAL not in field.metadata:
        return False
    default = field.get_default(call_default_factory=False)
    return bool(value == (default.model_dump(mode="json") if isinstance(default, BaseModel) else default))


def _sections(field: FieldInfo) -> tuple[type[Section], ...]:
    return _found_once(typing.cast(Hashable, field.annotation))


@cache
def _found_once(annotation: Hashable) -> tuple[type[Section], ...]:
    return tuple(_found(annotation))


def _found(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _found(argument)
