"""Capacity of a Recipe's model: trainable parameters, and the FLOPs of one image's forward pass.

The model is built without memory for its weights, once for each distinct model and kind of image, and what was found
is kept in a file of the spool's home: a report that asks again imports no torch.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
import math
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ablate.recipe import Recipe
from ablate.remembered import read_json, write_json
from ablate.reporting.kept import ModelCost
from ablate.study.identity import digest, engine_revision
from ablate.study.study import VISION, ResolvedRecipe, Study

if TYPE_CHECKING:
    from torch import nn

#: The file in the spool's home.
REMEMBERED = "capacity.json"
#: The most models that are kept: the oldest go first.
_KEPT = 10_000
#: What a model is built for, beside its own section of the Recipe.
_IMAGES = ("image_size", "channels", "classes")
#: Fields that neither parameters nor FLOPs depend on, at one value, so that each model is built once.
_NO_COST = {
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "stochastic_depth": 0.0,
    "stochastic_depth_rule": "linear",
    "head_bias": 0.0,
    "init": "truncated_normal",
}
_log = logging.getLogger(__name__)


def costs_of(study: Study, home: Path, *, builds: bool = True) -> Callable[[ResolvedRecipe], ModelCost | None]:
    """What the models of a study cost. Of a user's own Trainable nothing is known, whatever its Recipes look like."""
    return Costs(home, builds=builds) if study.trainable == VISION else lambda _recipe: None


class Costs:
    """Tells what Recipes' models cost, each distinct model counted once and remembered."""

    def __init__(self, home: Path | None, *, writes: bool = True, builds: bool = True) -> None:
        """``home`` is the spool's, with what was found before; without ``writes`` nothing is added to it.

        Without ``builds`` a cost that was not found before stays unknown, and torch is not imported for it.
        """
        self._path = home / REMEMBERED if home is not None else None
        self._writes = writes
        self._builds = builds
        self._known: dict[str, dict[str, float]] | None = None
        self._keys: dict[str, str] = {}
        self._without: set[str] = set()
        """Keys of models of which this process has learnt that they cannot be built or run."""

    def __call__(self, recipe: ResolvedRecipe) -> ModelCost | None:
        """The cost of a Recipe's model.

        None for what is no Recipe of the vision trainer, and, with a line in the log, for a model that cannot be
        built. FLOPs are NaN where it can be built and its forward pass cannot be counted. Imports torch where the
        model was not counted before.
        """
        try:
            key = self._key(recipe)
            found = self._found(key)
            if "flops" not in found and self._builds and key not in self._without:
                self._without.add(key)  # tried once in this process, with whatever outcome
                self._measure(key, recipe)
                found = self._found(key)
        except (ValidationError, _NotVision):
            return None
        except ValueError as error:
            _log.warning("the cost of a model cannot be told: %s", " ".join(str(error).splitlines()))
            return None
        return ModelCost(float(found["parameters"]), float(found.get("flops", math.nan))) if found else None

    def parameters(self, recipe: ResolvedRecipe) -> int:
        """The trainable parameters of a vision Recipe's model. Raises ValueError where it cannot be built."""
        key = self._key(recipe)
        if "parameters" not in self._found(key):
            self._add(key, {"parameters": _count(_built(Recipe.model_validate(recipe)))})
        return int(self._found(key)["parameters"])

    def _measure(self, key: str, recipe: ResolvedRecipe) -> None:
        """Raises ValueError where the model cannot be built."""
        whole = Recipe.model_validate(recipe)
        model = _built(whole)
        entry: dict[str, float] = {"parameters": _count(model)}
        from ablate.models.measure import forward_flops

        data = whole.data
        try:
            entry["flops"] = forward_flops(model, (data.image_size, data.image_size), data.channels)
        except Exception as error:  # noqa: BLE001 - whatever the forward of a model of the user's own raises
            _log.warning("the FLOPs of a model cannot be counted: %s: %s", type(error).__name__, error)
        self._add(key, entry)

    def _key(self, recipe: ResolvedRecipe) -> str:
        """Digest of all that the cost depends on. Raises ValueError where a source of the user's own is gone."""
        model, data = recipe.get("model"), recipe.get("data")
        if not (isinstance(model, Mapping) and isinstance(data, Mapping) and all(name in data for name in _IMAGES)):
            raise _NotVision
        costing = {name: _NO_COST.get(name, value) for name, value in model.items()} if "name" not in model else model
        plain = digest({"model": costing, "images": [data[name] for name in _IMAGES]})
        if plain not in self._keys:
            try:
                revision = engine_revision({"model": model})
            except (KeyError, TypeError):  # of a mapping that only looks like a model of the space
                raise _NotVision from None
            self._keys[plain] = digest([plain, revision, _counting()])
        return self._keys[plain]

    def _found(self, key: str) -> dict[str, float]:
        if self._known is None:
            self._known = _entries(self._path)
        return self._known.get(key, {})

    def _add(self, key: str, entry: dict[str, float]) -> None:
        assert self._known is not None  # asked before anything is added
        self._known[key] = self._known.get(key, {}) | entry
        if self._path is None or not self._writes:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError:
            return  # it only saves time
        # Another command may have added to the file meanwhile.
        self._known = _entries(self._path) | self._known
        write_json(self._path, dict(list(self._known.items())[-_KEPT:]))


class _NotVision(ValueError):  # noqa: N818 - it is caught here, or is a ValueError like others
    """The mapping is no Recipe of the vision trainer."""

    def __init__(self) -> None:
        super().__init__("this is no Recipe of the built-in trainer, whose model could be counted")


def _entries(path: Path | None) -> dict[str, dict[str, float]]:
    """What the file has that is whole."""

    def is_whole(entry: Any) -> bool:
        return isinstance(entry, dict) and "parameters" in entry and all(type(n) is int for n in entry.values())

    return {key: entry for key, entry in read_json(path).items() if is_whole(entry)}


def _built(recipe: Recipe) -> nn.Module:
    """The model without memory for its weights. Raises ValueError."""
    import torch

    from ablate.models.build import build

    try:
        with torch.device("meta"):
            return build(recipe.model, recipe.data)
    except ValueError:
        raise
    except Exception as error:  # whatever a model of the user's own raises
        raise ValueError(f"the model cannot be built: {type(error).__name__}: {error}") from error


def _count(model: nn.Module) -> int:
    from ablate.models.vision_transformer import count_parameters

    return count_parameters(model)


@cache
def _counting() -> str:
    """Digest of what builds and counts: the sources of our models, and torch's version, whose counter learns."""
    folder = Path(__file__).resolve().parent / "models"
    content = hashlib.sha256(importlib.metadata.version("torch").encode())
    for file in sorted(folder.rglob("*.py")):
        content.update(f"{file.relative_to(folder).as_posix()}\0".encode() + file.read_bytes())
    return content.hexdigest()
