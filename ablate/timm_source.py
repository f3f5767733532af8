"""timm's models by name and their options, read from its source: neither timm nor torch is imported.

An entry point of timm is a function behind ``@register_model``. It hands its keyword arguments on, mostly by way
of another function of its file, to ``build_model_with_cfg``, and that to a class. We follow them through the
source, and what the class takes and nobody on the way has settled is open to a study.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ablate.parts import Option, PartError

#: What the data decide, what is the machine's business, and timm's doors to weights and shapes from elsewhere.
DECIDED_ELSEWHERE: Set[str] = (
    {"num_classes", "in_chans", "img_size", "device", "dtype", "scriptable", "exportable", "no_jit"}
    | {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "pretrained_strict", "checkpoint_path", "cache_dir"}
    | {"cfg", "pruned", "features_only", "feature_cls", "out_indices"}
)
_BUILDER = "build_model_with_cfg"
_ENTRY = re.compile(r"^@register_model\s*\n(?:@.*\n)*def (\w+)\(", re.MULTILINE)
_OPTIMIZER = re.compile(r"^\s+name='(\w+)',$", re.MULTILINE)
_PLAIN: Mapping[str, Any] = {plain.__name__: plain for plain in (int, float, bool, str)}
#: Annotations that a study is held to; timm's others, `Tuple[int, ...]` for one, often say less than it takes.
_TYPES: Mapping[str, Any] = {**_PLAIN, **{f"Optional[{name}]": plain | None for name, plain in _PLAIN.items()}}
_UNREAD = "*"  # stands among defaults for others that cannot be read


def timm_version() -> str:
    """The version of timm that is installed. Raises `PartError` where none is."""
    try:
        return importlib.metadata.version("timm")
    except importlib.metadata.PackageNotFoundError:
        raise PartError("a model of timm needs the package timm, which is not installed", "name") from None


@cache
def model_names() -> tuple[str, ...]:
    """All models of the timm that is installed, sorted. Raises `PartError` where none is."""
    return tuple(sorted(_modules()))


@cache
def optimizer_names() -> tuple[str, ...]:
    """The optimizers of timm's factory, sorted, without those that need Apex or bitsandbytes. Raises `PartError`."""
    timm_version()
    source = (_folder().parent / "optim" / "_optim_factory.py").read_text(encoding="utf-8")
    return tuple(sorted({name for name in _OPTIMIZER.findall(source) if not name.startswith(("fused", "bnb"))}))


@cache
def keyword_arguments(name: str) -> Mapping[str, Option] | None:
    """The options that a study may give to timm's model ``name``, or None where the source does not tell.

    Left out are `DECIDED_ELSEWHERE` and what the entry point has settled for good, such as all widths of timm's
    ResMLPs. Every option has a default, that of the entry point; None stands for one that is no literal. A type
    that timm does not annotate plainly is ``Any``. Raises KeyError for a name that is not in `model_names`.
    """
    told = _open_to_callers(name)
    if told is None:
        return None
    return MappingProxyType({key: option for key, option in told.items() if key not in DECIDED_ELSEWHERE})


def takes(name: str, argument: str) -> bool | None:
    """Whether timm's model ``name`` takes an argument such as ``img_size``; None where the source does not tell."""
    told = _open_to_callers(name)
    return None if told is None else argument in told


@cache
def _modules() -> Mapping[str, str]:
    """Name of each model -> its file in timm/models, without the suffix."""
    timm_version()
    found: dict[str, str] = {}
    for path in _folder().glob("*.py"):
        found |= dict.fromkeys(_ENTRY.findall(path.read_text(encoding="utf-8")), path.stem)
    return found


def _folder() -> Path:
    spec = importlib.util.find_spec("timm")  # of a package at the top, this imports nothing
    assert spec is not None and spec.submodule_search_locations  # noqa: PT018 - one thing: it is a package
    return Path(spec.submodule_search_locations[0]) / "models"


