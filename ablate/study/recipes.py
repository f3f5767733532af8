"""The Recipes that points of a study's grid make of its base."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ablate.study.axes import Axes, Point
from ablate.study.bases import BaseRecipe
from ablate.study.resolve import Scope
from ablate.study.study import Level
from ablate.study.teachers import check_teacher


class Recipes:
    """Makes each Recipe once; one that learns from one of the study's teachers names it as the study does."""

    def __init__(self, scope: Scope, axes: Axes, base: BaseRecipe, teachers: Collection[str]) -> None:
        self.scope, self.axes, self.base = scope, axes, base
        self._teachers = teachers
        self._made: dict[Point, Mapping[str, Any]] = {}
        self._steps: list[tuple[tuple[str, Level], BaseRecipe]] = []
        """Level by Level, how the last Recipe came from the base."""

    def of(self, point: Point) -> Mapping[str, Any]:
        """The resolved Recipe. Raises `StudyError` where a Level does not fit the base, or another Level."""
        if point not in self._made:
            checked = self._changed(self.changed(point)).checked()
            check_teacher(checked, self._teachers)
            self._made[point] = checked.tree
        return self._made[point]

    def changed(self, point: Point) -> list[tuple[str, Level]]:
        """Factor and Level, wherever it is not the reference."""
        factors = self.axes.factors
        levels = self.axes.levels(point)
        return [(f, factors[f].levels[name]) for f, name in levels.items() if name != factors[f].reference]

    def _changed(self, changed: list[tuple[str, Level]]) -> BaseRecipe:
        """The base with some Levels, not yet checked. A factorial goes through them like the digits of a counter, so
        all but the last Levels are mostly those of the Recipe before, and are not applied again.
        """
        shared = 0
        while shared < min(len(changed), len(self._steps)) and self._steps[shared][0] == changed[shared]:
            shared += 1
        del self._steps[shared:]
        for factor, level in changed[shared:]:
            recipe = self._steps[-1][1] if self._steps else self.base
            place = self.scope.overrides_place(factor, level.name)
            self._steps.append(((factor, level), recipe.changed(level.overrides, self.scope.document, place)))
        return self._steps[-1][1] if self._steps else self.base
