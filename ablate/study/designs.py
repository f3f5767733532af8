"""The designs that a study asks for, each with the points that it trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablate.study.axes import ApartError, Axes
from ablate.study.design_spec import DesignSpec, FractionalSpec, LadderSpec, OfFactors
from ablate.study.document import Path_
from ablate.study.enumerations import Changes, Crossing, Enumeration, Given, Runs
from ablate.study.fractional import MOST_FACTORS, Fraction, smallest_fraction
from ablate.study.ladder import Ladder, default_steps, make_ladder, written_steps
from ablate.study.resolve import Scope, check_level
from ablate.study.rules import Rules
from ablate.study.study import BASELINE, Factor, Growth, Variant


@dataclass(frozen=True)
class Design:
    """One design of a study's union."""

    kind: str
    points: Enumeration
    """Before constraints."""
    axes: tuple[int, ...]
    """The numbers of the axes that it varies."""
    place: Path_
    ladder: Ladder | None = None
    fraction: Fraction | None = None


def variant_name(assignment: Mapping[str, str], factors: Mapping[str, Factor]) -> str:
    """``baseline``, or the Levels that differ from it: ``posemb=learned,pool=cls``."""
    changed = [f"{name}={level}" for name, level in assignment.items() if level != factors[name].reference]
    return ",".join(changed) or BASELINE


def other_names(variant: Variant, factors: Mapping[str, Factor]) -> tuple[str, ...]:
    """Of a Variant's other names, those that say more than its Levels do: not what a design calls a listed one."""
    return tuple(name for name in variant.also if name != variant_name(variant.levels, factors))


def resolve_designs(scope: Scope, axes: Axes, rules: Rules, growth: Growth) -> tuple[Design, ...]:
    """The designs in the study's order. Raises `StudyError` for one that cannot be made as it is asked for.

    A `listed` design has no points of its own: the list is the study's.
    """
    designs = []
    for number, (asked, place) in enumerate(scope.designs):
        name, options, at = _asked(scope, asked, place)
        resolver = _Resolver(scope, axes, rules, at)
        if isinstance(options, LadderSpec):
            design = resolver.ladder(options, growth.rungs.get(number, ()))
        elif isinstance(options, FractionalSpec):
            design = resolver.fractional(options)
        else:
            design = resolver.crossed(name, options)
        resolver.check_something_left(design)
        designs.append(design)
    return tuple(designs)


def _asked(
    scope: Scope, asked: str | DesignSpec, place: Path_
) -> tuple[str, OfFactors | LadderSpec | FractionalSpec, Path_]:
    """A design's name, options and place."""
    if isinstance(asked, DesignSpec):
        found = ((name, getattr(asked, name)) for name in DesignSpec.model_fields)
        name, options = next((name, options) for name, options in found if options is not None)
        return name, options, (*place, name)
    if asked == "fractional":
        message = "'fractional' needs the resolution that is wanted: {fractional: {resolution: 4}}"
        raise scope.document.error(message, place)
    return asked, LadderSpec() if asked == "ladder" else OfFactors(), place


