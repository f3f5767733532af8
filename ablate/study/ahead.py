"""Rungs to which a greedy ladder has not got: they have names before they are there, and may be asked for by them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterator, Sequence

from ablate.study.axes import Axes, Point
from ablate.study.merging import Named, Names
from ablate.study.reach import Reach
from ablate.study.spelling import spelled

#: Of the rungs that a greedy ladder could reach, so many of the fewest steps are gone through to find those that a
#: pattern fits. It takes more than 12 steps that there are more.
MOST_RUNGS = 2**12


class Ahead:
    """What the greedy ladders of one study could get to."""

    def __init__(
        self, axes: Axes, reaches: Sequence[Reach], variants: Sequence[Named], key: Callable[[Named], Hashable]
    ) -> None:
        """``variants`` are all that the study has by now, ``key`` is equal for those of one Recipe."""
        self._axes, self._reaches, self._variants, self._key = axes, reaches, variants, key
        self._carriers: dict[Hashable, str] | None = None

    def carrier(self, name: str) -> str | None:
        """The name of what has the Recipe of a rung; None for a name that no greedy ladder can get to.

        That is the Variant which has the Recipe already, else the rung that was asked for first of all that have it.
        """
        point = self._axes.named(name)
        if point is None or not any(reach.includes(point) for reach in self._reaches):
            return None
        return self._carrier(Named(name, point))

    def _carrier(self, rung: Named) -> str:
        if self._carriers is None:
            self._carriers = {self._key(variant): variant.name for variant in self._variants}
        return self._carriers.setdefault(self._key(rung), rung.name)

    def names(self, *stages: Sequence[Named]) -> Names:
        """Those of Variants, after one merging or several, and of what is ahead."""
        axes, rungs = self._axes, self.rungs
        return Names.of(
            *stages,
            ahead=self.carrier,
            choices=lambda: (rung.name for rung in rungs()),
            spelled=lambda name: spelled(name, axes),
        )

    def rungs(self) -> Iterator[Named]:
        """Those that are no Variants by name, ladder by ladder, found as they are asked for: fewest steps first."""
        known = {name for variant in self._variants for name in variant.names}
        for point in self._points():
            if (name := self._axes.name(point)) not in known:
                yield Named(name, point)

    def _points(self) -> Iterator[Point]:
        seen: set[Point] = set()
        for point in itertools.chain.from_iterable(reach.rungs() for reach in self._reaches):
            if point not in seen:
                seen.add(point)
                yield point

    def fitting(self, fit: Callable[[str], object]) -> set[str]:
        """The carriers of the rungs that a pattern fits, of the first `MOST_RUNGS`."""
        return {self._carrier(rung) for rung in itertools.islice(self.rungs(), MOST_RUNGS) if fit(rung.name)}

    def any_above(self, fit: Callable[[Point, str], bool]) -> bool:
        """Whether one fits that takes more than one step, whether or not it is reached by now.

        Of each ladder the first `MOST_RUNGS` are tried; where none of these fits and there are more, it is taken that
        one of the others does.
        """
        for reach in self._reaches:
            tried = 0
            for tried, point in enumerate(itertools.islice(reach.rungs(above=1), MOST_RUNGS), 1):  # noqa: B007
                if fit(point, self._axes.name(point)):
                    return True
            if tried == MOST_RUNGS:
                return True
        return False
