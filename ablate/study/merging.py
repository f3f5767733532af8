"""Names that mean one Recipe: which of them a Variant carries, and which others it answers to."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ablate.study.axes import Point
from ablate.study.resolve import Scope
from ablate.study.study import BASELINE
from ablate.wording import listing, nearest

#: So many names are shown where one is unknown; of so many the nearest is looked for.
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


@dataclass(frozen=True)
class Names:
    """Every name of a study's Variants, chosen or not -> the name of the Variant that answers to it."""

    carried: Mapping[str, str]
    further: Callable[[], Mapping[str, str]] = dict
    """The same of what may become a Variant, and so may be named: rungs that a greedy ladder has not got to. Found
    when a name is asked for that no Variant has."""
    absent: Mapping[str, str] = field(default_factory=dict)
    """Names that might be expected and that nothing has -> why."""

    @classmethod
    def of(cls, *stages: Sequence[Named], further: Callable[[], Mapping[str, str]] = dict) -> Names:
        """The names after one merging, or after several of which each began with the result of the one before.

        ``further`` are names after the first merging, or the names of what was merged there.
        """
        carried: dict[str, str] = {}
        for stage in stages:
            carried |= {name: variant.name for variant in stage for name in variant.names}
        return cls(carried, lambda: {name: carried.get(first, first) for name, first in further().items()})

    def unknown(self, name: str) -> str:
        """What is told of a name that does not exist: ``allowed: a, b, c; did you mean 'b'?``."""
        names = [*self.carried, *self.further()]
        rest = f", ... ({len(names):,} in all)" if len(names) > _SHOWN else ""
        return f"{listing(names[:_SHOWN])}{rest}{nearest(name, names[:_LOOKED_AT])}"

    def carrier(self, name: str) -> str | None:
        """The name of the Variant that answers to a name, or would if it were trained; None where there is none."""
        return self.carried.get(name) or self.further().get(name)

    def find(self, name: str, scope: Scope, at: tuple[str | int, ...]) -> str:
        """The same for a name that the study gives at a place. Raises `StudyError` where there is none."""
        found = self.carrier(name)
        if found is None:
            told = self.absent.get(name) or self.unknown(name)
            raise scope.document.error(f"there is no Variant named {name!r}; {told}", at)
        return found
