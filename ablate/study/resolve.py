"""Factors and listed Variants of a study at one profile: the file's own, with the profile's changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from ablate.study.design_spec import DesignSpec
from ablate.study.document import Document, Path_
from ablate.study.spec import FactorSpec, ProfileSpec, StudyFile, TeacherSpec, VariantSpec
from ablate.study.study import BASELINE, Factor, Level
from ablate.wording import listing, nearest

_Spec = TypeVar("_Spec", VariantSpec, TeacherSpec)


@dataclass(frozen=True)
class Scope:
    """A study file at one profile: where things are looked up, and where their mistakes are told."""

    spec: StudyFile
    profile: ProfileSpec
    profile_name: str
    document: Document

    def in_profile(self, *keys: str | int) -> Path_:
        """The place of something under the profile."""
        return ("profiles", self.profile_name, *keys)

    def overrides_place(self, factor: str, level: str) -> Path_:
        """Where the overrides of a Level stand: in the profile if that has them, else with the Factor."""
        change = self.profile.factors.get(factor)
        if change is not None and level in change.levels:
            return self.in_profile("factors", factor, "levels", level)
        return ("factors", factor, "levels", level)

    def variant_place(self, name: str) -> Path_:
        """Where a listed Variant stands."""
        return self.in_profile("variants", name) if name in self.profile.variants else ("variants", name)

    def teacher_place(self, name: str) -> Path_:
        """Where a teacher stands."""
        return self.in_profile("teachers", name) if name in self.profile.teachers else ("teachers", name)

    @property
    def designs(self) -> Iterator[tuple[str | DesignSpec, Path_]]:
        """The designs, each with its place: the profile's if it has any, else the study's."""
        own = self.profile.design is not None
        asked = self.profile.design if self.profile.design is not None else self.spec.design
        place: Path_ = self.in_profile("design") if own else ("design",)
        if isinstance(asked, list):
            yield from ((design, (*place, index)) for index, design in enumerate(asked))
        else:
            yield asked, place

    def unknown(self, kind: str, name: str, choices: list[str], at: Path_) -> NoReturn:
        """Raise a `StudyError` for a name that does not exist."""
        message = f"there is no {kind} named {name!r}; {listing(choices)}{nearest(name, choices)}"
        raise self.document.error(message, at)


def resolve_factors(scope: Scope) -> dict[str, Factor]:
    """The study's Factors with the profile's changes. Raises `StudyError`."""
    known = scope.spec.factors
    for changed in scope.profile.factors:
        if changed not in known:
            scope.unknown("Factor", changed, list(known), scope.in_profile("factors", changed))
    return {key: _factor(key, factor, scope) for key, factor in known.items()}


def _factor(key: str, spec: FactorSpec, scope: Scope) -> Factor:
    change = scope.profile.factors.get(key)
    at = scope.in_profile("factors", key)
    levels: dict[str, Mapping[str, Any]] = dict(spec.levels)
    for level, overrides in change.levels.items() if change else ():
        if overrides is None:
            if level not in levels:
                scope.unknown(f"Level of {key!r}", level, list(levels), (*at, "levels", level))
            del levels[level]
        else:
            levels[level] = overrides
    if change is not None and change.reference is not None:
        place, written = (*at, "reference"), change.reference
    else:
        place, written = ("factors", key, "reference"), spec.reference
    reference = scope.document.name_at(place, written)
    if reference in levels:
        named = f"Level {reference!r} of {key!r} is named as the reference"
        raise scope.document.error(f"{named}, which is the base itself and has no overrides", place)
    label = change.label if change is not None and change.label is not None else spec.label
    return Factor(key, reference, {n: Level(n, o) for n, o in levels.items()}, label or key)


def resolve_listed(scope: Scope, factors: Mapping[str, Factor]) -> dict[str, tuple[dict[str, str], str]]:
    """The listed Variants: name -> (Levels that it names, note). Raises `StudyError`."""
    listed = _changed(scope.spec.variants, scope.profile.variants, "listed Variant", scope, scope.variant_place)
    if BASELINE in listed:
        place = scope.variant_place(BASELINE)
        raise scope.document.error(f"{BASELINE!r} is the base itself and cannot be listed", place)
    return {name: (_levels(name, spec, scope, factors), spec.note.strip()) for name, spec in listed.items()}


def resolve_teachers(scope: Scope) -> dict[str, TeacherSpec]:
    """The study's teachers with the profile's changes. Raises `StudyError`."""
    found = _changed(scope.spec.teachers, scope.profile.teachers, "teacher", scope, scope.teacher_place)
    if found and scope.spec.trainable is not None:
        message = "teachers are trained by the built-in trainer, and this study has a trainable of its own"
        raise scope.document.error(message, scope.teacher_place(next(iter(found))))
    return found


def _changed(
    own: Mapping[str, _Spec],
    changes: Mapping[str, _Spec | None],
    kind: str,
    scope: Scope,
    place: Callable[[str], Path_],
) -> dict[str, _Spec]:
    """What the study names, with what the profile replaces, adds, or takes out by null."""
    found = dict(own)
    for name, change in changes.items():
        if change is not None:
            found[name] = change
        elif found.pop(name, None) is None:
            scope.unknown(kind, name, list(found), place(name))
    return found


def _levels(name: str, listed: VariantSpec, scope: Scope, factors: Mapping[str, Factor]) -> dict[str, str]:
    chosen = {}
    for factor, written in listed.levels.items():
        place = (*scope.variant_place(name), "levels", factor)
        level = scope.document.name_at(place, written)
        check_level(scope, factors, factor, level, place)
        chosen[factor] = level
    return chosen


def check_level(scope: Scope, factors: Mapping[str, Factor], factor: str, level: str, place: Path_) -> None:
    """Raises `StudyError` where there is no such Factor, or it has no such Level."""
    if factor not in factors:
        scope.unknown("Factor", factor, list(factors), place)
    known = [factors[factor].reference, *factors[factor].levels]
    if level not in known:
        scope.unknown(f"Level of {factor!r}", level, known, place)