@dataclass(frozen=True)
class _Route:
    """Where keyword arguments are on their way: which of them the caller of the entry point decides no longer,
    what the functions on the way give where that caller gives nothing, and the constants the last one was called with.
    """

    module: str
    place: ast.FunctionDef | ast.ClassDef
    settled: Set[str]
    defaults: Mapping[str, ast.expr | None]
    switches: Mapping[str, Any]


@cache
def _open_to_callers(name: str) -> Mapping[str, Option] | None:
    entry = _definition(_modules()[name], name)
    end = entry and _follow(_Route(*entry, settled=frozenset(), defaults={}, switches={}))
    parameters = None if end is None else _parameters(end.module, end.place)
    if end is None or parameters is None:
        return None
    found = {}
    for key, (annotation, default) in parameters.items():
        if key not in end.settled:
            known = None if _UNREAD in end.defaults else end.defaults.get(key, default)
            kind = _TYPES.get(ast.unparse(annotation), Any) if annotation else Any
            found[key] = Option(key, kind, _literal(known))
    return found


def _follow(route: _Route) -> _Route | None:
    """To the class that is built, or None where no call, or more than one, leads to one."""
    if isinstance(route.place, ast.ClassDef):
        return route
    steps = [step for call in _calls(route.place) if (step := _step(route, call)) is not None]
    ends = [end for step in steps if (end := _follow(step)) is not None]
    return ends[0] if len(ends) == 1 else None


def _step(route: _Route, call: ast.Call) -> _Route | None:
    """Through one call, if it hands keyword arguments on to a function or class of timm's models."""
    function = route.place
    if not isinstance(function, ast.FunctionDef) or not isinstance(call.func, ast.Name):
        return None
    explicit = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    unpacked = [keyword.value for keyword in call.keywords if not keyword.arg]
    builds = call.func.id == _BUILDER
    target = _class_name(call.args[0], function, route.switches) if builds and call.args else call.func.id
    found = _definition(route.module, target)
    # Behind a filter, some models drop arguments without a word.
    if not unpacked or "kwargs_filter" in explicit or found is None or isinstance(found[1], ast.ClassDef) != builds:
        return None
    own = _signature(function)
    passed = {name for name, value in explicit.items() if name in own and ast.unparse(value) == name}
    settled, defaults = route.settled | ((own.keys() | explicit.keys()) - passed), dict(route.defaults)
    for more_settled, more_defaults in [_noted(function), *(_unpacked(value, function) for value in unpacked)]:
        settled, defaults = settled | more_settled, more_defaults | defaults  # what is nearer to the caller counts
    switches = {name: value.value for name, value in explicit.items() if isinstance(value, ast.Constant)}
    return _Route(*found, settled, defaults, switches)


def _noted(function: ast.FunctionDef) -> tuple[Set[str], dict[str, ast.expr | None]]:
    """What the function writes into its ``**kwargs`` itself: names that are settled, and defaults."""
    rest = function.args.kwarg.arg if function.args.kwarg else ""
    items = [node for node in ast.walk(function) if isinstance(node, ast.Subscript) and ast.unparse(node.value) == rest]
    calls = [call for call in _calls(function) if ast.unparse(call.func) == f"{rest}.setdefault"]
    settled = {str(_literal(item.slice)) for item in items if isinstance(item.ctx, ast.Store)}
    return settled, {str(_literal(call.args[0])): call.args[1] for call in calls}


def _unpacked(value: ast.expr, function: ast.FunctionDef) -> tuple[Set[str], dict[str, ast.expr | None]]:
    """The same of ``**value``: ``dict(model_args, **kwargs)`` gives defaults, ``dict(a=1, **kwargs)`` settles a."""
    made = _assigned(value, function)
    if function.args.kwarg and ast.unparse(made) == function.args.kwarg.arg:
        return set(), {}
    if isinstance(made, ast.Dict):
        return set(), {str(_literal(key)): item for key, item in zip(made.keys, made.values, strict=True)}
    if not (isinstance(made, ast.Call) and ast.unparse(made.func) == "dict"):
        return set(), {_UNREAD: None}
    own = {keyword.arg: keyword.value for keyword in made.keywords if keyword.arg}
    settled: Set[str] = own.keys() if len(own) < len(made.keywords) else set()
    defaults: dict[str, ast.expr | None] = {}
    for positional in made.args:
        more_settled, more_defaults = _unpacked(positional, function)
        settled, defaults = settled | more_settled, defaults | more_defaults
    return settled, defaults | own


