"""The points of designs, none of them made before it is asked for, and how many there are."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ablate.study.axes import Point
from ablate.study.fractional import Fraction


class Enumeration(Protocol):
    """Points of a grid, each once."""

    @property
    def size(self) -> int:
        """How many there are, without going through them."""

    def __iter__(self) -> Iterator[Point]: ...

    def __contains__(self, point: object, /) -> bool: ...


@dataclass(frozen=True)
class Changes:
    """Every change of at most ``most`` of some axes: one at a time, or pairs. The baseline first, then by number."""

    sizes: tuple[int, ...]
    axes: tuple[int, ...]
    most: int

    @property
    def size(self) -> int:
        """The elementary symmetric polynomials of the axes' numbers of Levels, up to ``most``, added up."""
        sums = [1] + [0] * self.most
        for axis in self.axes:
            for degree in range(self.most, 0, -1):
                sums[degree] += sums[degree - 1] * (self.sizes[axis] - 1)
        return sum(sums)

    def __iter__(self) -> Iterator[Point]:
        for count in range(self.most + 1):
            for axes in itertools.combinations(self.axes, count):
                for places in itertools.product(*(range(1, self.sizes[axis]) for axis in axes)):
                    point = [0] * len(self.sizes)
                    for axis, place in zip(axes, places, strict=True):
                        point[axis] = place
                    yield tuple(point)

    def __contains__(self, point: object) -> bool:
        changed = _changed(self.sizes, point)
        return changed is not None and len(changed) <= self.most and changed <= set(self.axes)


@dataclass(frozen=True)
class Crossing:
    """Every combination of the Levels of some axes, the baseline first, the last axis changing fastest."""

    sizes: tuple[int, ...]
    axes: tuple[int, ...]

    @property
    def size(self) -> int:
        """Their product."""
        return math.prod(self.sizes[axis] for axis in self.axes)

    def __iter__(self) -> Iterator[Point]:
        own = set(self.axes)
        return itertools.product(*(range(size if axis in own else 1) for axis, size in enumerate(self.sizes)))

    def __contains__(self, point: object) -> bool:
        changed = _changed(self.sizes, point)
        return changed is not None and changed <= set(self.axes)


@dataclass(frozen=True)
class Runs:
    """The runs of a fraction; ``places`` are the Levels that stand against the references."""

    sizes: tuple[int, ...]
    axes: tuple[int, ...]
    places: tuple[int, ...]
    fraction: Fraction

    @property
    def size(self) -> int:
        """2^base."""
        return self.fraction.size

    def __iter__(self) -> Iterator[Point]:
        for run in self.fraction.runs():
            point = [0] * len(self.sizes)
            for axis, place, changed in zip(self.axes, self.places, run, strict=True):
                point[axis] = place if changed else 0
            yield tuple(point)

    def __contains__(self, point: object) -> bool:
        changed = _changed(self.sizes, point)
        if changed is None or not changed <= set(self.axes) or not isinstance(point, tuple):
            return False
        if any(point[axis] not in (0, place) for axis, place in zip(self.axes, self.places, strict=True)):
            return False
        run = sum((axis in changed) << i for i, axis in enumerate(self.axes[: self.fraction.base]))
        columns = zip(self.axes, self.fraction.columns, strict=True)
        return all((column & run).bit_count() % 2 == (axis in changed) for axis, column in columns)


@dataclass(frozen=True)
class Given:
    """Points that are spelled out: a ladder's, or a list's."""

    points: Sequence[Point]

    @property
    def size(self) -> int:
        """Their number."""
        return len(self.points)

    def __iter__(self) -> Iterator[Point]:
        return iter(self.points)

    def __contains__(self, point: object) -> bool:
        return point in self.points


def _changed(sizes: tuple[int, ...], point: object) -> set[int] | None:
    """The axes on which a point is not at the reference; None where it is no point of the grid."""
    if not isinstance(point, tuple) or len(point) != len(sizes):
        return None
    if not all(isinstance(place, int) and 0 <= place < size for place, size in zip(point, sizes, strict=True)):
        return None
    return {axis for axis, place in enumerate(point) if place}
