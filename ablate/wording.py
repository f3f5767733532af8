"""How mistakes and counts are worded: a value as the reader wrote it, the name that was probably meant, a plural."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

_LONGEST = 60
#: What pydantic's kinds of findings ask for, in a study's words.
EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "none_required": "null",
}


def nearest(name: str, choices: Iterable[str]) -> str:
    """A hint ``"; did you mean 'x'?"``, or nothing where no choice is near."""
    close = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def plural(n: int, noun: str) -> str:
    """`1 Trial`, `2 Trials`."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def listing(choices: Iterable[str]) -> str:
    """``allowed: a, b, c``, or ``allowed: none``."""
    return f"allowed: {', '.join(choices) or 'none'}"


def shown(value: Any) -> str:
    """A value in YAML's words, on one line and not too long: ``null``, ``true``, ``'text'``, ``a mapping``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a mapping" if value else "{}"
    text = f"[{', '.join(map(shown, value))}]" if isinstance(value, list | tuple) else repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def brief(value: Any) -> str:
    """A value in a table: a number in its shortest digits, a mapping in one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {brief(v)}" for k, v in value.items()) + "}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def type_name(value: Any) -> str:
    """What a value is, in YAML's words."""
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text", list: "a list"}
    return "a mapping" if isinstance(value, Mapping) else names.get(type(value), "null")