def _assigned(value: ast.expr, function: ast.FunctionDef) -> ast.expr:
    """What a variable of the function stands for, if it is assigned exactly once; else the expression itself."""
    if not isinstance(value, ast.Name):
        return value
    all_assignments = [node for node in ast.walk(function) if isinstance(node, ast.Assign)]
    own = [node.value for node in all_assignments if value.id in map(ast.unparse, node.targets)]
    return own[0] if len(own) == 1 else value


def _class_name(value: ast.expr, function: ast.FunctionDef, switches: Mapping[str, Any]) -> str | None:
    """The name of the class that an expression stands for: ``A``, or ``A if switch else B``."""
    value = _assigned(value, function)
    if isinstance(value, ast.IfExp) and isinstance(value.test, ast.Name):
        defaults = {name: _literal(default) for name, (_, default) in _signature(function).items()}
        chosen = value.body if (defaults | dict(switches)).get(value.test.id) else value.orelse
        return _class_name(chosen, function, switches)
    return value.id if isinstance(value, ast.Name) else None


def _definition(module: str, name: str | None) -> tuple[str, ast.FunctionDef | ast.ClassDef] | None:
    """The function or class of that name in a file of timm's models, or in the one it is imported from."""
    for node in _tree(module).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return module, node
        if isinstance(node, ast.ImportFrom) and name in [alias.asname or alias.name for alias in node.names]:
            origin = (node.module or "").removeprefix("timm.models.")
            return _definition(origin, name) if (_folder() / f"{origin}.py").is_file() else None
    return None


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse((_folder() / f"{module}.py").read_bytes())


def _calls(node: ast.AST) -> Iterator[ast.Call]:
    return (inner for inner in ast.walk(node) if isinstance(inner, ast.Call))


#: Name of a parameter -> its annotation and its default.
_Signature = dict[str, tuple[ast.expr | None, ast.expr | None]]


def _signature(function: ast.FunctionDef) -> _Signature:
    given = function.args
    positional = given.posonlyargs + given.args
    defaults = [None] * (len(positional) - len(given.defaults)) + given.defaults + given.kw_defaults
    both = zip(positional + given.kwonlyargs, defaults, strict=True)
    return {argument.arg: (argument.annotation, default) for argument, default in both if argument.arg != "self"}


def _parameters(module: str, node: ast.FunctionDef | ast.ClassDef) -> _Signature | None:
    """Of a class's constructor, and of its base's where it hands ``**kwargs`` to that; None where it keeps them."""
    if isinstance(node, ast.FunctionDef):
        return _signature(node)
    init = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
    bases = [found for base in node.bases if (found := _definition(module, ast.unparse(base)))]
    inherited = _parameters(*bases[0]) if bases else None
    if init is None or init.args.kwarg is None:
        return _signature(init) if init else inherited
    own, rest, handed_on = _signature(init), init.args.kwarg.arg, False
    for call in _calls(init):
        function = ast.unparse(call.func)
        if function == f"{rest}.pop":
            own[str(_literal(call.args[0]))] = (None, call.args[1] if len(call.args) > 1 else None)
        elif function == "super().__init__" and rest in [ast.unparse(k.value) for k in call.keywords if not k.arg]:
            handed_on = True
            inherited = {k: v for k, v in (inherited or {}).items() if k not in [key.arg for key in call.keywords]}
    return inherited | own if handed_on and inherited else None


def _literal(value: ast.expr | None) -> Any:
    try:
        return None if value is None else ast.literal_eval(value)
    except ValueError:
        return None
