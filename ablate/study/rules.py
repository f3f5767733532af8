"""Constraints between Factors: which combinations of Levels are not trained."""

from __future__ import annotations

from dataclasses import dataclass

from ablate.study.axes import Axes, Point
from ablate.study.design_spec import Combination
from ablate.study.document import Path_
from ablate.study.resolve import Scope

#: (axis, places on it), all of which must hold.
_Where = tuple[tuple[int, frozenset[int]], ...]


@dataclass(frozen=True)
class Rule:
    """One entry of `exclude` or `only_if`."""

    where: _Where
    requires: _Where | None
    """None where nothing could allow it."""
    text: str
    """What it is, for a message: `entry 1 of 'exclude'`."""
    place: Path_

    def forbids(self, point: Point) -> bool:
        """Whether a combination is not trained."""
        for axis, places in self.where:
            if point[axis] not in places:
                return False
        return self.requires is None or any(point[axis] not in places for axis, places in self.requires)


@dataclass(frozen=True)
class Rules:
    """All constraints of a study."""

    all: tuple[Rule, ...]

    def allow(self, point: Point) -> bool:
        """Whether no constraint forbids a combination."""
        return self.broken_by(point) is None

    def broken_by(self, point: Point) -> Rule | None:
        """The first constraint that forbids a combination."""
        for rule in self.all:
            if rule.forbids(point):
                return rule
        return None


def resolve_rules(scope: Scope, axes: Axes) -> Rules:
    """The study's constraints. Raises `StudyError` for unknown Factors and Levels, or one that forbids the baseline.

    A Level that the study has at another profile alone is known, and holds nowhere.
    """
    rules = []
    for index, combination in enumerate(scope.spec.exclude):
        at: Path_ = ("exclude", index)
        rules.append(Rule(_where(scope, axes, combination, at), None, f"entry {index + 1} of 'exclude'", at))
    for index, only_if in enumerate(scope.spec.only_if):
        at = ("only_if", index)
        where = _where(scope, axes, only_if.levels, (*at, "levels"))
        requires = _where(scope, axes, only_if.requires, (*at, "requires"))
        rules.append(Rule(where, requires, f"entry {index + 1} of 'only_if'", at))
    for rule in rules:
        if rule.forbids(axes.origin):
            message = f"{rule.text} takes out the baseline, with which every other Variant is compared"
            raise scope.document.error(message, rule.place)
    return Rules(tuple(rules))


def _where(scope: Scope, axes: Axes, combination: Combination, at: Path_) -> _Where:
    found = []
    for factor, written in combination.items():
        place = (*at, factor)
        if factor not in axes.factors:
            scope.unknown("Factor", factor, list(axes.factors), place)
        several = isinstance(written, list)
        values = written if isinstance(written, list) else [written]
        names = [scope.document.name_at((*place, i) if several else place, v) for i, v in enumerate(values)]
        known = _known_levels(scope, factor) | _here(axes, factor)
        for index, name in enumerate(names):
            if name not in known:
                scope.unknown(f"Level of {factor!r}", name, list(known), (*place, index) if several else place)
        here = _here(axes, factor)
        found.append((axes.of[factor], frozenset(here[name] for name in names if name in here)))
    return tuple(found)


def _here(axes: Axes, factor: str) -> dict[str, int]:
    """Level -> its place, at this profile."""
    levels = (axes.factors[factor].reference, *axes.factors[factor].levels)
    return {level: place for place, level in enumerate(levels)}


def _known_levels(scope: Scope, factor: str) -> dict[str, int]:
    """The Levels that the study has at any profile; the values say nothing."""
    spec, document = scope.spec.factors[factor], scope.document
    names = [document.name_at(("factors", factor, "reference"), spec.reference), *spec.levels]
    for profile, changes in scope.spec.profiles.items():
        change = changes.factors.get(factor)
        if change is not None:
            names += [level for level, overrides in change.levels.items() if overrides is not None]
            if change.reference is not None:
                at = ("profiles", profile, "factors", factor, "reference")
                names.append(document.name_at(at, change.reference))
    return dict.fromkeys(names, -1)
