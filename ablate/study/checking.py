"""Pydantic's findings as Problems of a study: where, what is allowed, what was probably meant."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ablate.parts import PartError
from ablate.recipe import CHECKPOINT_PATTERN, SOURCE_PATTERN
from ablate.study.spec import NAME_PATTERN, TRAINABLE_PATTERN
from ablate.wording import EXPECTED, listing, nearest, shown

Keys = tuple[str | int, ...]
_PATTERNS = {
    NAME_PATTERN: "one word without any of = , / \\ * ? [ ] : and not beginning with a dot",
    TRAINABLE_PATTERN: "like 'module:function'",
    SOURCE_PATTERN: "'digits', 'mnist5k', 'imagefolder:PATH', 'imagenet:PATH', 'cifar10:PATH', 'cifar100:PATH', "
    "'hfds/NAME', 'wds/PATH' or 'tfds/NAME'",
    CHECKPOINT_PATTERN: "'study:NAME', 'trial:ID', 'file:PATH' or 'timm'",
}


def findings(error: ValidationError, model: type[BaseModel], tree: Mapping[str, Any]) -> list[tuple[str, Keys]]:
    """Each mistake once, as (message, keys in the tree), in pydantic's order.

    A value that fits no member of a union is one mistake, not one for each member; a required key that is
    misspelt is told as misspelt and not as missing too.
    """
    found: dict[Keys, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        keys = _real_keys(detail, tree)
        found.setdefault(keys, []).append(detail)
    deepest = [k for k in found if not any(other[: len(k)] == k and other != k for other in found)]
    messages = [(_message(found[keys], keys, model, tree), keys) for keys in deepest]
    meant = {(*keys[:-1], m.rpartition("did you mean ")[2].strip("'?")) for m, keys in messages if "did you mean" in m}
    return [(m, keys) for m, keys in messages if not (keys in meant and found[keys][0]["type"] == "missing")]


def _real_keys(detail: ErrorDetails, tree: Any) -> Keys:
    """The error's location without the names of union members that pydantic puts between the keys."""
    keys: list[str | int] = []
    node = tree
    for key in detail["loc"]:
        in_mapping = isinstance(node, Mapping) and key in node
        in_list = isinstance(node, list) and isinstance(key, int) and key < len(node)
        if in_mapping or in_list:
            node = node[key]
            keys.append(key)
    if detail["type"] == "missing":
        keys.append(detail["loc"][-1])
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, PartError) and cause.option is not None:
        keys.append(cause.option)
    return tuple(keys)


def _message(details: list[ErrorDetails], keys: Keys, model: type[BaseModel], tree: Mapping[str, Any]) -> str:
    detail = details[0]
    field = ".".join(map(str, keys))
    name, owner = (str(keys[-1]), ".".join(map(str, keys[:-1]))) if keys else ("", "")
    inside = f" in {owner!r}" if owner else ""
    if detail["type"] == "missing":
        return f"{name!r} is missing{inside}"
    if detail["type"] == "extra_forbidden":
        section = section_at(model, keys[:-1])
        allowed = list(section.model_fields) if section else []
        return f"unknown key {name!r}{inside}; {listing(allowed)}{nearest(name, allowed)}"
    if detail["type"] in {"value_error", "assertion_error"}:
        cause = detail["ctx"]["error"]
        return str(cause) if isinstance(cause, PartError) or not field else f"{field}: {cause}"
    if "[key]" in detail["loc"]:
        return f"{name!r} {_expectation(detail).replace('must be', 'cannot be a name here; it must be')}"
    expected = " or ".join(dict.fromkeys(_expectation(d).removeprefix("must be ") for d in details))
    expected = expected if expected.startswith("must") else f"must be {expected}"
    given = _value_at(tree, keys)
    hint = nearest(given, re.findall(r"'([^']+)'", expected)) if isinstance(given, str) else ""
    return f"{field}: {expected}, not {shown(given)}{hint}"


def _expectation(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in EXPECTED:
        return f"must be {EXPECTED[kind]}"
    if kind == "literal_error":
        return f"must be {context['expected']}"
    if kind == "string_pattern_mismatch":
        return f"must be {_PATTERNS[context['pattern']]}"
    if kind == "too_short":
        what = "list" if context["field_type"] in ("List", "Tuple") else "mapping"
        return f"must be a {what} with at least {context['min_length']} entry"
    return detail["msg"].replace("Input should be ", "must be ").replace("a valid ", "")


def _value_at(tree: Any, keys: Keys) -> Any:
    for key in keys:
        tree = tree[key]
    return tree


def section_at(model: type[BaseModel], keys: Keys) -> type[BaseModel] | None:
    """The pydantic model of the mapping that stands at ``keys``, or None where that is no model's."""
    found: Any = model
    for key in keys:
        if _is_model(found):
            field = found.model_fields.get(str(key))
            if field is None:
                return None
            found = _container(field.annotation)
        elif typing.get_origin(found) in (dict, list):
            found = _container(typing.get_args(found)[-1])
        else:
            return None
    return found if _is_model(found) else None


def _container(annotation: Any) -> Any:
    """The member of a union that has fields or items of its own; annotations' metadata is taken off."""
    if typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        members = [_container(member) for member in typing.get_args(annotation)]
        return next((m for m in members if _is_model(m) or typing.get_origin(m) in (dict, list)), None)
    return annotation


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
