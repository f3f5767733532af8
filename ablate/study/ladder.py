"""Ladders: changes made one on top of the other, or taken back one after the other, in an order given or found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ablate.study.axes import ApartError, Axes, Point
from ablate.study.design_spec import LadderSpec
from ablate.study.document import Path_
from ablate.study.reach import Places, Reach
from ablate.study.resolve import Scope, check_level
from ablate.study.rules import Rules


@dataclass(frozen=True)
class Step:
    """What one rung changes."""

    text: str
    """As the study writes it: `posemb=learned`, `pool=cls,head=linear`."""
    levels: Mapping[str, str]
    place: Path_


@dataclass(frozen=True)
class Ladder:
    """The rungs of a ladder, as far as they are known."""

    rungs: tuple[Point, ...]
    """From the foot upwards."""
    steps: tuple[Step, ...]
    """What each rung after the foot adds, or takes back."""
    backward: bool
    greedy: bool
    tried: tuple[Point, ...] = ()
    """Of a greedy ladder: every point that was, or is, a candidate for a rung."""
    candidates: Mapping[str, Point] = field(default_factory=dict)
    """Of a greedy ladder that is not at its top: step -> the point that it would lead to."""
    reach: Reach | None = None
    """Of a greedy ladder: wherever results may lead it."""

    @property
    def points(self) -> tuple[Point, ...]:
        """Everything that has to be trained for it, once each."""
        return tuple(dict.fromkeys((*self.rungs, *self.tried)))


def make_ladder(
    scope: Scope, axes: Axes, rules: Rules, spec: LadderSpec, steps: Sequence[Step], chosen: Sequence[str], at: Path_
) -> Ladder:
    """The ladder of some steps; ``chosen`` are those that results have chosen so far, of a greedy one.

    Raises `StudyError` for a step that changes nothing where it stands, or leads to a combination that is not trained;
    ValueError for a chosen step that the ladder does not have. A greedy ladder passes over such steps.
    """
    backward = spec.direction == "backward"
    maker = _Maker(scope, axes, rules, tuple(steps), backward, at)
    if spec.order == "greedy":
        return maker.greedy(chosen)
    rungs = [maker.foot()]
    for taken, step in enumerate(steps, 1):
        rungs.append(maker.rung(steps[:taken], rungs[-1], step))
    return Ladder(tuple(rungs), tuple(steps), backward, greedy=False)


@dataclass(frozen=True)
class _Maker:
    scope: Scope
    axes: Axes
    rules: Rules
    steps: tuple[Step, ...]
    backward: bool
    at: Path_

    def foot(self) -> Point:
        """The baseline; of a backward ladder every step made."""
        point = self.point(())
        self._check_allowed(point, "the foot", self.at)
        return point

    def rung(self, taken: Sequence[Step], below: Point, step: Step) -> Point:
        """The rung that a step leads to. Raises `StudyError`."""
        point = self.point(taken)
        if point == below:
            message = f"the step {step.text!r} changes nothing where it stands in the ladder"
            raise self.scope.document.error(message, step.place)
        self._check_allowed(point, f"the rung of the step {step.text!r}", step.place)
        return point

    def greedy(self, chosen: Sequence[str]) -> Ladder:
        """The rungs chosen so far, and the candidates for the next one."""
        rungs, taken, tried = [self.foot()], list[Step](), list[Point]()
        candidates = dict(self._candidates(taken, rungs[-1]))
        for text in chosen:
            if text not in candidates:
                raise ValueError(f"{text!r} is no step that this ladder could take now: {', '.join(candidates)}")
            tried += candidates.values()
            taken.append(next(step for step in self.steps if step.text == text))
            rungs.append(candidates[text])
            candidates = dict(self._candidates(taken, rungs[-1]))
        tried += candidates.values()
        every = tuple(dict.fromkeys(tried))
        return Ladder(tuple(rungs), tuple(taken), self.backward, True, every, candidates, self._reach)

    def _candidates(self, taken: Sequence[Step], below: Point) -> Iterator[tuple[str, Point]]:
        for step in self.steps:
            point = self.point([*taken, step])
            if step not in taken and point != below and self.rules.allow(point):
                yield step.text, point

    def point(self, taken: Sequence[Step]) -> Point:
        """Where some steps lead from the foot, whatever the order in which they were taken: the study's decides."""
        made = sum(1 << number for number, step in enumerate(self.steps) if (step in taken) != self.backward)
        return self._reach.point(made)

    @cached_property
    def _reach(self) -> Reach:
        return Reach(tuple(map(self._places, self.steps)), self.axes.origin, self.rules, self.backward)

    def _places(self, step: Step) -> Places:
        point = self.axes.at(step.levels)
        return tuple((axis, point[axis]) for axis in dict.fromkeys(self.axes.of[factor] for factor in step.levels))

    def _check_allowed(self, point: Point, what: str, at: Path_) -> None:
        rule = self.rules.broken_by(point)
        if rule is not None:
            message = f"{what} of the ladder, {self.axes.name(point)!r}, is taken out by {rule.text}"
            raise self.scope.document.error(message, at)


def written_steps(scope: Scope, axes: Axes, written: Sequence[str | list[str]], at: Path_) -> list[Step]:
    """The steps that a study spells out. Raises `StudyError` for what is no step, or one that is given twice."""
    steps: list[Step] = []
    for index, entry in enumerate(written):
        texts = entry if isinstance(entry, list) else [entry]
        levels: dict[str, str] = {}
        for number, text in enumerate(texts):
            place = (*at, index, number) if isinstance(entry, list) else (*at, index)
            factor, level = _changed(scope, axes, text, place)
            if factor in levels:
                raise scope.document.error(f"one step cannot give {factor!r} two Levels", place)
            levels[factor] = level
        step = Step(",".join(f"{f}={level}" for f, level in levels.items()), levels, (*at, index))
        try:
            axes.at(levels)
        except ApartError as error:
            raise scope.document.error(f"the step {step.text!r}: {error}", step.place) from None
        if step.text in [other.text for other in steps]:
            raise scope.document.error(f"the step {step.text!r} is given twice", step.place)
        steps.append(step)
    return steps


def _changed(scope: Scope, axes: Axes, text: str, place: Path_) -> tuple[str, str]:
    factor, separator, level = (part.strip() for part in text.partition("="))
    if not separator:
        raise scope.document.error(f"a step is FACTOR=LEVEL, such as 'posemb=learned', not {text!r}", place)
    check_level(scope, axes.factors, factor, level, place)
    return factor, level


def default_steps(scope: Scope, axes: Axes, numbers: Sequence[int], at: Path_) -> list[Step]:
    """One step for each axis, to its only other place. Raises `StudyError` where there are several."""
    steps = []
    for number in numbers:
        axis = axes.all[number]
        if len(axis.levels) > 2:
            others = ", ".join(axis.text(place) for place in range(1, len(axis.levels)))
            message = f"the ladder needs its 'steps': {axis.name!r} has several Levels beside its reference ({others})"
            raise scope.document.error(message, at)
        steps.append(Step(axis.text(1), dict(zip(axis.factors, axis.levels[1], strict=True)), at))
    return steps
