"""Where each Variant of a crossed design stands: one Level of each of the design's Factors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ablate.study.study import Block, Study, Variant

#: Between the names of Factors whose Levels go together, and between those Levels.
ZIPPED = "+"


@dataclass(frozen=True)
class Cells:
    """A crossed design as a table of Levels."""

    levels: Mapping[str, tuple[str, ...]]
    """Factor -> its Levels here, the reference first. Factors whose Levels go together are one."""
    variants: tuple[str, ...]
    """The Variant of each cell; one whose Recipe several cells share stands in each of them."""
    places: tuple[tuple[int, ...], ...]
    """The Levels of each cell, by their places."""

    @property
    def full(self) -> bool:
        """Whether every combination of Levels is there."""
        return len(set(self.places)) == math.prod(map(len, self.levels.values()))


def cells_of(study: Study, block: Block) -> Cells:
    """The cells of a factorial or fractional design that are in the study."""
    levels = _levels(study, block)
    found: dict[tuple[int, ...], str] = {}
    by_name = named_variants(study)
    for name in block.variants:
        if name not in by_name:
            continue  # not selected
        own, assignment = by_name[name]
        assignments = [_complete(study, block.cells.get(own.name, assignment))]
        if block.design == "factorial":
            assignments += _merged(study, own)
        for each in assignments:
            elsewhere = any(level != study.factors[f].reference for f, level in each.items() if f not in levels)
            if not elsewhere and all(each[f] in levels[f] for f in levels):
                found.setdefault(tuple(levels[f].index(each[f]) for f in levels), own.name)
    return _zipped(_met(Cells(levels, tuple(found.values()), tuple(found))))


def _levels(study: Study, block: Block) -> dict[str, tuple[str, ...]]:
    """Factor -> the Levels that the design takes; all of the Factor's where it does not say."""
    names = [name for factor in block.factors for name in (factor, *block.zipped.get(factor, ()))]
    every = {name: (study.factors[name].reference, *study.factors[name].levels) for name in names}
    return {name: tuple(block.levels.get(name, every[name])) for name in names}


def named_variants(study: Study) -> dict[str, tuple[Variant, Mapping[str, str]]]:
    """Name, merged ones too -> the Variant that has it, and the Levels that this name stands for."""
    found: dict[str, tuple[Variant, Mapping[str, str]]] = {}
    for variant in study.variants:
        for name, assignment in zip(variant.also, _merged(study, variant), strict=True):
            found[name] = (variant, assignment)
    return found | {variant.name: (variant, _complete(study, variant.levels)) for variant in study.variants}


def changes_of(study: Study, block: Block, assignment: Mapping[str, str]) -> tuple[str, ...]:
    """`posemb=learned`, for each Factor of the design that is not at its reference; zipped ones are one change."""
    changes = []
    for factor in block.factors:
        if assignment[factor] != study.factors[factor].reference:
            together = (factor, *block.zipped.get(factor, ()))
            changes.append(f"{ZIPPED.join(together)}={ZIPPED.join(assignment[name] for name in together)}")
    return tuple(changes)


def aliases_of(block: Block) -> dict[str, tuple[str, ...]]:
    """The design's aliases, effects called as in `Cells.levels`."""

    def called(effect: str) -> str:
        return ":".join(ZIPPED.join((name, *block.zipped.get(name, ()))) for name in effect.split(":"))

    return {called(effect): tuple(map(called, others)) for effect, others in block.aliases.items()}


def _merged(study: Study, variant: Variant) -> Iterator[dict[str, str]]:
    """The Levels of each of a Variant's other names: those that the name says, or its own."""
    for name in variant.also:
        parts = [part.partition("=") for part in name.split(",")]
        said = {factor: level for factor, _, level in parts}
        known = all(f in study.factors and level in study.factors[f].levels for f, level in said.items())
        yield _complete(study, said if known else variant.levels)


def _complete(study: Study, levels: Mapping[str, str]) -> dict[str, str]:
    return {name: levels.get(name, factor.reference) for name, factor in study.factors.items()}


def _met(cells: Cells) -> Cells:
    """Without the Levels that no cell has, and without the Factors that then have a single one."""
    names = list(cells.levels)
    met = [sorted({place[f] for place in cells.places}) for f in range(len(names))]
    kept = [f for f in range(len(names)) if len(met[f]) > 1]
    levels = {names[f]: tuple(cells.levels[names[f]][k] for k in met[f]) for f in kept}
    return Cells(levels, cells.variants, tuple(tuple(met[f].index(place[f]) for f in kept) for place in cells.places))


def _zipped(cells: Cells) -> Cells:
    """Factors of which each tells the other's Level in every cell become one, called `batch+lr`."""
    columns = list(zip(*cells.places, strict=True))
    groups: list[list[int]] = []
    for f, column in enumerate(columns):
        group = next((g for g in groups if _bijective(columns[g[0]], column)), None)
        if group is None:
            groups.append([f])
        else:
            group.append(f)
    return cells if len(groups) == len(columns) else _joined(cells, groups)


def _bijective(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    pairs = set(zip(first, second, strict=True))
    return len(pairs) > 1 and len(pairs) == len(set(first)) == len(set(second))


def _joined(cells: Cells, groups: list[list[int]]) -> Cells:
    names, levels = list(cells.levels), list(cells.levels.values())
    joined: dict[str, tuple[str, ...]] = {}
    columns = []
    for group in groups:
        met = sorted({tuple(place[f] for f in group) for place in cells.places})
        joined[ZIPPED.join(names[f] for f in group)] = tuple(
            ZIPPED.join(levels[f][k] for f, k in zip(group, at, strict=True)) for at in met
        )
        columns.append([met.index(tuple(place[f] for f in group)) for place in cells.places])
    return Cells(joined, cells.variants, tuple(zip(*columns, strict=True)))


def levels_of(cells: Cells) -> list[dict[str, str]]:
    """Factor -> Level of each cell."""
    names = list(cells.levels)
    return [{n: cells.levels[n][k] for n, k in zip(names, place, strict=True)} for place in cells.places]
