"""What a part's constructor would refuse, found by reading it, so that a study is checked without importing torch.

A constructor says in its own guards (``if dim % heads: raise ValueError(...)``) what it cannot be built for. Here
they are followed in the source: conditions, loops and plain arithmetic are computed, and all that needs torch
counts as unknown and is passed over. So the rules stand once, with the part, and hold for a user's own parts too.
What cannot be told from the source is told when the model is built.
"""

from __future__ import annotations
import __future__

import ast
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType, SimpleNamespace
from typing import Any

from ablate.parts import PartError, constructor_of, source_tree

#: Enough for sizes and counts.
_BUILTINS: Mapping[str, Any] = {
    f.__name__: f
    for f in (abs, all, any, bool, dict, divmod, enumerate, float, int, isinstance, len, list, max, min, range, repr)
} | {f.__name__: f for f in (iter, map, next, reversed, round, set, sorted, str, sum, tuple, zip)}
_NOT_KNOWN = object()
#: A function's annotations may name what only its module imports.
_ANNOTATIONS_UNREAD = __future__.annotations.compiler_flag


class _Refused(Exception):  # noqa: N818 - what the part says, not a mistake here
    """The guard's own message."""


@dataclass(frozen=True)
class DryPart:
    """A part as far as its source tells what it would be."""

    refusal: str | None = None
    """Why it cannot be built, or None."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Attributes of the object and of its class whose values are known."""


def dry_build(target: str, arguments: Mapping[str, Any]) -> DryPart:
    """Follow the constructor of ``"module:Class"`` with these context values and options, as far as they go.

    Raises `PartError` where there is no such class.
    """
    if not target.startswith("ablate."):  # a user's source may be edited between two readings
        return _dry_build(target, arguments)
    key = (target, repr(sorted(arguments.items())))
    if key not in _OWN:
        _OWN[key] = _dry_build(target, arguments)
    return _OWN[key]


#: What is known of our own parts: a design of thousands of Variants asks for the same few again and again.
_OWN: dict[tuple[str, str], DryPart] = {}


def _dry_build(target: str, arguments: Mapping[str, Any]) -> DryPart:
    attributes: dict[str, Any] = {}
    try:
        _construct(target, (), arguments, attributes)
    except _Refused as refused:
        return DryPart(str(refused), MappingProxyType(attributes))
    return DryPart(None, MappingProxyType(attributes))


class _Class:
    """Stands for one of our classes: called, it follows the constructor and gives what is known of the object."""

    def __init__(self, target: str) -> None:
        self.target = target

    def __call__(self, *values: Any, **named: Any) -> SimpleNamespace:
        made: dict[str, Any] = {}
        _construct(self.target, values, named, made)
        return SimpleNamespace(**made)


def _construct(target: str, values: Sequence[Any], named: Mapping[str, Any], attributes: dict[str, Any]) -> None:
    """Follow the constructor of ``"module:Class"``, and leave what is known of the object in ``attributes``."""
    module, _, name = target.partition(":")
    tree = source_tree(module)
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    if name not in classes:
        raise PartError(f"{module} defines no class {name!r}")
    known = _known_names_of_ours(module) if module.startswith("ablate.") else _known_names(module, tree)
    for statement in classes[name].body:
        _Follower(dict(known), attributes, None).assign_of_class(statement)
    init = constructor_of(classes[name], classes)
    if init is None:
        return
    positional = [a.arg for a in [*init.args.posonlyargs, *init.args.args]][1:]  # without self
    given = dict(zip(positional, values, strict=False)) | dict(named)
    wanted = {*positional, *(a.arg for a in init.args.kwonlyargs)}
    scope = known | _defaults(init, known) | {key: value for key, value in given.items() if key in wanted}
    base = next((known[b.id] for b in classes[name].bases if isinstance(b, ast.Name) and b.id in known), None)
    follower = _Follower({k: v for k, v in scope.items() if v is not _NOT_KNOWN}, attributes, base)
    follower.follow(init.body)


def _defaults(init: ast.FunctionDef, known: Mapping[str, Any]) -> dict[str, Any]:
    every = [*init.args.posonlyargs, *init.args.args]
    pairs = [
        *zip(reversed(every), reversed(init.args.defaults), strict=False),
        *zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True),
    ]
    return {argument.arg: _value(default, known) for argument, default in pairs if default is not None}


