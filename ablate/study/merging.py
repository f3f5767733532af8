"""Names that mean one Recipe: which of them a Variant carries, and which others it answers to."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ablate.study.axes import Point
from ablate.study.resolve import Scope
from ablate.study.study import BASELINE
from ablate.wording import listing, nearest

#: So many names are shown where one is unknown; where there are more than so many, none is looked for that is near as a
#: whole: a difference in one part of many is nothing to the likeness of two long names.
_SHOWN, _LOOKED_AT = 20, 2000


class Named(NamedTuple):
    """A Variant to be: its name, its point, and the other names of it that the study asked for."""

    name: str
    point: Point
    listed: bool = False
    also: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All that it answers to."""
        return (self.name, *self.also)


def merged(variants: Iterable[Named], key: Callable[[Named], Hashable]) -> list[Named]:
    """The Variants, those of one key as one, where the first of them stood.

    The baseline keeps its name; else the first listed name wins, with its Levels, else the first.
    """
    found: dict[Hashable, Named] = {}
    for variant in variants:
        own = key(variant)
        first = found.get(own)
        if first is None:
            found[own] = variant
        elif variant.listed and not first.listed and first.name != BASELINE:
            found[own] = variant._replace(also=(*first.names, *variant.also))
        else:
            found[own] = first._replace(also=(*first.also, *variant.names))
    return list(found.values())


def _nobody(name: str) -> str | None:  # noqa: ARG001
    """Of a study that has nothing ahead."""
    return None


@dataclass(frozen=True)
class Names:
    """Every name of a study's Variants, chosen or not -> the name of the Variant that answers to it."""

    carried: Mapping[str, str]
    ahead: Callable[[str], str | None] = _nobody
    """The same of what may become a Variant, and so may be named: a rung that a greedy ladder has not got to."""
    choices: Callable[[], Iterable[str]] = tuple
    """Names that ``ahead`` knows, found one by one as they are asked for."""
    spelled: Callable[[str], str | None] = _nobody
    """A name by the study's own words, where every part of it is near one."""
    absent: Mapping[str, str] = field(default_factory=dict)
    """Names that might be expected and that nothing has -> why."""

    @classmethod
    def of(
        cls,
        *stages: Sequence[Named],
        ahead: Callable[[str], str | None] = _nobody,
        choices: Callable[[], Iterable[str]] = tuple,
        spelled: Callable[[str], str | None] = _nobody,
    ) -> Names:
        """The names after one merging, or after several of which each began with the result of the one before.

        What ``ahead`` finds are names after the first merging, or the names of what was merged there.
        """
        carried: dict[str, str] = {}
        for stage in stages:
            carried |= {name: variant.name for variant in stage for name in variant.names}

        def last(name: str) -> str | None:
            found = ahead(name)
            return None if found is None else carried.get(found, found)

        return cls(carried, last, choices, spelled)

    def unknown(self, name: str, ending: str = "") -> str:
        """What is told of a name that does not exist: ``allowed: a, b, c; did you mean 'b'?``.

        ``ending`` is what was written after the name, and stands after the one that was meant, too.
        """
        names = [*self.carried, *itertools.islice(self.choices(), _LOOKED_AT)]
        more = len(names) - len(self.carried) == _LOOKED_AT
        count = f"more than {len(names) - 1:,}" if more else f"{len(names):,}"
        rest = f", ... ({count} in all)" if len(names) > _SHOWN else ""
        meant = self.spelled(name)
        if meant is not None and meant != name and self.carrier(meant) is not None:
            hint = f"; did you mean {meant + ending!r}?"
        else:
            near = names if "=" in name else list(self.carried)  # a rung that is ahead has Levels in its name
            hint = nearest(name + ending, [each + ending for each in near]) if len(near) <= _LOOKED_AT else ""
        return f"{listing(names[:_SHOWN])}{rest}{hint}"

    def carrier(self, name: str) -> str | None:
        """The name of the Variant that answers to a name, or would if it were trained; None where there is none."""
        return self.carried.get(name) or self.ahead(name)

    def find(self, name: str, scope: Scope, at: tuple[str | int, ...]) -> str:
        """The same for a name that the study gives at a place. Raises `StudyError` where there is none."""
        found = self.carrier(name)
        if found is None or found in self.absent:
            told = self.absent.get(found or name) or self.unknown(name)
            raise scope.document.error(f"there is no Variant named {name!r}; {told}", at)
        return found
