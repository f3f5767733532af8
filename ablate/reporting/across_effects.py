"""Which effects several studies share: the same Level of the same Factor, or the same fields set to the same values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ablate.study.study import Study, Variant

#: How alike the changes are that studies call by one name, or make under several names.
SAME_CHANGE = "same change"
OTHER_REFERENCE = "same setting, other reference"
OTHER_SETTINGS = "same name, other settings"


@dataclass(frozen=True)
class SharedEffect:
    """A change of the baseline that at least two studies make."""

    name: str
    """As the first of them calls its Variant."""
    variants: Mapping[int, str]
    """Place of a study among those compared -> the name of its Variant."""
    alike: str
    """`SAME_CHANGE` where each of them changes the same fields from and to the same values; `OTHER_REFERENCE` where
    only what they are set to is the same; `OTHER_SETTINGS` where only Factor and Level are called the same."""


@dataclass
class _Group:
    name: str
    levels: frozenset[tuple[str, str]]
    settings: frozenset[tuple[str, str]]
    control: bool
    found: dict[int, Variant] = field(default_factory=dict)


def shared_effects(studies: Sequence[Study]) -> list[SharedEffect]:
    """The effects that at least two of the studies have, in the order of the first study that has them.

    Variants belong together that differ from their baselines in the same Levels by name; of those left over, the ones
    that set the same fields to the same values. A Variant belongs to one effect at most, and a matched-capacity control
    only ever to controls.
    """
    groups: list[_Group] = []
    for place, study in enumerate(studies):
        left = [variant for variant in study.variants if not variant.is_baseline]
        for by_name in (True, False):
            left = [variant for variant in left if not _joined(groups, place, study, variant, by_name)]
        groups += [_group(study, variant, place) for variant in left]
    return [
        SharedEffect(group.name, {place: v.name for place, v in group.found.items()}, _alike(group.found))
        for group in groups
        if len(group.found) > 1
    ]


def _joined(groups: list[_Group], place: int, study: Study, variant: Variant, by_name: bool) -> bool:
    """Put a Variant into the group that it belongs to; False where there is none."""
    own = _group(study, variant, place)
    for group in groups:
        same = own.levels and own.levels == group.levels if by_name else own.settings == group.settings
        if same and own.control == group.control and place not in group.found:
            group.found[place] = variant
            return True
    return False


def _group(study: Study, variant: Variant, place: int) -> _Group:
    changed = {
        (factor, level)
        for factor, level in variant.levels.items()
        if factor in study.factors and level != study.factors[factor].reference
    }
    settings = {(name, _text(new)) for name, (_, new) in variant.changes.items()}
    return _Group(variant.name, frozenset(changed), frozenset(settings), bool(variant.control_of), {place: variant})


def _alike(found: Mapping[int, Variant]) -> str:
    changes = list(map(_changes, found.values()))
    if all(change == changes[0] for change in changes):
        return SAME_CHANGE
    settings = [[(name, new) for name, _, new in change] for change in changes]
    return OTHER_REFERENCE if all(setting == settings[0] for setting in settings) else OTHER_SETTINGS


def _changes(variant: Variant) -> list[tuple[str, str, str]]:
    return sorted(_written(variant))


def _written(variant: Variant) -> Iterator[tuple[str, str, str]]:
    for name, (old, new) in variant.changes.items():
        yield name, _text(old), _text(new)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