@dataclass(frozen=True)
class _Resolver:
    """Makes one design of a study."""

    scope: Scope
    axes: Axes
    rules: Rules
    at: Path_

    def crossed(self, kind: str, options: OfFactors) -> Design:
        """Those that are made of all Levels."""
        chosen, sizes = self._chosen(options.factors), self.axes.sizes
        points: Enumeration
        if kind == "factorial":
            points = Crossing(sizes, chosen)
        elif kind == "listed":
            points, chosen = Given([self.axes.origin]), ()
        else:
            points = Changes(sizes, chosen, 1 if kind == "one_at_a_time" else 2)
        return Design(kind, points, chosen, self.at)

    def ladder(self, spec: LadderSpec, rungs: Sequence[str]) -> Design:
        """A ladder, of which ``rungs`` are chosen where results do that."""
        if spec.steps is not None:
            steps = written_steps(self.scope, self.axes, spec.steps, (*self.at, "steps"))
        else:
            steps = default_steps(self.scope, self.axes, self._chosen(spec.factors), self.at)
        if not steps:
            raise self.scope.document.error("a ladder needs steps, and the study has no Factors", self.at)
        ladder = make_ladder(self.scope, self.axes, self.rules, spec, steps, rungs, self.at)
        varied = {self.axes.of[factor] for step in steps for factor in step.levels}
        return Design("ladder", Given(ladder.points), tuple(sorted(varied)), self.at, ladder=ladder)

    def fractional(self, spec: FractionalSpec) -> Design:
        """The smallest fraction of a resolution. Raises `StudyError` where there is none, or one that loses runs."""
        chosen = self._chosen(spec.factors)
        places = self._other_places(spec, chosen)
        if len(chosen) > MOST_FACTORS:
            message = f"a fractional design takes up to {MOST_FACTORS} Factors, and these are {len(chosen)}"
            raise self.scope.document.error(f"{message}; choose by 'factors'", self.at)
        fraction = smallest_fraction(len(chosen), spec.resolution)
        if fraction is None:
            count = f"{len(chosen)} Factors" if len(chosen) != 1 else "1 Factor"
            message = f"no fraction of {count} has resolution {spec.resolution}: it takes all {2 ** len(chosen)}"
            raise self.scope.document.error(f"{message} combinations; use factorial", self.at)
        runs = Runs(self.axes.sizes, chosen, places, fraction)
        lost = [point for point in runs if not self.rules.allow(point)]
        if lost:
            rule = self.rules.broken_by(lost[0])
            first = f"the first is {self.axes.name(lost[0])!r}, by {rule.text}" if rule else ""
            message = f"constraints take out {len(lost)} of the {fraction.size} runs of the fractional design ({first})"
            told = "without them its effects cannot be told apart; choose other 'factors', or use factorial or pairs"
            raise self.scope.document.error(f"{message}; {told}", self.at)
        return Design("fractional", runs, chosen, self.at, fraction=fraction)

    def check_something_left(self, design: Design) -> None:
        """Raises `StudyError` where constraints leave nothing but the baseline."""
        if design.points.size > 1 and not any(self.rules.allow(p) for p in design.points if p != self.axes.origin):
            raise self.scope.document.error("constraints leave nothing of this design but the baseline", self.at)

    def _chosen(self, names: Sequence[str] | None) -> tuple[int, ...]:
        """The axes of some Factors, in the order given; all that have another Level where none is named."""
        if names is None:
            return tuple(number for number, size in enumerate(self.axes.sizes) if size > 1)
        chosen: list[int] = []
        for index, name in enumerate(names):
            place = (*self.at, "factors", index)
            if name not in self.axes.of:
                self.scope.unknown("Factor", name, list(self.axes.of), place)
            if name in names[:index]:
                raise self.scope.document.error(f"Factor {name!r} is named twice", place)
            axis = self.axes.all[self.axes.of[name]]
            if not set(axis.factors) <= set(names):
                message = f"{', '.join(axis.factors)} are zipped: name all of them, or none"
                raise self.scope.document.error(message, place)
            chosen.append(self.axes.of[name])
        return tuple(number for number in dict.fromkeys(chosen) if self.axes.sizes[number] > 1)

    def _other_places(self, spec: FractionalSpec, chosen: Sequence[int]) -> tuple[int, ...]:
        """Which place of each axis stands against its reference."""
        at = (*self.at, "levels")
        named: dict[str, str] = {}
        for factor, written in spec.levels.items():
            named[factor] = self.scope.document.name_at((*at, factor), written)
            check_level(self.scope, self.axes.factors, factor, named[factor], (*at, factor))
            if self.axes.of[factor] not in chosen:
                raise self.scope.document.error(f"Factor {factor!r} is not in this design", (*at, factor))
            if named[factor] == self.axes.factors[factor].reference:
                message = f"{named[factor]!r} is the reference of {factor!r}; name another Level"
                raise self.scope.document.error(message, (*at, factor))
        try:
            point = self.axes.at(named)
        except ApartError as error:
            raise self.scope.document.error(str(error), at) from None
        for number in chosen:
            axis = self.axes.all[number]
            if not point[number] and len(axis.levels) > 2:
                message = f"{axis.name!r} has several Levels beside its reference: name the one to use in 'levels'"
                raise self.scope.document.error(message, self.at)
        return tuple(point[number] or 1 for number in chosen)
