"""The base Recipe of a study, in its two kinds: the vision trainer's, and a user's own mapping.

Both take overrides strictly and both tell a mistake with its place; what they check differs. The vision
Recipe has a schema. A user's base is its own schema: a field exists if the base spells it out, and keeps its type.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from ablate.fit import Misfit, find_misfits
from ablate.parts import KINDS
from ablate.recipe import Recipe, Section, resolve_part, resolve_whole
from ablate.study.checking import findings, section_at
from ablate.study.document import Document, Path_
from ablate.study.errors import Problem, StudyError
from ablate.study.models import spelled_out
from ablate.study.overrides import OverrideError, apply, leaves, overlap, settings
from ablate.wording import shown, type_name


@dataclass(frozen=True)
class Origin:
    """Where a field was written: keys in a document, or an option of the command line where that is None."""

    writer: int
    """0 for the base; each set of overrides counts one up."""
    document: Document | None
    at: Path_

    def problem(self, message: str) -> Problem:
        """A Problem at this place."""
        return self.document.problem(message, self.at) if self.document else Problem(f"{self.at[0]}: {message}")


Origins = Mapping[str, Origin]


@dataclass(frozen=True)
class BaseRecipe(ABC):
    """A nested dict of JSON types, and where each of its fields was last written."""

    tree: Mapping[str, Any]
    origins: Origins
    writers: int = 1

    has_parts: ClassVar[bool] = False

    @classmethod
    def start(cls, tree: Mapping[str, Any], document: Document, at: Path_) -> Self:
        """The study's base as it is written. Raises `StudyError` for dotted keys: nothing exists yet to reach into."""
        origins = _origins(tree, 0, document, at)
        model = tree.get("model")
        of_preset = (*at, "model") if isinstance(model, Mapping) and "preset" in model else None
        dotted = [
            o for o in origins.values() if isinstance(o.at[-1], str) and "." in o.at[-1] and o.at[:-1] != of_preset
        ]
        if dotted:
            message = "in the base each field stands in its section: {key!r} is for overrides"
            raise StudyError(*(o.problem(message.format(key=o.at[-1])) for o in dotted))
        return cls(tree, origins)

    def changed(self, overrides: Mapping[str, Any], document: Document | None, at: Path_) -> Self:
        """A copy with overrides applied, not yet checked. Raises `StudyError` for a field that does not exist."""
        fresh = _origins(overrides, self.writers, document, at)
        try:
            _check_consistent(overrides, self.has_parts)
            tree = apply(self._spelled_out(), overrides, parts=self.has_parts)
        except OverrideError as error:
            raise StudyError(_nearest_origin(error.field, fresh).problem(str(error))) from None
        return type(self)(tree, {**self.origins, **fresh}, self.writers + 1)

    def problem(self, message: str, field: str) -> Problem:
        """A Problem at the place where a field was last written."""
        return _nearest_origin(field, self.origins).problem(message)

    def _spelled_out(self) -> Mapping[str, Any]:
        """The tree that overrides are applied to; a kind may want it complete before."""
        return self.tree

    @abstractmethod
    def checked(self) -> Self:
        """The resolved Recipe, every value spelled out. Raises `StudyError`."""


class VisionRecipe(BaseRecipe):
    """The Recipe of the built-in trainer: resolved by its schema, parts and all."""

    has_parts = True

    def _spelled_out(self) -> Mapping[str, Any]:
        return _with_defaults(self._with_model(), Recipe)

    def checked(self) -> Self:
        """Validate by the schema, fill in the options of parts, and see whether they fit together."""
        tree = self._with_model()
        try:
            recipe = Recipe.model_validate(tree)
        except ValidationError as error:
            found = findings(error, Recipe, tree)
            raise StudyError(*(self.problem(message, ".".join(map(str, keys))) for message, keys in found)) from None
        misfits = list(find_misfits(recipe))
        if misfits:
            raise StudyError(*(self._misfit(m) for m in misfits))
        return type(self)(recipe.resolved(), self.origins, self.writers)

    def _misfit(self, misfit: Misfit) -> Problem:
        """A Problem where the model, or the images that it sees, were last changed: until then it could be built."""
        changed = [o for field, o in self.origins.items() if field.startswith(("model", "data"))]
        last, own = max(changed, key=lambda origin: origin.writer), _nearest_origin(misfit.field, self.origins)
        return (own if own.writer == last.writer else last).problem(misfit.reason)

    def _with_model(self) -> Mapping[str, Any]:
        """The tree with its model spelled out, where that is given by a preset."""
        if "model" not in self.tree:
            return self.tree
        try:
            return {**self.tree, "model": spelled_out(self.tree["model"])}
        except OverrideError as error:
            raise StudyError(self.problem(str(error), error.field)) from None


