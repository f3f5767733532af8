"""Variants of a study: one Recipe for each, no two of them the same."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ablate.study.bases import BaseRecipe
from ablate.study.designs import Assignment, one_at_a_time, reference, size, union, variant_name
from ablate.study.document import Path_
from ablate.study.errors import Problem, StudyError
from ablate.study.identity import digest
from ablate.study.overrides import differences, overlap, settings
from ablate.study.resolve import Scope, resolve_listed
from ablate.study.study import Factor, Level, Variant
from ablate.study.teachers import check_teacher

_Changed = list[tuple[str, Level]]
#: The most Variants that a design may have: each is resolved and checked (2 ms) before anything trains.
MAX_VARIANTS = 10_000


def resolve_variants(
    scope: Scope, factors: Mapping[str, Factor], base: BaseRecipe, teachers: Collection[str] = ()
) -> tuple[Variant, ...]:
    """Every Variant of the design, the baseline first, then the listed ones.

    One that learns from one of the study's ``teachers`` names it as the study does. Raises `StudyError` for a design of
    more than `MAX_VARIANTS`, for a Level that cannot be applied or changes nothing, for two Variants with one Recipe,
    for Levels that contradict each other, and for listed Variants that name what does not exist.
    """
    designs = [scope.spec.design] if isinstance(scope.spec.design, str) else list(scope.spec.design)
    _check_size(scope, factors, designs)
    recipes = _Recipes(scope, factors, base, teachers)
    recipes.check_levels()
    variants = []
    seen: dict[str, str] = {}
    for name, assignment, note, at in _named(scope, factors, designs):
        recipe = recipes.of(name, assignment, at)
        key = digest(recipe)
        if key in seen:
            message = f"Variants {seen[key]!r} and {name!r} have the same Recipe; take one out"
            raise scope.document.error(message, at)
        seen[key] = name
        variants.append(Variant(name, assignment, recipe, differences(base.tree, recipe), note))
    return tuple(variants)


def _check_size(scope: Scope, factors: Mapping[str, Factor], designs: list[Any]) -> None:
    largest = max(size(name, factors) for name in designs)
    if largest > MAX_VARIANTS:
        allowed = f"at most {MAX_VARIANTS:,} are allowed; take out Factors or Levels, or list the Variants that matter"
        raise scope.document.error(f"the design has {largest:,} Variants; {allowed}", ("design",))


def _named(
    scope: Scope, factors: Mapping[str, Factor], designs: list[Any]
) -> Iterator[tuple[str, Assignment, str, Path_]]:
    """Name, Levels, note and place of every Variant."""
    for assignment in union(designs, factors):
        changed = _changed(assignment, factors)
        place = scope.overrides_place(changed[-1][0], changed[-1][1].name) if changed else ("base",)
        yield variant_name(assignment, factors), assignment, "", place
    for name, (levels, note) in resolve_listed(scope, factors).items():
        yield name, reference(factors) | levels, note, scope.variant_place(name)


def _changed(assignment: Mapping[str, str], factors: Mapping[str, Factor]) -> _Changed:
    """Factor and Level, wherever it is not the reference."""
    return [(f, factors[f].levels[name]) for f, name in assignment.items() if name != factors[f].reference]


class _Recipes:
    """The Recipe that an assignment of Levels makes of the base; each is made once."""

    def __init__(
        self, scope: Scope, factors: Mapping[str, Factor], base: BaseRecipe, teachers: Collection[str]
    ) -> None:
        self._scope, self._factors, self._base, self._teachers = scope, factors, base, teachers
        self._made: dict[tuple[str, ...], Mapping[str, Any]] = {}
        self._steps: list[tuple[tuple[str, Level], BaseRecipe]] = []
        """Level by Level, how the last Recipe came from the base."""

    def check_levels(self) -> None:
        """Apply each Level alone to the base, whether or not the design does; every mistake is told at once."""
        problems: list[Problem] = []
        unchanged = digest(self._base.tree)
        for assignment in one_at_a_time(self._factors):
            changed = _changed(assignment, self._factors)
            try:
                recipe = self.of("", assignment, ())
            except StudyError as error:
                problems += error.problems
                continue
            if changed and digest(recipe) == unchanged:
                (factor, level), *_ = changed
                same = f"its Recipe is that of the reference {self._factors[factor].reference!r}"
                message = f"Level {level.name!r} of {factor!r} changes nothing: {same}"
                problems.append(self._scope.document.problem(message, self._scope.overrides_place(factor, level.name)))
        if problems:
            raise StudyError(*problems)

    def of(self, name: str, assignment: Assignment, at: Path_) -> Mapping[str, Any]:
        """The resolved Recipe. Raises `StudyError` where a Level does not fit the base, or another Level."""
        key = tuple(assignment.values())
        if key not in self._made:
            changed = _changed(assignment, self._factors)
            self._check_contradictions(name, changed, at)
            checked = self._changed(changed).checked()
            check_teacher(checked, self._teachers)
            self._made[key] = checked.tree
        return self._made[key]

    def _changed(self, changed: _Changed) -> BaseRecipe:
        """The base with some Levels, not yet checked. A factorial goes through them like the digits of a counter, so
        all but the last Levels are mostly those of the Recipe before, and are not applied again.
        """
        shared = 0
        while shared < min(len(changed), len(self._steps)) and self._steps[shared][0] == changed[shared]:
            shared += 1
        del self._steps[shared:]
        for factor, level in changed[shared:]:
            recipe = self._steps[-1][1] if self._steps else self._base
            place = self._scope.overrides_place(factor, level.name)
            self._steps.append(((factor, level), recipe.changed(level.overrides, self._scope.document, place)))
        return self._steps[-1][1] if self._steps else self._base

    def _check_contradictions(self, name: str, changed: _Changed, at: Path_) -> None:
        """Two Levels of one Variant may set the same field only if to the same value."""
        fields: list[tuple[str, Any, str]] = []
        for factor, level in changed:
            own = f"{factor}={level.name}"
            for field, value in settings(level.overrides, parts=self._base.has_parts):
                for other, other_value, owner in fields:
                    if owner != own and overlap(field, other) and (field, value) != (other, other_value):
                        both = f"{owner} sets {other!r} and {own} sets {field!r}"
                        raise self._scope.document.error(f"Variant {name!r} contradicts itself: {both}", at)
                fields.append((field, value, own))
