"""A JSON Schema of study files, made from the same models that check them, for editors to complete and check.

It says what the form of a study says. What needs the study as a whole (a Level that changes nothing, two
Variants with one Recipe, numbers that were published nowhere) only loading can tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter

from ablate.parts import KINDS, MODELS, options_of
from ablate.presets import PRESETS
from ablate.recipe import Model, Part, Recipe, Section
from ablate.recipe.whole import TIMM
from ablate.study.checking import section_at
from ablate.study.names import NAME_PATTERN
from ablate.study.spec import TRAINABLE_PATTERN, StudyFile

Schema = dict[str, Any]
_OWN_CLASS: Schema = {"type": "string", "pattern": TRAINABLE_PATTERN, "description": "A class of your own."}


def json_schema() -> Schema:
    """JSON Schema, draft 2020-12, of a study file.

    With the built-in trainer the base is a `Recipe`, and Levels and profiles name its fields, dotted or nested.
    With a trainable of the user's own the base is any mapping, and so are the overrides.
    """
    schema = StudyFile.model_json_schema()
    recipe = Recipe.model_json_schema()
    defs: dict[str, Schema] = schema.pop("$defs") | recipe.pop("$defs") | {"Recipe": recipe}
    for kind in KINDS:
        described = defs["Model"]["properties"][kind].get("description", "")
        defs["Model"]["properties"][kind] = {"description": described, **_part(kind)}
    defs |= {"WholeModel": _whole_model()}
    defs |= dict(_overrides(Recipe, defs))
    spaces = [{"$ref": "#/$defs/Model"}, {"$ref": "#/$defs/WholeModel"}, _MODEL_NAME, _PRESET]
    defs["Recipe"]["properties"]["model"] = {"description": "The model.", "anyOf": spaces}
    defs["ChangedPreset"] = _changed_preset(defs["OverridesOfModel"])
    defs["LevelOverrides"] = {"$ref": "#/$defs/OverridesOfRecipe", "minProperties": 1}
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Ablation study",
        **_tidied(schema),
        "if": {"required": ["trainable"], "properties": {"trainable": {"type": "string"}}},
        "else": _of_the_vision_trainer(),
        "$defs": _tidied(defs),
    }
    return whole


def _of_the_vision_trainer() -> Schema:
    level = {"$ref": "#/$defs/LevelOverrides"}
    nullable = {"anyOf": [level, {"type": "null"}]}
    teacher = _having(base={"$ref": "#/$defs/OverridesOfRecipe"})
    in_profile = {
        "base": {"$ref": "#/$defs/OverridesOfRecipe"},
        "factors": _each(_having(levels=_each(nullable))),
        "teachers": _each(teacher),
    }
    parts = _having(
        base={"$ref": "#/$defs/Recipe"},
        factors=_each(_having(levels=_each(level))),
        teachers=_each(teacher),
        profiles=_each(_having(**in_profile)),
    )
    return {**parts, "not": {"required": ["revision"], "properties": {"revision": {"type": "string"}}}}


def _having(**properties: Schema) -> Schema:
    return {"properties": properties}


def _each(value: Schema) -> Schema:
    return {"additionalProperties": value}


def _overrides(section: type[Section], defs: dict[str, Schema]) -> Iterator[tuple[str, Schema]]:
    """A definition for the overrides of a section, and of every section in it: no key is required."""
    properties: dict[str, Schema] = {}
    patterns: dict[str, Schema] = {}
    for path, schema, is_part in _fields(section, defs, ""):
        properties[path] = schema
        if is_part:
            patterns[rf"^{re.escape(path)}\.\w+$"] = {"description": f"An option of {path}."}
    made: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    if section is Recipe:  # options of timm's models are not listed: give those as a mapping under `model`
        for target in MODELS.values():
            properties |= {f"model.{name}": {} for name in options_of(target) if f"model.{name}" not in properties}
    if patterns:
        made["patternProperties"] = patterns
    yield f"OverridesOf{section.__name__}", made
    for name in section.model_fields:
        inner = section_at(section, (name,))
        if inner is not None and issubclass(inner, Section):
            yield from _overrides(inner, defs)


def _fields(section: type[Section], defs: dict[str, Schema], prefix: str) -> Iterator[tuple[str, Schema, bool]]:
    """Dotted field, its schema as an override, and whether it is a part, for every field at every depth."""
    for name in section.model_fields:
        path = f"{prefix}{name}"
        own: Schema = defs[section.__name__]["properties"][name]
        inner = section_at(section, (name,))
        if inner is Part:
            loose = {"type": "object", "properties": _all_options(name), "not": {"required": ["name"]}}
            yield path, {**own, "anyOf": [*own["anyOf"], loose]}, True
            names = [{"enum": list(KINDS[name])}, _OWN_CLASS]
            yield f"{path}.name", {"description": own["description"], "anyOf": names}, False
            for option, schema in _all_options(name).items():
                yield f"{path}.{option}", schema, False
        elif inner is not None and issubclass(inner, Section):
            partial = {"$ref": f"#/$defs/OverridesOf{inner.__name__}"}
            others = [member for member in own.get("anyOf", ()) if "$ref" not in member]
            if inner is Model:
                options = {"type": "object", "not": {"anyOf": [{"required": [k]} for k in Model.model_fields]}}
                others = [{"$ref": "#/$defs/WholeModel"}, _MODEL_NAME, _PRESET, options]
            described = {"description": own["description"]} if "description" in own else {}
            yield path, {**described, "anyOf": [partial, *others]} if others else {**described, **partial}, False
            yield from _fields(inner, defs, f"{path}.")
        else:
            yield path, own, False


_MODEL_NAME: Schema = {"anyOf": [{"enum": list(PRESETS)}, {"type": "string", "pattern": f"^{TIMM}"}, _OWN_CLASS]}


_PRESET: Schema = {"$ref": "#/$defs/ChangedPreset"}


def _changed_preset(overrides: Schema) -> Schema:
    """``{preset: ViT-S/16, depth: 6}``: overrides of the preset's fields, and which preset."""
    properties = {"preset": {"enum": list(PRESETS)}, **overrides["properties"]}
    return {**overrides, "properties": properties, "required": ["preset"], "description": "A preset, changed."}


