"""Every Variant's Recipe as the baseline's and what differs from it: the script shows any one, or two side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ablate.reporting.comparison import value_text
from ablate.reporting.provenance import flat_recipe
from ablate.study.study import ResolvedRecipe, Study


def recipes_data(study: Study) -> dict[str, Any]:
    """`fields`: the baseline's flat Recipe as pairs; `changes`: for each Variant in the study's order, field -> its
    text, None where its Recipe lacks the field.
    """
    base = study.baseline.recipe
    changes = [flat_changes(base, variant.recipe) for variant in study.variants]
    return {"fields": list(flat_recipe(base).items()), "changes": changes}


def flat_changes(before: ResolvedRecipe, after: ResolvedRecipe) -> dict[str, str | None]:
    """Flat field -> its text in `after`, None where that lacks it, for every field in which the two differ.

    Unlike `Variant.changes`, which tells a replaced part in its shortest form, this names every value.
    """
    return dict(_changes(before, after, ""))


def _same(old: Any, new: Any) -> bool:
    """Whether two leaves read alike: `1`, `1.0` and `true` do not, though Python calls them equal."""
    if isinstance(old, Mapping) or isinstance(new, Mapping):
        return old is new or old == new == {}
    return old is new or (type(old) is type(new) and old == new and value_text(old) == value_text(new))


def _changes(before: Mapping[str, Any], after: Mapping[str, Any], path: str) -> Iterator[tuple[str, str | None]]:
    for key in [*before, *(key for key in after if key not in before)]:
        here = f"{path}.{key}" if path else str(key)
        old, new = before.get(key), after.get(key)
        if key in before and key in after and _same(old, new):
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping) and old and new:
            yield from _changes(old, new, here)
            continue
        if key in before:
            yield from dict.fromkeys(flat_recipe({here: old})).items()
        if key in after:
            yield from flat_recipe({here: new}).items()
