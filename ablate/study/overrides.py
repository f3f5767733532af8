"""Overrides: a set of dotted fields and their values, applied to a Recipe's nested dict, strictly.

A field must exist; a mapping given for a mapping changes the keys it names; a part of the model that is
given by name is replaced with all its options. Nothing is created, so a misspelt field cannot pass.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from ablate.parts import KINDS, PartError, options_of, target_of
from ablate.recipe.neutral import decisive_at
from ablate.recipe.whole import TIMM
from ablate.wording import listing, nearest, shown

Tree = dict[str, Any]


class OverrideError(ValueError):
    """An override that cannot be applied; `field` is its dotted name."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(message)


def apply(tree: Mapping[str, Any], overrides: Mapping[str, Any], *, parts: bool, at: tuple[str, ...] = ()) -> Tree:
    """A copy of ``tree`` with the overrides applied in order; ``parts`` says whether it is a vision Recipe.

    ``at`` is where the tree itself stands in the Recipe. Raises `OverrideError` for a field that does not exist.
    """
    result = copy.deepcopy(dict(tree))
    for field, given in overrides.items():
        *owners, last = field.split(".")
        value = given
        if parts and last in ("name", "preset") and _is_named((*at, *owners), last):
            # The name alone says the whole part, whose options are not those of the one before.
            value, last = {last: given}, owners.pop()
        parent: Any = result
        here = at
        for key in owners:
            parent = _field(parent, key, here)
            here = (*here, key)
        old = _field(parent, last, here)
        here = (*here, last)
        if isinstance(old, Mapping) and isinstance(value, Mapping) and not _is_whole(value, here, parts):
            parent[last] = apply(old, value, parts=parts, at=here)
        else:
            parent[last] = copy.deepcopy(value)
    return result


def _field(parent: Any, key: str, at: tuple[str, ...]) -> Any:
    """The value of a field that must exist."""
    field, owner = ".".join((*at, key)), ".".join(at)
    if not isinstance(parent, Mapping):
        raise OverrideError(field, f"{owner!r} is {shown(parent)} here and has no field {key!r}; give it whole")
    if key in parent:
        return parent[key]
    if at == ("model",) and str(parent.get("name")).startswith(TIMM):
        return None  # a model of timm has more options than those that were given: they are checked afterwards
    where = f"in {owner!r}" if owner else "at the top of the Recipe"
    hint = nearest(key, parent)
    # The name may be right and only its section missing: `epochs` for `schedule.epochs`.
    homes = [] if at else [f for f, _ in leaves(parent) if f.rpartition(".")[2] == key]
    hint = f"; did you mean {homes[0]!r}?" if homes else hint
    raise OverrideError(field, f"there is no field {key!r} {where}; {listing(parent)}{hint}")


def _is_part(at: tuple[str, ...]) -> bool:
    return len(at) == 2 and at[0] == "model" and at[1] in KINDS


def _is_named(at: tuple[str, ...], key: str) -> bool:
    """Whether this key says by itself which part, or which model, stands at ``at``."""
    return (key == "name" and _is_part(at)) or (key in ("name", "preset") and at == ("model",))


def _is_whole(value: Mapping[str, Any], at: tuple[str, ...], parts: bool) -> bool:
    """Whether a mapping replaces what was there: a part by its name, or a model by its name or preset."""
    if not parts:
        return False
    return (_is_part(at) and "name" in value) or (at == ("model",) and ("name" in value or "preset" in value))


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a nested mapping as (dotted field, value); an empty mapping is a leaf."""
    for key, value in tree.items():
        field = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{field}.")
        else:
            yield field, value


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Dotted field -> (value before, value after), for every field that differs.

    What was replaced as a whole is told as a whole: a part of the model as one would write it, a switched-off
    section by its mapping and ``"off"``. A field that one side lacks is `MISSING` there.
    """
    return dict(_differences(before, after, ()))


#: Stands for the value of a field that a Recipe does not have.
MISSING = "–"


def _differences(
    before: Mapping[str, Any], after: Mapping[str, Any], at: tuple[str, ...]
) -> Iterator[tuple[str, tuple[Any, Any]]]:
    for key in [*before, *(k for k in after if k not in before)]:
        old, new = before.get(key, MISSING), after.get(key, MISSING)
        here = (*at, key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            if here == ("model",) and old.get("name") != new.get("name"):
                yield "model", (_short_model(old), _short_model(new))
            elif _is_part(here) and old.get("name") != new.get("name"):
                yield ".".join(here), (shortest_form(key, old), shortest_form(key, new))
            else:
                yield from _differences(old, new, here)
        elif type(old) is not type(new) or old != new:
            yield ".".join(here), (decisive_at(here, old), decisive_at(here, new))


def shortest_form(kind: str, part: Mapping[str, Any]) -> Any:
    """A part in the shortest form that a study could give it: its name, and the options that are not its defaults."""
    try:
        defaults = options_of(target_of(kind, part["name"]))
    except (PartError, KeyError):  # not of the vision trainer's catalogue
        return dict(part)
    own = {k: v for k, v in part.items() if k != "name" and (k not in defaults or v != defaults[k].default)}
    return {"name": part["name"], **own} if own else part["name"]


def _short_model(model: Mapping[str, Any]) -> Any:
    """A model with its parts in their shortest forms; one whose name is all that was said is its name."""
    if "name" in model:
        return model["name"] if len(model) == 1 else dict(model)
    return {key: shortest_form(key, value) if key in KINDS else value for key, value in model.items()}


def settings(overrides: Mapping[str, Any], *, parts: bool, at: tuple[str, ...] = ()) -> list[tuple[str, Any]]:
    """What a set of overrides sets, field by field: nested or dotted, each way of writing gives the same list."""
    found: list[tuple[str, Any]] = []
    for key, value in overrides.items():
        here = (*at, *key.split("."))
        if parts and _is_named(here[:-1], here[-1]):
            found.append((".".join(here[:-1]), value))
        elif isinstance(value, Mapping) and value and not _is_whole(value, here, parts):
            found += settings(value, parts=parts, at=here)
        else:
            found.append((".".join(here), value))
    return found


def overlap(first: str, second: str) -> bool:
    """Whether two dotted fields are the same, or one contains the other."""
    return first == second or first.startswith(f"{second}.") or second.startswith(f"{first}.")


def leaves(overrides: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every leaf as (dotted field, keys that lead to it): keys may themselves be dotted."""
    for key, value in overrides.items():
        yield key, (key,)
        if isinstance(value, Mapping):
            for field, keys in leaves(value):
                yield f"{key}.{field}", (key, *keys)
