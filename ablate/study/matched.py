"""Matched-capacity controls: a twin of a Variant, made as large as the baseline, so that size explains nothing.

A part that helps may do so because it brings parameters along. Its twin keeps the part and gives the parameters back in
a field that the study names (`match_parameters: model.dim`); what is left of the difference is not capacity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ablate.study.bases import BaseRecipe, Origin, VisionRecipe
from ablate.study.count_search import closest
from ablate.study.errors import StudyError
from ablate.study.identity import digest
from ablate.study.merging import Names
from ablate.study.overrides import differences
from ablate.study.resolve import Scope
from ablate.study.study import ResolvedRecipe, Variant

#: The trainable parameters of a Recipe's model. Raises ValueError where the model cannot be built.
Count = Callable[[ResolvedRecipe], int]
#: After the name of the Variant whose twin it is.
SUFFIX = "@matched"
#: Shares of the baseline's parameters. A Variant within the first needs no control; a control must be within the other.
EQUAL, NEAR = 0.005, 0.05
#: How the note of a Variant begins that needs a control and has none.
NO_CONTROL = "No control at equal parameters: "
_EQUAL_SIZE = "its model has as many parameters as the baseline's."
#: A field with a fraction is tried at multiples of one over this.
_FRACTIONS = 1000

_AT = ("match_parameters",)


def with_controls(
    variants: tuple[Variant, ...], scope: Scope, base: BaseRecipe, count: Count | None
) -> tuple[Variant, ...]:
    """The Variants, each that needs a control followed by it; as they are where the study asks for none.

    A Variant needs one where its parameters differ from the baseline's by more than `EQUAL`. Where no value of the
    field comes within `NEAR`, or its twin would be the baseline, its note says so. A twin that is another Variant of
    the study is that Variant, which then has the twin's name in `also`. ``base`` is the checked Recipe of the baseline,
    the first of ``variants``, whose Recipes name teachers as the study does. Raises `StudyError`, at the study's
    `match_parameters`, for a Trainable of the user's own, a field that cannot be adjusted, a model that cannot be
    built, or without ``count``.
    """
    field = scope.spec.match_parameters
    if field is None:
        return variants
    if not isinstance(base, VisionRecipe):
        raise scope.document.error(
            "'match_parameters' counts models of the built-in trainer, and this study has a trainable of its own", _AT
        )
    if count is None:
        message = "this study has controls at equal parameters: load it with `count`, such as ablate.capacity's"
        raise scope.document.error(message, _AT)
    _check_field(field, scope, base)
    return _Controls(field, scope, count, variants).all()


def with_control_names(names: Names, variants: Sequence[Variant], scope: Scope) -> Names:
    """The names of a study with those of its controls, where it asks for any.

    Whether a Variant that is not among the ``variants`` (those of `with_controls`) has a control is not known before it
    is trained, so it may be named. One that is among them and has none is ``absent``, with the reason.
    """
    if scope.spec.match_parameters is None:
        return names
    made = {variant.name: variant for variant in variants}
    twins = {name: v.name for v in variants for name in (v.name, *v.also) if name.endswith(SUFFIX)}
    carried, absent = dict(names.carried), dict(names.absent)
    for name, carrier in names.carried.items():
        twin = carrier + SUFFIX
        if carrier not in made or twin in twins:
            carried[name + SUFFIX] = twins.get(twin, twin)
        else:
            _, told, why = made[carrier].note.partition(NO_CONTROL)
            absent[name + SUFFIX] = f"{carrier!r} has no control: {why if told else _EQUAL_SIZE}"

    def ahead(name: str) -> str | None:
        """What may become a Variant, or the control that it may then have."""
        own, ending = without_suffix(name)
        carrier = names.ahead(own)
        return None if carrier is None else carried.get(carrier + ending, carrier + ending)

    def choices() -> Iterator[str]:
        yield from names.choices()
        yield from (name + SUFFIX for name in names.choices())

    def spelled(name: str) -> str | None:
        own, ending = without_suffix(name)
        meant = names.spelled(own)
        return None if meant is None else meant + ending

    return Names(carried, ahead, choices, spelled, absent)


def without_suffix(name: str) -> tuple[str, str]:
    """The name of the Variant whose twin has a name, or a pattern on such names, and the `SUFFIX`, if it has it."""
    own = name.removesuffix(SUFFIX)
    return own, name[len(own) :]


def _check_field(field: str, scope: Scope, base: BaseRecipe) -> None:
    if not field.startswith("model."):
        message = f"match_parameters: must be a field of the model, such as 'model.dim', not {field!r}"
        raise scope.document.error(message, _AT)
    value = _value(base.tree, field)
    try:
        base.changed({field: value}, scope.document, _AT)
    except StudyError as error:
        message = error.problems[0].message
        raise scope.document.error(f"match_parameters: {message}", _AT) from None
    if value is None:
        message = f"match_parameters: {field!r} is no number in the base, and so cannot be adjusted"
        raise scope.document.error(message, _AT)


class _Controls:
    """Finds the twins of one study; Variants with equal models share a search."""

    def __init__(self, field: str, scope: Scope, count: Count, variants: tuple[Variant, ...]) -> None:
        self._field, self._scope, self._count, self._variants = field, scope, count, variants
        self._wanted = self._counted(variants[0])
        self._found: dict[str, _Fit | None] = {}

    def all(self) -> tuple[Variant, ...]:
        """The study's Variants and their twins. Raises `StudyError`."""
        made: dict[str, Variant] = {v.name: v for v in self._variants}
        owner = {digest(v.recipe): v.name for v in self._variants}
        order = [self._variants[0].name]
        for variant in self._variants[1:]:
            order.append(variant.name)
            found = self._twin(variant)
            if isinstance(found, str):
                note = f"{variant.note} {NO_CONTROL}{found}".strip()
                made[variant.name] = replace(made[variant.name], note=note)
            elif found is not None:
                if found.name in made:
                    place = self._scope.variant_place(found.name)
                    message = f"{found.name!r} is the name of a matched-capacity control; call this Variant otherwise"
                    raise self._scope.document.error(message, place)
                same = owner.setdefault(digest(found.recipe), found.name)
                if same == found.name:
                    made[same] = found
                    order.append(same)
                else:
                    made[same] = replace(made[same], also=(*made[same].also, found.name))
        return tuple(made[name] for name in order)

    def _twin(self, variant: Variant) -> Variant | str | None:
        """The twin; the reason why there is none, or None where none is needed."""
        own = self._counted(variant)
        if abs(own - self._wanted) <= EQUAL * self._wanted:
            return None
        if _value(variant.recipe, self._field) is None:
            return f"its Recipe has no {self._field} that could be adjusted."
        fit = self._fit(variant, own)
        if fit is None:
            return f"no {self._field} comes nearer than its own, {own:,} of {self._wanted:,} parameters."
        if abs(fit.parameters - self._wanted) > NEAR * self._wanted:
            nearest = f"{fit.parameters:,} of {self._wanted:,} parameters with {fit.value}"
            return f"the nearest that {self._field} gives is {nearest}."
        recipe = _with(self._scope, variant.recipe, self._field, fit.value).tree
        baseline = self._variants[0]
        if digest(recipe) == digest(baseline.recipe):
            return f"with {self._field} {fit.value} it would be the baseline."
        note = (
            f"Control of {variant.name} at equal parameters: {self._field} {_value(variant.recipe, self._field)} → "
            f"{fit.value}, {fit.parameters:,} of the baseline's {self._wanted:,} parameters."
        )
        name = variant.name + SUFFIX
        changes = differences(baseline.recipe, recipe)
        return Variant(name, variant.levels, recipe, changes, note, control_of=variant.name)

    def _counted(self, variant: Variant) -> int:
        try:
            return self._count(variant.recipe)
        except ValueError as error:
            message = f"match_parameters: the parameters of {variant.name!r} cannot be counted: {error}"
            raise self._scope.document.error(message, _AT) from None

    def _fit(self, variant: Variant, own: int) -> _Fit | None:
        """The value of the field that comes nearest; None where that is the one it has."""
        key = digest({"model": variant.recipe["model"], "data": variant.recipe["data"]})
        if key not in self._found:
            self._found[key] = self._search(variant, own)
        return self._found[key]

    def _search(self, variant: Variant, own: int) -> _Fit | None:
        value = _value(variant.recipe, self._field)
        assert value is not None
        whole = isinstance(value, int)
        start = value if isinstance(value, int) else round(value * _FRACTIONS)

        def count_at(step: int) -> int | None:
            tried = step if whole else step / _FRACTIONS
            try:
                return self._count(_with(self._scope, variant.recipe, self._field, tried).tree)
            except ValueError:  # a StudyError is one, too: no model can be built with this value
                return None

        step, parameters = closest(start, own, self._wanted, count_at)
        return None if step == start else _Fit(step if whole else step / _FRACTIONS, parameters)


@dataclass(frozen=True)
class _Fit:
    """A value of the field, and the parameters that the model then has."""

    value: float
    parameters: int


def _with(scope: Scope, recipe: Mapping[str, Any], field: str, value: float) -> BaseRecipe:
    """The checked Recipe with another value in the field. Raises `StudyError` where no model can be built with it."""
    origin = Origin(0, scope.document, _AT)
    return VisionRecipe(recipe, {"": origin}).changed({field: value}, scope.document, _AT).checked()


def _value(recipe: Mapping[str, Any], field: str) -> int | float | None:
    """The number in a dotted field; None where there is none."""
    found: Any = recipe
    for key in field.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None
