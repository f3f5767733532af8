"""What a part's constructor would refuse, found without importing torch, so that a study is checked when it is loaded.

A constructor says in its own guards (``if dim % heads: raise ValueError(...)``) what it cannot be built for. Here it
runs as it stands, in a world where nothing is known of what torch makes (`ablate.dry_world`), as far as it can be
followed; a guard that cannot be told is passed over. So the rules stand once, with the part, and hold for a user's own
parts too. What cannot be told from the source is told when the model is built.
"""

from __future__ import annotations

import ast
import copy
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import FunctionType, MappingProxyType
from typing import Any

from ablate.dry_world import NOT_KNOWN, CannotTell, DryModule, abandoned, is_simple, run_through, world_of
from ablate.parts import PartError, source_tree


@dataclass(frozen=True)
class DryPart:
    """A part as far as its source tells what it would be."""

    refusal: str | None = None
    """Why it cannot be built, or None."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Attributes of the object and of its class whose values are known."""
    asks: tuple[str, ...] = ()
    """Names of its positional parameters for which it is offered nothing."""


def dry_build(target: str, arguments: Mapping[str, Any]) -> DryPart:
    """Follow the constructor of ``"module:Class"`` with these context values and options, as far as that goes.

    A value that is not known is `NOT_KNOWN`. Raises `PartError` where there is no such class, and `SourceError`
    where its source cannot be read.
    """
    if not target.startswith("ablate."):  # a user's source may be edited between two readings
        return _dry_build(target, arguments)
    key = (target, *((name, "?" if value is NOT_KNOWN else repr(value)) for name, value in sorted(arguments.items())))
    if key not in _OWN:
        _OWN[key] = _dry_build(target, arguments)
    return _OWN[key]


#: What is known of our own parts: a design of thousands of Variants asks for the same few again and again.
_OWN: dict[tuple[Any, ...], DryPart] = {}


def _dry_build(target: str, arguments: Mapping[str, Any]) -> DryPart:
    module, _, name = target.partition(":")
    tree = source_tree(module)
    if not any(isinstance(node, ast.ClassDef) and node.name == name for node in tree.body):
        raise PartError(f"{module} defines no class {name!r}")
    cls = world_of(module, tree).get(name)
    if not (isinstance(cls, type) and issubclass(cls, DryModule) and isinstance(cls.__init__, FunctionType)):
        return DryPart()
    taken = list(inspect.signature(cls.__init__).parameters.values())[1:]
    context = [p for p in taken if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    options = {p.name: arguments[p.name] for p in taken if p.kind is p.KEYWORD_ONLY and p.name in arguments}
    asks = tuple(p.name for p in context if p.name not in arguments and p.default is p.empty)
    # As the assembler does: from the first default on that it has nothing for, the class has its own values.
    own = next((i for i, p in enumerate(context) if p.name not in arguments and p.name not in asks), len(context))
    given = [arguments.get(p.name, NOT_KNOWN) for p in context[:own]]
    made: Any = object.__new__(cls)
    before, refusal, whole = abandoned(), None, True
    try:
        # Copies: a constructor that changes a list must not change the Recipe's own.
        whole = run_through(made.__init__, *copy.deepcopy(given), **copy.deepcopy(options))
    except ValueError as error:
        refusal = str(error)
    # In code that is not ours, what was left in the middle may have left a wrong impression. Better to say nothing
    # here, and all when the model is built, than to refuse a part that is right.
    if not module.startswith("ablate.") and (abandoned() != before or not is_simple(tree)):
        return DryPart(asks=asks)
    return DryPart(refusal, MappingProxyType({} if refusal else _attributes(made, whole)), asks)


def _attributes(made: DryModule, whole: bool) -> dict[str, Any]:
    """What is known of an object. Where its constructor was left early, its class may not have the last word."""
    of_class = {name for cls in type(made).__mro__ for name in vars(cls) if not name.startswith("__")}
    found = {name: _read(made, name) for name in (of_class if whole else set()) | vars(made).keys()}
    return {name: value for name, value in found.items() if _is_plain(value)}


def _read(made: DryModule, name: str) -> Any:
    """An attribute's value, computed where it is a property."""
    try:
        return getattr(made, name)
    except (CannotTell, Exception):  # noqa: BLE001 - whatever fails here needs more than plain Python
        return NOT_KNOWN


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)
