"""What a design varies: Factors, and such Factors as go together, as axes of a grid whose points are Variants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from ablate.study.document import Path_
from ablate.study.resolve import Scope
from ablate.study.study import BASELINE, Factor

#: A Variant as a place on each axis; 0 is the reference, the baseline is all zeros.
Point = tuple[int, ...]


@dataclass(frozen=True)
class Axis:
    """A Factor, or several whose Levels go together by their place in the study's order."""

    factors: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    """For each place on the axis the Level of each Factor, the references first."""

    @property
    def name(self) -> str:
        """That of its first Factor, which stands for all."""
        return self.factors[0]

    def text(self, place: int) -> str:
        """A place in the words of a Variant's name: `posemb=learned`."""
        return ",".join(f"{f}={level}" for f, level in zip(self.factors, self.levels[place], strict=True))


class ApartError(ValueError):
    """Levels of zipped Factors that do not go together."""


@dataclass(frozen=True)
class Axes:
    """The grid of a study's Factors; its points have names, and Levels."""

    all: tuple[Axis, ...]
    factors: Mapping[str, Factor]

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Places on each axis."""
        return tuple(len(axis.levels) for axis in self.all)

    @property
    def origin(self) -> Point:
        """The baseline."""
        return (0,) * len(self.all)

    @cached_property
    def of(self) -> Mapping[str, int]:
        """Factor -> the number of its axis."""
        return {factor: number for number, axis in enumerate(self.all) for factor in axis.factors}

    @cached_property
    def words(self) -> Mapping[tuple[str, str], str]:
        """Each Factor with each of its Levels, the reference too, in the study's order -> both in one word."""
        every = ((name, level) for name, f in self.factors.items() for level in (f.reference, *f.levels))
        return {(name, level): f"{name}={level}" for name, level in every}

    @cached_property
    def _columns(self) -> tuple[tuple[str, int, tuple[str, ...]], ...]:
        """Factor, its axis, and its Level at each place there, in the study's order of Factors."""
        found = []
        for factor in self.factors:
            axis = self.all[self.of[factor]]
            own = axis.factors.index(factor)
            found.append((factor, self.of[factor], tuple(levels[own] for levels in axis.levels)))
        return tuple(found)

    @cached_property
    def _words(self) -> tuple[tuple[int, tuple[str, ...]], ...]:
        """Axis and, for each place, what a Factor adds to a Variant's name."""
        return tuple(
            (axis, ("", *(f"{factor}={level}" for level in levels[1:]))) for factor, axis, levels in self._columns
        )

    def name(self, point: Point) -> str:
        """``baseline``, or the Levels that differ from it: ``posemb=learned,pool=cls``."""
        return ",".join([word for axis, words in self._words if (word := words[point[axis]])]) or BASELINE

    def named(self, name: str) -> Point | None:
        """The point of a name, the inverse of `name`; None where no point has it, as one in another order."""
        levels = {}
        for word in () if name == BASELINE else name.split(","):
            factor, _, level = word.partition("=")
            if (factor, level) not in self.words:
                return None
            levels[factor] = level
        try:
            point = self.at(levels)
        except ApartError:
            return None
        return point if self.name(point) == name else None

    def levels(self, point: Point) -> dict[str, str]:
        """Factor -> Level, for every Factor."""
        return {factor: levels[point[axis]] for factor, axis, levels in self._columns}

    def at(self, levels: Mapping[str, str]) -> Point:
        """The point with these Levels and the references of all other Factors.

        Raises `ApartError` where they part Factors that are zipped.
        """
        point = list(self.origin)
        for number, axis in enumerate(self.all):
            chosen = tuple(levels.get(f, self.factors[f].reference) for f in axis.factors)
            if chosen not in axis.levels:
                place = next(p for f in axis.factors if f in levels and (p := self.place(f, levels[f])))
                raise ApartError(f"{', '.join(axis.factors)} are zipped: {axis.text(place)} go together")
            point[number] = axis.levels.index(chosen)
        return tuple(point)

    def place(self, factor: str, level: str) -> int:
        """Where a Level stands on its Factor's axis; it must exist."""
        axis = self.all[self.of[factor]]
        own = axis.factors.index(factor)
        return next(place for place, levels in enumerate(axis.levels) if levels[own] == level)


def resolve_axes(scope: Scope, factors: Mapping[str, Factor]) -> Axes:
    """The study's axes, in the order of their first Factors. Raises `StudyError` for `zip` that cannot be."""
    group_of: dict[str, tuple[str, ...]] = {}
    for index, names in enumerate(scope.spec.zip):
        _check_zipped(scope, factors, names, group_of, ("zip", index))
        group_of |= dict.fromkeys(names, tuple(names))
    groups = dict.fromkeys(group_of.get(name, (name,)) for name in factors)
    return Axes(tuple(_axis(group, factors) for group in groups), factors)


def _axis(group: Sequence[str], factors: Mapping[str, Factor]) -> Axis:
    columns = [(factors[name].reference, *factors[name].levels) for name in group]
    return Axis(tuple(group), tuple(zip(*columns, strict=True)))


def _check_zipped(
    scope: Scope, factors: Mapping[str, Factor], names: Sequence[str], taken: Mapping[str, object], at: Path_
) -> None:
    for index, name in enumerate(names):
        if name not in factors:
            scope.unknown("Factor", name, list(factors), (*at, index))
        if name in taken or name in names[:index]:
            raise scope.document.error(f"Factor {name!r} is zipped twice", (*at, index))
    counts = {name: len(factors[name].levels) for name in names}
    if len(set(counts.values())) > 1:
        told = " and ".join(f"{name!r} has {count}" for name, count in counts.items())
        raise scope.document.error(f"zipped Factors need as many Levels each beside the reference: {told}", at)
