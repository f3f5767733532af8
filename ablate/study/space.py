"""The Variants of a study before any of them is resolved: a lazy union of designs, less what constraints forbid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from ablate.study.axes import Axes, Point
from ablate.study.enumerations import Enumeration
from ablate.study.rules import Rules


@dataclass(frozen=True)
class Space:
    """Each point that a design has and no constraint forbids, once: the baseline first, then design by design."""

    axes: Axes
    designs: Sequence[Enumeration]
    rules: Rules

    @cached_property
    def size(self) -> int:
        """How many points there are; counted without going through them where that is possible."""
        if not self.rules.all and len(self.designs) == 1:
            return self.designs[0].size + (self.axes.origin not in self.designs[0])
        return sum(1 for _ in self)

    @property
    def bound(self) -> int:
        """At most so many points would be gone through, known at once."""
        return sum(design.size for design in self.designs)

    def __iter__(self) -> Iterator[Point]:
        yield self.axes.origin
        seen = {self.axes.origin}
        allow = self.rules.allow if self.rules.all else None
        for design in self.designs:
            for point in design:
                if point not in seen and (allow is None or allow(point)):
                    seen.add(point)
                    yield point

    def __contains__(self, point: object) -> bool:
        inside = point == self.axes.origin or any(point in design for design in self.designs)
        return inside and isinstance(point, tuple) and self.rules.allow(point)

    def nearest(self, axis: int, place: int) -> Point | None:
        """The point of the fewest changes that is at a place on an axis: a Level in the least company; None without."""
        alone = tuple(place if number == axis else 0 for number in range(len(self.axes.all)))
        if self.rules.allow(alone):
            return alone
        found = (point for point in self if point[axis] == place)
        return min(found, key=lambda point: sum(map(bool, point)), default=None)
