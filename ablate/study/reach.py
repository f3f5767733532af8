"""Where a greedy ladder can get to: all of it, lowest rungs first, or one point that is asked about."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from ablate.study.axes import Point
from ablate.study.rules import Rules

#: (axis, the place on it that a step leads to), for each axis that a step changes.
Places = tuple[tuple[int, int], ...]
#: So many sets of steps are gone through to find an order in which constraints allow them. It takes 12 steps that the
#: constraints speak of, or that change axes of one another, before there are more.
MOST_SETS = 2**12


@dataclass(frozen=True)
class Reach:
    """The points to which some results lead a greedy ladder, whatever they choose at each rung.

    A set of steps is a whole number, its bit n that of step n; those in it are made, in the study's order. A forward
    ladder begins with none and makes one more at each rung; a backward one begins with all and takes one back. Results
    may choose each step that changes something where the ladder stands and leads to what constraints allow.
    """

    steps: tuple[Places, ...]
    origin: Point
    rules: Rules
    backward: bool

    def rungs(self, above: int = 0) -> Iterator[Point]:
        """Each rung of more than so many steps once, those of the fewest steps first; 20 microseconds each."""
        found: set[Point] = set()
        level = [self._every if self.backward else 0]
        for steps in itertools.count(1):
            if not level:
                return
            higher: dict[int, None] = {}
            for made in level:
                for further, point in self._moves(made, self._every):
                    higher[further] = None
                    if point not in found:
                        found.add(point)
                        if steps > above:
                            yield point
            level = list(higher)

    def includes(self, point: Point) -> bool:
        """Whether it is the foot, or a rung that some results lead to; found without going through all of them.

        Steps that no constraint speaks of, and that share no axis with another, can be taken at any time, so an order
        is sought for the others alone. Where more than `MOST_SETS` sets of these were tried, the answer is yes: a name
        too many is waited for in vain, one too few keeps a study from running.
        """
        wanted = self._made_at(point)
        if self.point(wanted) != point or not self.rules.allow(point):
            return False
        bound = self._bound(self._every if self.backward else wanted)
        start = wanted & ~bound | (bound if self.backward else 0)
        seen, left = {start}, [start]
        while left and len(seen) <= MOST_SETS:
            made = left.pop()
            if self.point(made) == point:
                return True
            for further, _ in self._moves(made, bound):
                if further not in seen:
                    seen.add(further)
                    left.append(further)
        return len(seen) > MOST_SETS

    def point(self, made: int) -> Point:
        """Where a set of steps leads. A later step, in the study's order, has the last word on an axis."""
        point = list(self.origin)
        for number, places in enumerate(self.steps):
            if made >> number & 1:
                for axis, place in places:
                    point[axis] = place
        return tuple(point)

    @property
    def _every(self) -> int:
        return (1 << len(self.steps)) - 1

    def _moves(self, made: int, among: int) -> Iterator[tuple[int, Point]]:
        """The sets that one more rung leads to by some of the steps, and where they lead."""
        here = self.point(made)
        for number in range(len(self.steps)):
            step = 1 << number
            if step & among and bool(made & step) == self.backward:
                point = self.point(made ^ step)
                if point != here and self.rules.allow(point):
                    yield made ^ step, point

    def _made_at(self, point: Point) -> int:
        """The largest set of steps that may lead to a point: wherever one misses it, a later one of them hits it.

        Every set that leads there is a part of this one, and if there is any, then this one does, too.
        """
        made, hit = 0, set[int]()
        for number in reversed(range(len(self.steps))):
            if all(place == point[axis] or axis in hit for axis, place in self.steps[number]):
                made |= 1 << number
                hit |= {axis for axis, place in self.steps[number] if place == point[axis]}
        return made

    def _bound(self, among: int) -> int:
        """Those of some steps for which it matters when they are taken."""
        each = [places if among >> number & 1 else () for number, places in enumerate(self.steps)]
        count = Counter(axis for places in each for axis, _ in places)
        tied = {axis for axis, uses in count.items() if uses > 1} | self._ruled
        return sum(1 << number for number, places in enumerate(each) if any(axis in tied for axis, _ in places))

    @cached_property
    def _ruled(self) -> frozenset[int]:
        """The axes that constraints speak of."""
        return frozenset(axis for rule in self.rules.all for axis, _ in (*rule.where, *(rule.requires or ())))
