"""A world without torch, in which a part's constructor can be run as it stands.

Plain Python works there: arithmetic, loops, functions and classes of the part's own module, and ours that it imports.
Whatever else is imported is one object, `NOT_KNOWN`, and all that is made of it is that object again. A decision that
hangs on it raises `CannotTell`. Of a module only imports, definitions and assignments are run, and neither files nor
other modules can be reached from them.
"""

from __future__ import annotations
import __future__

import ast
import builtins
import importlib
from collections.abc import Callable, Mapping
from functools import cache, wraps
from types import FunctionType, GeneratorType
from typing import Any, NoReturn

from ablate.parts import source_tree


class CannotTell(BaseException):  # no Exception: a part's own handlers must not catch it
    """A decision hangs on what is not known."""


class _NotKnown:
    """What torch would make: nothing is known of it, nor of what comes of it."""

    def _more(self, *values: Any, **_named: Any) -> Any:
        for value in values:
            if isinstance(value, GeneratorType):  # ModuleList(... for ... in ...) would run it
                list(value)
        return self

    def _cannot_tell(self, *_values: Any) -> NoReturn:
        raise CannotTell

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        pass

    def __exit__(self, *_error: object) -> None:
        pass

    def __mro_entries__(self, _bases: object) -> tuple[type, ...]:
        return (DryModule,)

    __call__ = __getitem__ = __setitem__ = __enter__ = __neg__ = __pos__ = __abs__ = __invert__ = __round__ = _more
    __add__ = __sub__ = __mul__ = __matmul__ = __truediv__ = __floordiv__ = __mod__ = __divmod__ = __pow__ = _more
    __radd__ = __rsub__ = __rmul__ = __rmatmul__ = __rtruediv__ = __rfloordiv__ = __rmod__ = __rdivmod__ = _more
    __rpow__ = __and__ = __or__ = __xor__ = __rand__ = __ror__ = __rxor__ = __lt__ = __le__ = __gt__ = __ge__ = _more
    __eq__ = __ne__ = _more
    __bool__ = __len__ = __iter__ = __contains__ = __int__ = __float__ = __index__ = __complex__ = _cannot_tell
    __hash__ = __str__ = __repr__ = __format__ = __instancecheck__ = _cannot_tell

    def __deepcopy__(self, _memo: object) -> Any:
        return self


NOT_KNOWN: Any = _NotKnown()
_abandoned = 0


def abandoned() -> int:
    """How many calls were left in the middle so far, since something in them could not be told."""
    return _abandoned


def _count() -> None:
    global _abandoned
    _abandoned += 1


class _Making(type):
    """Makes objects; of one whose constructor cannot be run to its end, nothing is known."""

    def __call__(cls, *values: Any, **named: Any) -> Any:
        made: Any = object.__new__(cls)  # type: ignore[arg-type]
        return made if run_through(made.__init__, *values, **named) else NOT_KNOWN