def _whole_model() -> Schema:
    """A whole model by name with its options: ours are checked, those of timm and the user's are free."""
    ours = [
        {**_having(name={"const": name}, **_options(target)), "required": ["name"], **_closed()}
        for name, target in MODELS.items()
    ]
    names = {"anyOf": [{"type": "string", "pattern": f"^{TIMM}"}, _OWN_CLASS]}
    return {"anyOf": [*ours, {**_having(name=names), "required": ["name"], "type": "object"}]}


def _part(kind: str) -> Schema:
    """A part by its name alone, where it needs no option, or with its options; or a class of the user's own."""
    alone: list[str] = []
    whole: list[Schema] = []
    for name, target in KINDS[kind].items():
        options = options_of(target)
        required = [option.name for option in options.values() if option.required]
        if not required:
            alone.append(name)
        properties = {"name": {"const": name}, **_options(target)}
        whole.append({**_having(**properties), "required": ["name", *required], **_closed()})
    own = {**_having(name=_OWN_CLASS), "required": ["name"], "type": "object"}
    return {"anyOf": [*([{"enum": alone}] if alone else []), *whole, _OWN_CLASS, own]}


def _closed() -> Schema:
    return {"type": "object", "additionalProperties": False}


def _options(target: str) -> dict[str, Schema]:
    found = {}
    for name, option in options_of(target).items():
        found[name] = TypeAdapter(option.annotation).json_schema()
        if not option.required:
            found[name]["default"] = option.default
    return found


def _all_options(kind: str) -> dict[str, Schema]:
    """The options of every part of a kind; one that several parts take may be any of theirs."""
    found: dict[str, list[Schema]] = {}
    for target in KINDS[kind].values():
        for name, schema in _options(target).items():
            found.setdefault(name, []).append(schema)
    return {name: schemas[0] if len(schemas) == 1 else {"anyOf": schemas} for name, schemas in found.items()}


def _tidied(node: Any) -> Any:
    """Without pydantic's titles and null defaults, and with names checked as names wherever they are keys."""
    if isinstance(node, list):
        return [_tidied(item) for item in node]
    if not isinstance(node, dict):
        return node
    plain = {k: _tidied(v) for k, v in node.items()}
    if isinstance(plain.get("title"), str):
        del plain["title"]
    if "default" in plain and plain["default"] is None:
        del plain["default"]
    named = plain.get("patternProperties", {})
    if NAME_PATTERN in named:
        del plain["patternProperties"]
        plain |= {"propertyNames": {"pattern": NAME_PATTERN}, "additionalProperties": named[NAME_PATTERN]}
    return plain
