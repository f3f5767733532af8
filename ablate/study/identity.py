"""A Trial's id: a digest of everything that decides its outcome.

Resolved Recipe, seed, data and the revision of the code that trains are in it. Where the data lies, how
many workers, which device, what the study or the Variant is called are not: two studies that ask for the
same training share one Trial.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ablate.parts import KINDS, SourceError, source_root, source_tree
from ablate.recipe import decisive
from ablate.recipe.training import ADAMW
from ablate.recipe.whole import TIMM
from ablate.study.source import source_digest
from ablate.study.study import VISION
from ablate.study.weights import FILE, checkpoint_of, with_checkpoint
from ablate.timm_source import timm_version
from ablate.wording import nearest

#: Raise this when a change to models, data or training changes the numbers a Recipe gives: Trials of the
#: revision before are then trained anew instead of being mixed with new ones. A golden test watches it.
ENGINE_REVISION = "2"


def trial_id(
    recipe: Mapping[str, Any], seed: int, *, trainable: str, revision: str, data_fingerprint: str, weights: str = ""
) -> str:
    """Sixteen hexadecimal digits (64 bits), equal for equal trainings on any machine.

    ``weights`` is the `weights_digest` of a teacher that is given as a file. One that is a Trial stands in the Recipe
    by its own id, so that whatever decides the teacher decides this Trial, too.
    """
    about = {"trainable": trainable, "revision": revision, "data_fingerprint": data_fingerprint, "weights": weights}
    return trial_ids(recipe, [seed], **about)[seed]


def trial_ids(
    recipe: Mapping[str, Any],
    seeds: Iterable[int],
    *,
    trainable: str,
    revision: str,
    data_fingerprint: str,
    weights: str = "",
) -> dict[int, str]:
    """Seed -> `trial_id`, for the seeds of one Recipe, of which what counts is found once."""
    whole = {
        "recipe": without_paths(decisive(recipe)) if trainable == VISION else recipe,
        "trainable": trainable,
        "revision": revision,
        "data": data_fingerprint,
        **({"weights": weights} if weights else {}),
    }
    return {seed: digest({**whole, "seed": seed})[:16] for seed in seeds}


def digest(value: Any) -> str:
    """SHA-256 of a value of JSON types in canonical form; raises ValueError for NaN and infinities."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def without_paths(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A vision Recipe with the paths of its data and of its teacher's weights cut off: what lies there counts."""
    plain = copy.deepcopy(dict(recipe))
    data = plain.get("data")
    if isinstance(data, dict) and isinstance(data.get("source"), str):
        data["source"] = data["source"].partition(":")[0].partition("/")[0]
    if "distillation" in plain and checkpoint_of(plain).startswith(FILE):
        plain = with_checkpoint(plain, FILE)
    return plain


def engine_revision(recipe: Mapping[str, Any]) -> str:
    """`ENGINE_REVISION`, and what else decides how a vision Recipe trains.

    That is the sources of those parts, or of those models, which are the user's own, with the modules beside them that
    they import, and timm's version where anything of timm's takes part: a model, the teacher's included, an optimizer,
    a policy of AutoAugment. Raises `SourceError` (a ValueError) where a source is gone.
    """
    names = [name for model in _models(recipe) for name in _names_in(model)]
    timm = [f"timm-{timm_version()}"] if _takes_timm(recipe, names) else []
    modules: dict[str, ast.Module] = {}
    for name in sorted(set(names)):
        if ":" in name:
            _collect_sources(name.partition(":")[0], modules)
    return "+".join([ENGINE_REVISION, *timm, *(source_digest(tree) for _, tree in sorted(modules.items()))])


def _models(recipe: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The model, and the teacher's where the Recipe itself says it: that of a Trial is in that Trial's own id."""
    yield recipe["model"]
    distillation = recipe.get("distillation")
    if isinstance(distillation, Mapping) and distillation["teacher"].get("model") is not None:
        yield distillation["teacher"]["model"]


def _names_in(model: Mapping[str, Any]) -> list[str]:
    return [model["name"]] if "name" in model else [model[kind]["name"] for kind in KINDS]


def _takes_timm(recipe: Mapping[str, Any], names: list[str]) -> bool:
    """Whether a version of timm may change the numbers that a Recipe gives."""
    return (
        any(name.startswith(TIMM) for name in names)
        or recipe.get("optimizer", {}).get("name", ADAMW) != ADAMW
        or recipe.get("augment", {}).get("autoaugment", "off") != "off"
    )


def _collect_sources(module: str, found: dict[str, ast.Module]) -> None:
    """A module's tree, and those of the modules that it imports from its own package or from its own folder."""
    found[module] = tree = source_tree(module)
    root, package = source_root(module), module.partition(".")[0]
    installed = {"site-packages", "dist-packages"} & set(root.parts)  # there, everything lies beside everything
    for name in _imported(tree, module):
        own = name.partition(".")[0] == package if installed else True
        # By its file: to ask Python for a module is to import the packages above it.
        stem = root.joinpath(*name.split("."))
        if own and name not in found and (stem.with_suffix(".py").is_file() or (stem / "__init__.py").is_file()):
            _collect_sources(name, found)


def _imported(tree: ast.Module, module: str) -> Iterator[str]:
    """The modules that a module may import, and its names in case they are modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: -node.level] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            if origin:
                yield origin
                yield from (f"{origin}.{alias.name}" for alias in node.names)


def revision_of(trainable: str) -> str:
    """Digest of the source of a user's Trainable, comments, docstrings and layout aside, read without importing it.

    Only the module that the study names is read; what it imports is not. A study whose training code is
    spread over modules names a ``revision`` of its own. Raises ValueError where there is no such function.
    """
    module, _, function = trainable.partition(":")
    try:
        tree = source_tree(module)
    except SourceError as error:
        raise ValueError(f"the trainable {trainable!r}: {error}") from error
    names = list(dict.fromkeys(_names(tree.body)))
    if function not in names and "*" not in names:
        known = f"it defines {', '.join(names) or 'nothing'}{nearest(function, names)}"
        raise ValueError(f"{module} defines no function {function!r}; {known}")
    return source_digest(tree)


def _names(body: Iterable[ast.stmt]) -> Iterator[str]:
    """What a module's statements bind at its top level; ``*`` for an import of everything."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.If | ast.Try | ast.With):
            yield from _names(statement for statement in ast.iter_child_nodes(node) if isinstance(statement, ast.stmt))
            for handler in getattr(node, "handlers", ()):
                yield from _names(handler.body)
