"""A part of the model, as a study writes it and as a Recipe holds it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
)
from pydantic.json_schema import WithJsonSchema

from ablate.parts import KINDS, Option, PartError, options_of, target_of
from ablate.wording import EXPECTED, listing, nearest, shown


class Part(BaseModel):
    """A part of the model by name, with every option it has: in YAML ``sincos2d``, or ``{name: sincos2d, ...}``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    options: dict[str, Any]

    def __hash__(self) -> int:
        return hash((self.name, json.dumps(self.options, sort_keys=True)))


_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}


def resolve_part(kind: str, value: Any) -> Part:
    """Check a part of ``kind`` as a study wrote it, and fill in the defaults of its options.

    Raises `PartError` (a ValueError) with the names allowed and the nearest one.
    """
    if isinstance(value, Part):
        return value
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        got = "a mapping without a name" if isinstance(value, Mapping) else shown(value)
        raise PartError(f"a {kind} must be a name, or a mapping with a name and its options, not {got}")
    name, given = value["name"], {k: v for k, v in value.items() if k != "name"}
    return Part(name=name, options=resolve_options(kind, name, given, options_of(target_of(kind, name))))


def resolve_options(
    kind: str, name: str, given: Mapping[str, Any], options: Mapping[str, Option], *, fill: bool = True
) -> dict[str, Any]:
    """Check options as a study wrote them; with ``fill``, those that it leaves out get their defaults.

    Raises `PartError` for an option that does not exist, is missing or has a value of the wrong type.
    """
    for key in given:
        if key not in options:
            message = f"{kind} {name!r} has no option {key!r}; {listing(options)}{nearest(key, options)}"
            raise PartError(message, key)
    resolved = {}
    for key, option in options.items():
        if key not in given and option.required:
            raise PartError(f"{kind} {name!r} needs the option {key!r}: {{name: {name}, {key}: ...}}")
        if key in given or fill:
            resolved[key] = _checked_value(kind, name, option, given.get(key, option.default))
    return resolved


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    """The check of a type: made once, for a large study asks thousands of times."""
    try:
        if annotation not in _ADAPTERS:
            _ADAPTERS[annotation] = TypeAdapter(annotation)
        return _ADAPTERS[annotation]
    except TypeError:  # no hash: a Literal of lists, say
        return TypeAdapter(annotation)


def _checked_value(kind: str, name: str, option: Option, chosen: Any) -> Any:
    try:
        return _adapter(option.annotation).validate_python(chosen, strict=True)
    except ValidationError as error:
        found = [EXPECTED.get(e["type"], e["msg"].removeprefix("Input should be ")) for e in error.errors()]
        expected = " or ".join(dict.fromkeys(found))
        message = f"option {option.name!r} of {kind} {name!r} must be {expected}, not {shown(chosen)}"
        raise PartError(message, option.name) from None
    except PydanticUserError as error:
        what = f"option {option.name!r} of {name!r}"
        raise PartError(f"{what} has a type that cannot be checked: {error.message}") from None


def _check_part(value: Any, info: ValidationInfo) -> Part:
    assert info.field_name is not None
    return resolve_part(info.field_name, value)


def _part_schema(kind: str) -> dict[str, Any]:
    own = {"type": "string", "pattern": "^[A-Za-z_][\\w.]*:[A-Za-z_]\\w*$"}
    name = {"anyOf": [{"enum": list(KINDS[kind])}, own]}
    return {"anyOf": [name, {"type": "object", "properties": {"name": name}, "additionalProperties": True}]}


def _flatten_part(part: Part) -> dict[str, Any]:
    return {"name": part.name, **part.options}


_CHECK = BeforeValidator(_check_part)
_DUMP = PlainSerializer(_flatten_part, return_type=dict[str, Any])
Stem = Annotated[Part, _CHECK, _DUMP, WithJsonSchema(_part_schema("stem"))]
Position = Annotated[Part, _CHECK, _DUMP, WithJsonSchema(_part_schema("position"))]
Mixer = Annotated[Part, _CHECK, _DUMP, WithJsonSchema(_part_schema("mixer"))]
FeedForward = Annotated[Part, _CHECK, _DUMP, WithJsonSchema(_part_schema("feed_forward"))]
Norm = Annotated[Part, _CHECK, _DUMP, WithJsonSchema(_part_schema("norm"))]
Readout = Annotated[Part, _CHECK, _DUMP, WithJsonSchema(_part_schema("readout"))]
Head = Annotated[Part, _CHECK, _DUMP, WithJsonSchema(_part_schema("head"))]
