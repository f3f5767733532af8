"""The catalogue of parts: every name a Recipe may use for a part of the model, and the class behind it.

This file is torch-free so that a study can be checked and planned without importing torch. A class
stands here as ``"module:Class"``, the same form in which a study names a part of the user's own. What a
part can be told is what its constructor takes **by keyword only**; the positional parameters are the
context (width, grid, ...) that the assembling model supplies. The options are therefore read from the
class's source and written nowhere else: a new part is one class and one entry below.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from ablate.wording import listing, nearest

STEMS = {
    "patches": "ablate.models.stems.patches:LinearPatches",
    "conv_patches": "ablate.models.stems.conv_patches:ConvPatches",
    "cnn_patches": "ablate.models.stems.cnn_patches:CNNPatches",
    "image_to_tokens": "ablate.models.stems.image_to_tokens:ImageToTokens",
    "tokens_to_token": "ablate.models.stems.tokens_to_token:TokensToToken",
}
POSITIONS = {
    "none": "ablate.models.positions.none:NoPosition",
    "learned": "ablate.models.positions.learned:LearnedPosition",
    "learned2d": "ablate.models.positions.learned2d:LearnedPosition2d",
    "sincos1d": "ablate.models.positions.sincos1d:SinCos1d",
    "sincos2d": "ablate.models.positions.sincos2d:SinCos2d",
    "relative": "ablate.models.positions.relative:RelativePosition",
}
MIXERS = {
    "none": "ablate.models.mixers.none:NoMixing",
    "self_attention": "ablate.models.mixers.self_attention:SelfAttention",
    "re_attention": "ablate.models.mixers.re_attention:ReAttention",
    "token_mlp": "ablate.models.mixers.token_mlp:TokenMLP",
    "cross_patch_linear": "ablate.models.mixers.cross_patch_linear:CrossPatchLinear",
}
FEED_FORWARDS = {
    "mlp": "ablate.models.feed_forwards.mlp:MLP",
    "leff": "ablate.models.feed_forwards.leff:LeFF",
}
NORMS = {
    "layer_norm": "ablate.models.norms.layer_norm:LayerNorm",
    "affine": "ablate.models.norms.affine:Affine",
    "batch_norm": "ablate.models.norms.batch_norm:BatchNorm",
}
READOUTS = {
    "gap": "ablate.models.readouts.gap:GlobalAveragePool",
    "cls": "ablate.models.readouts.cls:ClassToken",
    "cls_distilled": "ablate.models.readouts.cls_distilled:DistilledClassToken",
    "layer_wise_cls": "ablate.models.readouts.layer_wise_cls:LayerWiseClassToken",
    "map": "ablate.models.readouts.map:AttentionPool",
}
HEADS = {
    "linear": "ablate.models.heads.linear:LinearHead",
    "mlp": "ablate.models.heads.mlp:MLPHead",
    "zero_linear": "ablate.models.heads.zero_linear:ZeroLinearHead",
}
#: Whole models beside the space, whose parts cannot be exchanged.
MODELS = {
    "cswin": "ablate.models.cswin:CSWinTransformer",
    "pvt": "ablate.models.pvt:PyramidVisionTransformer",
}

#: Field of the Recipe's model section -> the names it accepts.
KINDS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "stem": STEMS,
        "position": POSITIONS,
        "mixer": MIXERS,
        "feed_forward": FEED_FORWARDS,
        "norm": NORMS,
        "readout": READOUTS,
        "head": HEADS,
    }
)

_REQUIRED = object()
#: Keys that say which part, or which preset, a mapping is about.
_RESERVED = ("name", "preset")
#: What an annotation of an option may be made of; anything else is left to the class itself to check.
_ANNOTATIONS: Mapping[str, Any] = {
    "int": int,
    "float": float,
    "bool": bool,
    "str": str,
    "list": list,
    "Literal": Literal,
    "None": None,
}


class SourceError(ValueError):
    """A module whose source cannot be found or read."""


class PartError(ValueError):
    """A part that does not exist, or cannot be told what the Recipe tells it; `option` is where, if in one."""

    def __init__(self, message: str, option: str | None = None) -> None:
        self.option = option
        super().__init__(message)


@dataclass(frozen=True)
class Option:
    """One keyword-only parameter of a part: its name, its type (``Any`` if unknown) and its default."""

    name: str
    annotation: Any
    default: Any = _REQUIRED

    @property
    def required(self) -> bool:
        """Whether the Recipe must give a value."""
        return self.default is _REQUIRED


def target_of(kind: str, name: str) -> str:
    """The ``"module:Class"`` behind a name: an entry of the catalogue, or the user's own path itself.

    Raises `PartError` for a name that is neither.
    """
    catalogue = KINDS[kind]
    if name in catalogue:
        return catalogue[name]
    if ":" in name:
        return name
    choices = f"{listing(catalogue)}, or a class of your own as 'module:Class'"
    raise PartError(f"there is no {kind} named {name!r}; {choices}{nearest(name, catalogue)}")


def options_of(target: str) -> Mapping[str, Option]:
    """The options of the class at ``"module:Class"``, read from its source without importing it.

    The packages above the module are imported, as Python does to find it; the module itself is not.
    Raises `PartError` where there is no such module, class or readable source.
    """
    # Our own source stands still while a process lives; a user's may be edited between two readings.
    return _own_options(target) if target.startswith("ablate.") else _read_options(target)


def _read_options(target: str) -> Mapping[str, Option]:
    init = _method(target, "__init__")
    found = {}
    for argument, default in zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True) if init else ():
        name = argument.arg
        if name in _RESERVED:
            raise PartError(f"{target!r} cannot have an option {name!r}: in a study that key says which part it is")
        try:
            value = _REQUIRED if default is None else ast.literal_eval(default)
        except ValueError as error:
            raise PartError(f"the default of option {name!r} of {target!r} must be a literal value") from error
        found[name] = Option(name, _annotation(argument.annotation), value)
    return MappingProxyType(found)


def takes(target: str, method: str, parameter: str) -> bool:
    """Whether a method of the class at ``"module:Class"`` has a parameter of this name, as its source says."""
    found = _method(target, method)
    return found is not None and parameter in {a.arg for a in [*found.args.args, *found.args.kwonlyargs]}


def _method(target: str, name: str, seen: tuple[str, ...] = ()) -> ast.FunctionDef | None:
    """A method of the class, or of the nearest base whose source is at hand: in its file, or imported from another.

    Raises `PartError` where there is no such module, class or readable source.
    """
    module, _, class_name = target.partition(":")
    try:
        tree = source_tree(module)
    except SourceError as error:
        raise PartError(f"{target!r}: {error}") from error
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    if class_name not in classes:
        known = f"it defines {', '.join(classes) or 'none'}{nearest(class_name, classes)}"
        raise PartError(f"{module} defines no class {class_name!r}; {known}")
    for statement in classes[class_name].body:
        if isinstance(statement, ast.FunctionDef) and statement.name == name:
            return statement
    imported = {
        alias.asname or alias.name: f"{statement.module}:{alias.name}"
        for statement in tree.body
        if isinstance(statement, ast.ImportFrom) and statement.module and not statement.level
        for alias in statement.names
    }
    here = {other: f"{module}:{other}" for other in classes if other != class_name}
    for base in classes[class_name].bases:
        origin = (imported | here).get(base.id, "") if isinstance(base, ast.Name) else ""
        of_torch = origin.partition(".")[0].partition(":")[0] == "torch"  # to look into torch is to import it
        if origin and not of_torch and origin not in seen:
            return _method(origin, name, (*seen, target))
    return None


_own_options = lru_cache(maxsize=None)(_read_options)


def source_tree(module: str) -> ast.Module:
    """The parsed source of a module, found as Python would find it but not imported. Raises `SourceError`."""
    try:
        spec = importlib.util.find_spec(module)
    except Exception as error:  # packages above the module run here, and may raise anything
        raise SourceError(f"cannot find the module {module!r}: {error}") from error
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise SourceError(f"cannot find the module {module!r}, or it is not written in Python")
    try:
        return ast.parse(Path(spec.origin).read_bytes())
    except (OSError, SyntaxError, ValueError) as error:
        raise SourceError(f"cannot read the module {module!r}: {error}") from error


def source_root(module: str) -> Path:
    """The folder in which Python finds a module's outermost package, or the module itself. Raises `SourceError`."""
    spec = importlib.util.find_spec(module.partition(".")[0])
    if spec is None or spec.origin is None:
        raise SourceError(f"cannot find the module {module!r}")
    origin = Path(spec.origin)
    return origin.parent.parent if origin.name == "__init__.py" else origin.parent


def _annotation(node: ast.expr | None) -> Any:
    """The type an annotation stands for, where it is made of plain types and ``Literal``; else ``Any``."""
    if node is None:
        return Any
    text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ast.unparse(node)
    try:
        nodes = list(ast.walk(ast.parse(text, mode="eval")))
    except SyntaxError:
        return Any
    names = {n.id for n in nodes if isinstance(n, ast.Name)}
    if not names <= _ANNOTATIONS.keys() or any(isinstance(n, ast.Attribute | ast.Call) for n in nodes):
        return Any
    try:
        return eval(text, {"__builtins__": {}}, dict(_ANNOTATIONS))  # noqa: S307 - only the names checked above
    except TypeError:  # `int[str]`: the class's own mistake, told when it is imported
        return Any