class _Follower:
    """Runs statements as far as their values are known."""

    def __init__(self, scope: dict[str, Any], attributes: dict[str, Any], base: Any) -> None:
        self.scope, self.attributes, self.base = scope, attributes, base

    def follow(self, statements: Sequence[ast.stmt]) -> None:
        """One after the other. Raises `_Refused` where the source raises ValueError."""
        for statement in statements:
            self.scope["self"] = SimpleNamespace(**self.attributes)
            self._one(statement)

    def _one(self, statement: ast.stmt) -> None:
        match statement:
            case ast.If(test=test, body=body, orelse=orelse):
                truth = self._value(test)
                if truth is not _NOT_KNOWN:
                    self.follow(body if truth else orelse)
            case ast.For(target=target, iter=iterable, body=body):
                items = self._value(iterable)
                for item in items if items is not _NOT_KNOWN else ():
                    self._assign(target, item)
                    self.follow(body)
            case ast.Try(body=body, handlers=[ast.ExceptHandler(type=ast.Name(id="ValueError"), body=handling) as h]):
                try:
                    self.follow(body)
                except _Refused as refused:
                    self.follow([*([_named(h.name, str(refused))] if h.name else []), *handling])
            case ast.Raise(exc=ast.Call(func=ast.Name(id="ValueError"), args=[message])):
                text = self._value(message)
                raise _Refused(text if isinstance(text, str) else ast.unparse(message))
            case ast.Assign(targets=[target], value=value) | ast.AnnAssign(target=target, value=ast.expr() as value):
                self._assign(target, self._value(value))
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id="super")))) as call):
                self._call_base(call)
            case ast.Expr(value=ast.Call() as call):
                self._value(call)  # a check of its own, which may refuse

    def assign_of_class(self, statement: ast.stmt) -> None:
        """An attribute that stands in the body of the class."""
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                _set(self.attributes, name, self._value(value))

    def _call_base(self, call: ast.Call) -> None:
        """``super().__init__(...)``, where the base is a class whose source is at hand."""
        values = [self._value(argument) for argument in call.args]
        named = {k.arg: self._value(k.value) for k in call.keywords if k.arg}
        if isinstance(self.base, _Class):
            _construct(self.base.target, values, named, self.attributes)

    def _value(self, expression: ast.expr) -> Any:
        return _value(expression, self.scope)

    def _assign(self, target: ast.expr, value: Any) -> None:
        match target:
            case ast.Name(id=name):
                _set(self.scope, name, value)
            case ast.Attribute(value=ast.Name(id="self"), attr=name):
                _set(self.attributes, name, value)
            case ast.Tuple(elts=names):
                values = list(value) if isinstance(value, Iterable) else [_NOT_KNOWN] * len(names)
                for each, item in zip(names, values, strict=False):
                    self._assign(each, item)


def _named(name: str, value: str) -> ast.stmt:
    """``name = value`` as a statement."""
    return ast.fix_missing_locations(ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value), lineno=1))


def _value(expression: ast.expr, scope: Mapping[str, Any]) -> Any:
    """The value of an expression, or `_NOT_KNOWN` where it needs what is not at hand."""
    try:
        code = compile(ast.Expression(expression), "<part>", "eval")
        # One dict for both namespaces: comprehensions look their names up in the global one.
        return eval(code, {"__builtins__": dict(_BUILTINS), **scope})  # noqa: S307 - the part's own code
    except _Refused:
        raise
    except Exception:  # noqa: BLE001 - whatever fails here needs more than arithmetic
        return _NOT_KNOWN


def _set(names: dict[str, Any], name: str, value: Any) -> None:
    if value is _NOT_KNOWN:
        names.pop(name, None)
    else:
        names[name] = value


def _known_names(module: str, tree: ast.Module) -> dict[str, Any]:
    """What a constructor's arithmetic may use: `math`, and functions, classes and constants of ours or its own."""
    names: dict[str, Any] = {"math": math, "__builtins__": {**_BUILTINS, "ValueError": _Refused}}
    for node in tree.body:
        match node:
            case ast.ImportFrom(module=str(theirs), names=wanted) if theirs.startswith("ablate."):
                known = _known_names_of_ours(theirs)
                names |= {a.asname or a.name: known[a.name] for a in wanted if a.name in known}
            case ast.ClassDef(name=name):
                names[name] = _Class(f"{module}:{name}")
            case ast.FunctionDef(decorator_list=[]):
                code = compile(ast.Module(body=[node], type_ignores=[]), "<part>", "exec", flags=_ANNOTATIONS_UNREAD)
                with suppress(Exception):  # a default that needs torch: then it is not at hand
                    exec(code, names)  # noqa: S102 - a definition alone; it runs when called
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                _set(names, name, _value(value, names))
    return {name: value for name, value in names.items() if name != "__builtins__"}


@cache
def _known_names_of_ours(module: str) -> dict[str, Any]:
    return _known_names(module, source_tree(module))