class UserRecipe(BaseRecipe):
    """The Recipe of a user's Trainable: whatever its base spells out, with the types that stand there."""

    def changed(self, overrides: Mapping[str, Any], document: Document | None, at: Path_) -> Self:
        """As for every base; and a value keeps the type of the one it replaces (an int may become a float)."""
        after = super().changed(overrides, document, at)
        wrong = list(_retyped(self.tree, after.tree, ()))
        if wrong:
            raise StudyError(*(after.problem(message, field) for field, message in wrong))
        return type(self)(_floats_kept(self.tree, after.tree), after.origins, after.writers)

    def checked(self) -> Self:
        """A user's base is as it is."""
        return self


def _origins(overrides: Mapping[str, Any], writer: int, document: Document | None, at: Path_) -> Origins:
    root = {"": Origin(writer, document, at)}
    return root | {field: Origin(writer, document, (*at, *keys)) for field, keys in leaves(overrides)}


def _nearest_origin(field: str, origins: Origins) -> Origin:
    """Where a field was last written: itself or something below it, else the nearest mapping that contains it."""
    inside = [f for f in origins if f == field or f.startswith(f"{field}.")]
    if inside:
        return origins[max(inside, key=lambda f: (origins[f].writer, -len(f)))]
    return origins[max((f for f in origins if not f or field.startswith(f"{f}.")), key=len)]


def _check_consistent(overrides: Mapping[str, Any], parts: bool) -> None:
    """Raises `OverrideError` where one set of overrides sets a field twice."""
    fields = [field for field, _ in settings(overrides, parts=parts)]
    for index, later in enumerate(fields):
        for earlier in fields[:index]:
            if overlap(earlier, later):
                both = f"{later!r} is set twice" if earlier == later else f"{earlier!r} and {later!r} are both set"
                raise OverrideError(later, f"{both} here; set it once, as a whole")


def _with_defaults(tree: Mapping[str, Any], section: type[BaseModel]) -> Mapping[str, Any]:
    """The tree with every default that it leaves out, so that an override can reach it.

    What is wrong stays as it is: validation tells of it with its place.
    """
    whole = dict(tree)
    for name, field, inner in _fields(section):
        if name not in tree:
            if not field.is_required():
                whole[name] = field.default
        elif name in KINDS and section is not Recipe:
            whole[name] = _part_with_options(name, tree[name])
        elif name == "model" and isinstance(tree[name], Mapping) and "name" in tree[name]:
            whole[name] = _whole_with_options(tree[name])
        elif inner is not None and issubclass(inner, Section) and isinstance(tree[name], Mapping):
            whole[name] = _with_defaults(tree[name], inner)
    return whole


@cache
def _fields(section: type[BaseModel]) -> tuple[tuple[str, FieldInfo, type[BaseModel] | None], ...]:
    """Name, field and inner section of every field: asked for each Variant, and the same for all."""
    return tuple((name, field, section_at(section, (name,))) for name, field in section.model_fields.items())


def _part_with_options(kind: str, value: Any) -> Any:
    try:
        part = resolve_part(kind, value)
    except ValueError:
        return value
    return {"name": part.name, **part.options}


def _whole_with_options(value: Any) -> Any:
    try:
        model = resolve_whole(value)
    except ValueError:
        return value
    return {"name": model.name, **model.options}


def _retyped(before: Any, after: Any, at: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """(field, message) for every leaf whose type changed."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key, value in after.items():
            yield from _retyped(before[key], value, (*at, key))
        return
    same = type_name(before) == type_name(after) or (type(before) is float and type(after) is int)
    if not same and before is not None and after is not None:
        field = ".".join(at)
        hint = f"; write {float(before)} in the base" if type(before) is int and type(after) is float else ""
        expected = f"must be {type_name(before)} as in the base ({shown(before)}), or null"
        yield field, f"{field}: {expected}, not {shown(after)}{hint}"


def _floats_kept(before: Any, after: Any) -> Any:
    """An int given where the base has a float is that float: 1 and 1.0 must not be two Recipes."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return {key: _floats_kept(before[key], value) for key, value in after.items()}
    return float(after) if type(before) is float and type(after) is int else after
