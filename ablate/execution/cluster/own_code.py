"""Where the code of a user's own lies that a study runs: its Trainable, its parts, and what they import.

Nothing is imported to find it. What is installed (the standard library, site-packages) stays where it is: only code
that somebody edits, beside a study or in a checkout, can change under a job that waits.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ablate.execution.cluster.source_files import walk
from ablate.recipe.whole import TIMM
from ablate.study.study import VISION, Study

_INSTALLED = frozenset({"site-packages", "dist-packages"})


def own_code(study: Study) -> tuple[Path, ...]:
    """The folders on `sys.path` from which the study's own code is imported; empty where it has none."""
    if study.trainable != VISION:
        return import_folders([study.trainable])
    return import_folders(dict.fromkeys(name for trial in study.all_trials for name in _own_names(trial.recipe)))


def import_folders(targets: Iterable[str]) -> tuple[Path, ...]:
    """The same for targets such as ``module:name``: their folders, and those of whatever they import."""
    folders: dict[Path, None] = {}
    seen: set[str] = set()
    names = [target.partition(":")[0].partition(".")[0] for target in targets]
    while names:
        name = names.pop()
        if name in seen:
            continue
        seen.add(name)
        for place in _places(name):
            folders.setdefault(place.parent)
            files = [place / file for file in walk(place)] if place.is_dir() else [place]
            for file in files:
                if file.suffix == ".py":
                    names.extend(_imported(file))
    return tuple(folders)


def _own_names(value: Any) -> Iterator[str]:
    """What a vision Recipe names as ``module:Class``."""
    if isinstance(value, Mapping):
        name = value.get("name")
        if isinstance(name, str) and ":" in name and not name.startswith(TIMM):
            yield name
        for inner in value.values():
            yield from _own_names(inner)


def _places(name: str) -> list[Path]:
    """The file or the folder of an outermost module that is neither installed nor ours; several for a namespace."""
    if name in sys.stdlib_module_names or name == "ablate":
        return []
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # no name of a module, or one that was made by hand
        return []
    if spec is None:
        return []
    found = spec.submodule_search_locations or ([spec.origin] if spec.has_location and spec.origin else [])
    places = [Path(place).absolute() for place in found]
    return [place for place in places if place.exists() and not _INSTALLED & set(place.parts)]


def _imported(file: Path) -> set[str]:
    """The outermost packages of the modules that a file may import."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names
