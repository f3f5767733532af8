"""The designs of a study with the Variants that they are made of: what is read together, when results are there."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ablate.study.axes import Axes, Point
from ablate.study.designs import Design
from ablate.study.ladder import Ladder
from ablate.study.merging import Named, Names
from ablate.study.resolve import Scope
from ablate.study.space import Space
from ablate.study.study import BASELINE, Block


def make_blocks(
    scope: Scope,
    space: Space,
    designs: Sequence[Design],
    listed: Collection[str],
    chosen: Sequence[Named],
    names: Names,
) -> tuple[Block, ...]:
    """One Block for each design, in the study's order, and one for the ``listed`` names, at the end unless asked for.

    A design that has lost Variants to a selection is no longer read as it was made: it is a list of what is left.
    Raises `StudyError` for a ladder in which a rung has the Recipe of the one below.
    """
    makers = [_Maker(scope, space, chosen, names, design, listed) for design in designs]
    blocks = [maker.block() for maker in makers]
    if listed and all(design.kind != "listed" for design in designs):
        blocks.append(_list([BASELINE, *listed], space.axes, chosen, names))
    return tuple(blocks)


class _Maker:
    """Makes the Block of one design."""

    def __init__(
        self,
        scope: Scope,
        space: Space,
        chosen: Sequence[Named],
        names: Names,
        design: Design,
        listed: Collection[str],
    ) -> None:
        self._scope, self._space, self._axes = scope, space, space.axes
        self._chosen, self._names, self._design, self._listed = chosen, names, design, listed
        self._by_name = {variant.name: variant for variant in chosen}

    def block(self) -> Block:
        """The Block. Raises `StudyError`."""
        design = self._design
        if design.kind == "listed":
            return _list([BASELINE, *self._listed], self._axes, self._chosen, self._names)
        points = [point for point in design.points if self._space.rules.allow(point)]
        variants = {point: self._variant(point) for point in points}
        if not all(name in self._by_name for name in variants.values()):
            return _list(variants.values(), self._axes, self._chosen, self._names)
        shared: dict[str, Any] = {
            "design": design.kind,
            "variants": tuple(dict.fromkeys(variants.values())),
            "excluded": design.points.size - len(points),
            "cells": self._cells(variants),
        }
        if design.ladder is not None:
            return Block(**{**shared, **self._of_ladder(design.ladder, variants)})
        factors = [self._axes.all[number] for number in design.axes]
        shared |= {
            "factors": tuple(axis.name for axis in factors),
            "levels": {self._axes.all[n].name: self._levels(n, points) for n in design.axes},
            "zipped": {axis.name: axis.factors[1:] for axis in factors if len(axis.factors) > 1},
        }
        if design.fraction is not None:
            shared["resolution"] = design.fraction.resolution
            shared["aliases"] = design.fraction.aliases(shared["factors"])
        return Block(**shared)

    def _variant(self, point: Point) -> str:
        return self._names.carried[self._axes.name(point)]

    def _cells(self, variants: Mapping[Point, str]) -> dict[str, dict[str, str]]:
        """The Levels by which the design has a Variant, where those that it carries are others."""
        found: dict[str, dict[str, str]] = {}
        for point, name in variants.items():
            if self._by_name[name].point != point and self._by_name[name].point not in variants:
                found.setdefault(name, self._axes.levels(point))
        return found

    def _levels(self, number: int, points: Collection[Point]) -> tuple[str, ...]:
        """The Levels that an axis takes, by those of the Factor that stands for it."""
        places = sorted({0, *(point[number] for point in points)})
        return tuple(self._axes.all[number].levels[place][0] for place in places)

    def _of_ladder(self, ladder: Ladder, variants: Mapping[Point, str]) -> dict[str, Any]:
        rungs = [variants[point] for point in ladder.rungs]
        for step, below, here in zip(ladder.steps, rungs, rungs[1:], strict=False):
            if below == here:
                message = (
                    f"the step {step.text!r} changes nothing where it stands in the ladder: the Recipe is the same"
                )
                raise self._scope.document.error(message, step.place)
        varied = [f for number in self._design.axes for f in self._axes.all[number].factors]
        factors = tuple(f for f in self._axes.factors if f in varied)
        taken = _taken([self._axes.levels(point) for point in (self._axes.origin, *variants)])
        return {
            "variants": tuple(rungs),
            "factors": factors,
            "levels": {f: taken[f] for f in factors},
            "steps": tuple(step.text for step in ladder.steps),
            "backward": ladder.backward,
            "greedy": ladder.greedy,
            "tried": tuple(dict.fromkeys(variants[point] for point in ladder.tried)),
            "candidates": {step: variants[point] for step, point in ladder.candidates.items()},
        }


def _list(wanted: Collection[str], axes: Axes, chosen: Sequence[Named], names: Names) -> Block:
    """Those of some Variants that are chosen, as a list."""
    carried = {names.carried[name] for name in wanted}
    own = [variant for variant in chosen if variant.name in carried]
    points = [axes.origin, *(variant.point for variant in own)]
    taken = _taken([axes.levels(point) for point in points])
    varied = {factor: levels for factor, levels in taken.items() if len(levels) > 1}
    return Block("listed", tuple(variant.name for variant in own), tuple(varied), varied)


def _taken(assignments: Sequence[Mapping[str, str]]) -> dict[str, tuple[str, ...]]:
    """Factor -> the Levels that it takes in some assignments, in their order."""
    return {factor: tuple(dict.fromkeys(each[factor] for each in assignments)) for factor in assignments[0]}
