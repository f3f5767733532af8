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
from ablate.study.names import NAME_PATTERN
from ablate.study.spec import TRAINABLE_PATTERN
from ablate.wording import EXPECTED, listing, nearest, shown

Keys = tuple[str | int, ...]
_PATTERNS = {
    NAME_PATTERN: "one word without any of = , / \\ * ? [ ] : and not beginning with a dot",
    TRAINABLE_PATTERN: "like 'module:function'",
    SOURCE_PATTERN: "'digits', 'mnist5k', 'imagefolder:PATH', 'imagenet:PATH', 'cifar10:PATH', 'cifar100:PATH', "
    "'hfds/NAME', 'wds/PATH' or 'tfds/NAME'",
    CHECKPOINT_PATTERN: "'study:NAME', 'trial:ID', 'file:PATH' or 'timm'",
}
_RULES = ("value_error", "assertion_error")


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
    # What breaks a rule has the right form: the other members of a union say nothing then.
    detail = next((d for d in details if d["type"] in _RULES), details[0])
    field = ".".join(map(str, keys))
    name, owner = (str(keys[-1]), ".".join(map(str, keys[:-1]))) if keys else ("", "")
    inside = f" in {owner!r}" if owner else ""
    if detail["type"] == "missing":
        return f"{name!r} is missing{inside}"
    if detail["type"] == "extra_forbidden":
        section = section_at(model, keys[:-1])
        allowed = list(section.model_fields) if section else []
        return f"unknown key {name!r}{inside}; {listing(allowed)}{nearest(name, allowed)}"
    if detail["type"] in _RULES:
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
        return f"must be {context['expected'].replace('True', 'true')}"
    if kind == "string_pattern_mismatch":
        return f"must be {_PATTERNS[context['pattern']]}"
    if kind == "too_short":
        what = "list" if context["field_type"] in ("List", "Tuple") else "mapping"
        least = context["min_length"]
        return f"must be a {what} with at least {least} {'entry' if least == 1 else 'entries'}"
    return detail["msg"].replace("Input should be ", "must be ").replace("a valid ", "")


def _value_at(tree: Any, keys: Keys) -> Any:
    for key in keys:
        tree = tree[key]
    return tree


def section_at(model: type[BaseModel], keys: Keys) -> type[BaseModel] | None:
    """The pydantic model of the mapping that stands at ``keys``, or None where that is no model's."""
    found: list[Any] = [model]
    for key in keys:
        found = [inner for annotation in found for inner in _inside(annotation, key)]
    return next((annotation for annotation in found if _is_model(annotation)), None)


def _inside(annotation: Any, key: str | int) -> list[Any]:
    """What may stand at a key of a mapping, or at an index of a list; nothing where there is no such key."""
    if _is_model(annotation):
        field = annotation.model_fields.get(str(key))
        return _members(field.annotation) if field is not None else []
    if typing.get_origin(annotation) is (list if isinstance(key, int) else dict):
        return _members(typing.get_args(annotation)[-1])
    return []


def _members(annotation: Any) -> list[Any]:
    """The members of a union, or what is none alone; annotations' metadata is taken off."""
    if typing.get_origin(annotation) is typing.Annotated:
        return _members(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [inner for member in typing.get_args(annotation) for inner in _members(member)]
    return [annotation]


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
