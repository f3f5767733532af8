"""What is wrong with a study's Levels, found without resolving every Variant that has them.

A Variant is the base with a set of Levels, and two Levels of one Variant may set the same field only to the same value.
So each Level is applied once, Levels are held against each other two by two, and what the Variants' Recipes have in
common follows from what each Level changes: 2^16 Variants are validated by looking at 16 Levels.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any

from ablate.study.document import Path_
from ablate.study.errors import Problem, StudyError
from ablate.study.identity import digest
from ablate.study.merging import Named
from ablate.study.overrides import flatten, overlap, settings
from ablate.study.recipes import Recipes
from ablate.study.space import Space
from ablate.study.study import Factor, Level

#: (field, value as text) for everything that a Level changes.
Effect = frozenset[tuple[str, str]]
_GONE = "gone"


def check_levels(space: Space, recipes: Recipes) -> dict[tuple[int, int], Effect]:
    """Apply every Level, whether or not the designs do; (axis, place) -> what the Levels there change.

    A Level is applied alone, or in the least company in which constraints allow it. Raises `StudyError` with every
    Level that cannot be applied, or changes nothing.
    """
    problems: list[Problem] = []
    effects: dict[tuple[int, int], Effect] = {}
    for number, axis in enumerate(space.axes.all):
        for place in range(1, len(axis.levels)):
            try:
                effects[number, place] = _effect(space, recipes, number, place)
            except StudyError as error:
                problems += error.problems
    if problems:
        raise StudyError(*problems)
    return effects


def _effect(space: Space, recipes: Recipes, number: int, place: int) -> Effect:
    """What an axis changes at a place. Raises `StudyError`."""
    axis = space.axes.all[number]
    levels = [(f, space.axes.factors[f].levels[n]) for f, n in zip(axis.factors, axis.levels[place], strict=True)]
    point = space.nearest(number, place)
    if point is None:  # no Variant can have it: see at least that its fields exist
        for factor, level in levels:
            at = recipes.scope.overrides_place(factor, level.name)
            recipes.base.changed(level.overrides, recipes.scope.document, at)
        return _as_written(recipes, levels)
    recipe = recipes.of(point)
    without = tuple(0 if other == number else own for other, own in enumerate(point))
    try:
        before = recipes.of(without)
    except StudyError:  # what it needs may need it, too
        return _as_written(recipes, levels)
    factor, level = levels[0]
    if digest(recipe) == digest(before):
        raise _changes_nothing(recipes, space.axes.factors[factor], level)
    if len(levels) > 1:
        _check_zipped(space, recipes, levels)
    return _difference(before, recipe) if not any(without) else _as_written(recipes, levels)


def _changes_nothing(recipes: Recipes, factor: Factor, level: Level) -> StudyError:
    same = f"its Recipe is that of the reference {factor.reference!r}"
    message = f"Level {level.name!r} of {factor.name!r} changes nothing: {same}"
    return recipes.scope.document.error(message, recipes.scope.overrides_place(factor.name, level.name))


def _check_zipped(space: Space, recipes: Recipes, levels: list[tuple[str, Level]]) -> None:
    """Raises `StudyError` where one of several Levels that go together changes nothing. Alone it need not be valid."""
    for factor, level in levels:
        at = recipes.scope.overrides_place(factor, level.name)
        try:
            alone = recipes.base.changed(level.overrides, recipes.scope.document, at).checked()
        except StudyError:
            continue
        if digest(alone.tree) == digest(recipes.base.tree):
            raise _changes_nothing(recipes, space.axes.factors[factor], level)


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> Effect:
    old, new = ({field: json.dumps(value) for field, value in flatten(tree)} for tree in (before, after))
    gone = {(field, _GONE) for field in old.keys() - new.keys()}
    return frozenset(gone | (new.items() - old.items()))


def _as_written(recipes: Recipes, levels: Iterable[tuple[str, Level]]) -> Effect:
    """Where a Level cannot be applied alone. It may miss that two Levels mean the same; their digests tell then."""
    parts = recipes.base.has_parts
    return frozenset(
        (field, json.dumps(value, sort_keys=True))
        for _, level in levels
        for field, value in settings(level.overrides, parts=parts)
    )


def recipe_key(space: Space, effects: Mapping[tuple[int, int], Effect]) -> Callable[[Named], Hashable]:
    """A key that is equal for two Variants if they have the same Recipe, from what their Levels change.

    Points differ, so Recipes can be equal only where axes change the same fields, or two places of an axis the same.
    """
    of_axis: dict[int, set[str]] = {}
    for (axis, _), effect in effects.items():
        of_axis.setdefault(axis, set()).update(field for field, _ in effect)
    shared = {axis for axis, other in _pairs_that_share(of_axis) for axis in (axis, other)}
    for (axis, place), effect in effects.items():
        if any(effects.get((axis, other)) == effect for other in range(1, place)):
            shared.add(axis)
    if not shared:
        return lambda variant: variant.point
    apart = [axis for axis in range(len(space.axes.all)) if axis not in shared]
    together = sorted(shared)

    def key(variant: Named) -> Hashable:
        point = variant.point
        changes = [effects[axis, point[axis]] for axis in together if point[axis]]
        return tuple([point[axis] for axis in apart]), frozenset().union(*changes)

    return key


def _pairs_that_share(of_axis: Mapping[int, set[str]]) -> Iterator[tuple[int, int]]:
    for one, other in itertools.combinations(of_axis, 2):
        if not of_axis[one].isdisjoint(of_axis[other]):
            yield one, other


def check_contradictions(
    space: Space, recipes: Recipes, variants: Iterable[Named], place_of: Callable[[Named], Path_]
) -> None:
    """Raises `StudyError` for the first Variant two of whose Levels set the same field, not to the same value."""
    pairs = list(_contradictions(space, recipes))
    if not pairs:
        return
    for variant in variants:
        for one, other, text in pairs:
            if all(variant.point[axis] in places for axis, places in (one, other)):
                message = f"Variant {variant.name!r} contradicts itself: {text}"
                raise recipes.scope.document.error(message, place_of(variant))


_Somewhere = tuple[int, frozenset[int]]


def _contradictions(space: Space, recipes: Recipes) -> Iterator[tuple[_Somewhere, _Somewhere, str]]:
    """Where two Levels of different Factors stand, and what they both set, for each two that cannot be together."""
    parts = recipes.base.has_parts
    each = [(f, level) for f in space.axes.factors.values() for level in f.levels.values()]
    fields = [settings(level.overrides, parts=parts) for _, level in each]
    for (i, (factor, level)), (j, (later, other)) in itertools.combinations(enumerate(each), 2):
        if factor is later:
            continue
        for (field, value), (second, second_value) in itertools.product(fields[i], fields[j]):
            if overlap(field, second) and (field, value) != (second, second_value):
                both = f"{factor.name}={level.name} sets {field!r} and {later.name}={other.name} sets {second!r}"
                yield _stands(space, factor, level), _stands(space, later, other), both
                break


def _stands(space: Space, factor: Factor, level: Level) -> _Somewhere:
    return space.axes.of[factor.name], frozenset({space.axes.place(factor.name, level.name)})