class DryModule(metaclass=_Making):
    """Stands for every class that is not at hand, such as torch's modules."""

    def __init__(self, *values: Any, **_named: Any) -> None:
        NOT_KNOWN(*values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return NOT_KNOWN

    def __call__(self, *values: Any, **_named: Any) -> Any:
        """What a module gives."""
        return NOT_KNOWN(*values)


def run_through(function: Callable[..., Any], *values: Any, **named: Any) -> bool:
    """Call it, and say whether it came to its end. Raises ValueError where that does."""
    try:
        function(*values, **named)
    except ValueError:
        raise
    except (CannotTell, Exception):  # noqa: BLE001 - whatever fails here needs more than plain Python
        _count()
        return False
    return True


def world_of(module: str, tree: ast.Module | None = None) -> Mapping[str, Any]:
    """Name -> what it stands for in this module. Raises `SourceError` where its source cannot be read."""
    if module.startswith("ablate."):  # ours stands still while a process lives; a user's may be edited meanwhile
        return _world_of_ours(module)
    return _filled(module, tree or source_tree(module))


@cache
def _world_of_ours(module: str) -> Mapping[str, Any]:
    return _filled(module, source_tree(module))


def _filled(module: str, tree: ast.Module) -> Mapping[str, Any]:
    names: dict[str, Any] = {"__name__": module, "__builtins__": _BUILTINS}
    for statement in tree.body:
        if isinstance(statement, _RUN):
            told = ast.fix_missing_locations(ast.Module([_Told().visit(statement)], []))
            code = compile(told, f"<{module}>", "exec", flags=_ANNOTATIONS_UNREAD, dont_inherit=True)
            try:
                run_through(exec, code, names)
            except ValueError:
                continue  # the module cannot be imported: that is told when the model is built
        if isinstance(statement, ast.FunctionDef) and isinstance(names.get(statement.name), FunctionType):
            names[statement.name] = _lenient(names[statement.name])
    return names


def _lenient(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, whose result is not known where it cannot be told."""

    @wraps(function)
    def called(*values: Any, **named: Any) -> Any:
        try:
            return function(*values, **named)
        except CannotTell:
            _count()
            return NOT_KNOWN

    return called


def _import(name: str, _globals: object = None, _locals: object = None, wanted: Any = (), level: int = 0) -> Any:
    if name in _PLAIN_MODULES and not level:
        return importlib.import_module(name if wanted else name.partition(".")[0])
    return _Names(_world_of_ours(name)) if wanted and name.startswith("ablate.") else NOT_KNOWN


class _Names:
    """One of our modules, as an import statement sees it."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        self._names = names

    def __getattr__(self, name: str) -> Any:
        return self._names.get(name, NOT_KNOWN)


def _is(first: Any, second: Any) -> bool:
    if first is NOT_KNOWN or second is NOT_KNOWN:
        raise CannotTell
    return first is second


def _is_instance(value: Any, kind: Any) -> bool:
    if value is NOT_KNOWN:
        raise CannotTell
    return isinstance(value, kind)


def _holds(condition: Callable[[], Any]) -> bool:
    """Whether a guard's condition holds. One that cannot be told does not: if it did, there would be no object."""
    try:
        return bool(condition())
    except CannotTell:
        return False


class _Told(ast.NodeTransformer):
    """Makes ``is`` ask whether that can be told, and a guard (``if ...: raise``) go on where it cannot."""

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        if len(node.ops) > 1 or not isinstance(node.ops[0], ast.Is | ast.IsNot):
            return node
        same = ast.Call(ast.Name("__is__", ast.Load()), [node.left, node.comparators[0]], [])
        return same if isinstance(node.ops[0], ast.Is) else ast.UnaryOp(ast.Not(), same)

    def visit_If(self, node: ast.If) -> ast.stmt:
        self.generic_visit(node)
        if isinstance(node.body[-1], ast.Raise):
            condition = ast.Lambda(ast.arguments([], [], None, [], [], None, []), node.test)
            node.test = ast.Call(ast.Name("__holds__", ast.Load()), [condition], [])
        return node


def is_simple(tree: ast.Module) -> bool:
    """Whether a module is nothing but what this world runs: no statement at its top that is passed over, and none of
    the constructs whose course depends on more than the conditions that can be told.
    """
    texts = [node for node in tree.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
    run_whole = all(isinstance(node, _RUN) or node in texts for node in tree.body)
    return run_whole and not any(isinstance(node, _COURSE) for node in ast.walk(tree))


_COURSE = (ast.Match, ast.Try, ast.With, ast.NamedExpr, ast.Global, ast.Nonlocal)
_RUN = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
#: A function's annotations may name what is not at hand.
_ANNOTATIONS_UNREAD = __future__.annotations.compiler_flag
# fmt: off
_PLAIN_MODULES = {
    "__future__", "abc", "collections", "collections.abc", "dataclasses", "enum", "functools", "itertools", "math",
    "numbers", "operator", "types", "typing",
}
_PLAIN_BUILTINS = {
    "__build_class__", "None", "NotImplemented", "abs", "all", "any", "bool", "bytes", "classmethod", "complex", "dict",
    "divmod", "enumerate", "filter", "float", "frozenset", "getattr", "int", "iter", "len", "list", "map", "max", "min",
    "next", "object", "pow", "property", "range", "repr", "reversed", "round", "set", "setattr", "slice", "sorted",
    "staticmethod", "str", "sum", "super", "tuple", "zip",
}
# fmt: on
_ERRORS = {n: kind for n, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, BaseException)}
_BUILTINS: Mapping[str, Any] = {
    **dict.fromkeys(dir(builtins), NOT_KNOWN),
    **_ERRORS,
    **{name: getattr(builtins, name) for name in _PLAIN_BUILTINS},
    "__import__": _import,
    "__is__": _is,
    "__holds__": _holds,
    "isinstance": _is_instance,
}
