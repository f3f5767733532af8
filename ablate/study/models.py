"""Models as a study may write them: a preset with changes, spelled out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ablate.parts import KINDS
from ablate.presets import PRESETS, preset
from ablate.recipe import Model, resolve_whole
from ablate.recipe.part import resolve_part
from ablate.study.overrides import OverrideError, apply, overlap, settings
from ablate.wording import listing, nearest, shown


def spelled_out(model: Any) -> Any:
    """The model section that a name or ``{preset: ViT-S/16, depth: 6, stem.patch_size: 4}`` stands for.

    Whatever else is given, right or wrong, comes back as it is. Raises `OverrideError` for a preset that does not
    exist and for changes that it has no field for.
    """
    if isinstance(model, str):
        return _complete(preset(model)) if model in PRESETS else model
    if not isinstance(model, Mapping) or "preset" not in model:
        return model
    name = model["preset"]
    if not isinstance(name, str):
        raise OverrideError("model.preset", f"model.preset must be the name of a preset, not {shown(name)}")
    if name not in PRESETS:
        message = f"there is no preset named {name!r}; {listing(PRESETS)}{nearest(name, PRESETS)}"
        raise OverrideError("model.preset", message)
    changes = {key: value for key, value in model.items() if key != "preset"}
    _check_once(changes)
    return apply({"model": _complete(preset(name))}, {"model": changes}, parts=True)["model"]


def _check_once(changes: Mapping[str, Any]) -> None:
    """Raises `OverrideError` where the changes of a preset name another model, or set a field twice."""
    if "name" in changes:
        raise OverrideError("model.name", "a model is given by its name or by a preset, not by both")
    fields = [field for field, _ in settings({"model": changes}, parts=True)]
    for index, later in enumerate(fields):
        for earlier in fields[:index]:
            if overlap(earlier, later):
                raise OverrideError(later, f"{earlier!r} and {later!r} are both set here; set it once, as a whole")


def _complete(model: Mapping[str, Any]) -> dict[str, Any]:
    """A preset with every field and option that it leaves to their defaults."""
    if "name" in model:
        whole = resolve_whole(model)
        return {"name": whole.name, **whole.options}
    parts = {}
    for kind in KINDS:
        part = resolve_part(kind, model[kind])
        parts[kind] = {"name": part.name, **part.options}
    given = {**model, **parts}
    return {name: given.get(name, field.default) for name, field in Model.model_fields.items()}
