"""How this machine and its cluster are used: settings beside the study, none of which decides an outcome.

::

    [executors.local]
    slots = 2

    [executors.slurm]
    partition = "a100"
    gpus = 1
    time = "4h"

    [[executors.slurm.shapes]]      # these Variants ask for something else
    variants = "batch_size=*"
    gpus = 4

The user's file is `$XDG_CONFIG_HOME/ablate/config.toml` (`~/.config` without that), the project's the nearest
`.ablate.toml` from the study's folder upward, else from the working folder. Key by key the project's value stands over
the user's, a shape's over both, and an option of the command line over all. Of several shapes that fit a Variant,
a later one stands over an earlier one; a project's list of shapes replaces the user's.
"""

from __future__ import annotations

import fnmatch
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ablate.execution.resources import ResourceError, ResourceFields, Resources
from ablate.settings_schema import LocalSettings, SettingsFile, Shape
from ablate.study.checking import findings
from ablate.study.document import Document, Path_
from ablate.study.errors import Problem, StudyError
from ablate.toml_document import read_toml
from ablate.wording import listing, nearest

PROJECT_FILE = ".ablate.toml"
_SLURM = ("executors", "slurm")


@dataclass(frozen=True)
class Settings:
    """What the files and the command line say together."""

    local: LocalSettings = field(default_factory=LocalSettings)
    files: tuple[Path, ...] = ()
    """The files that were read, a later one standing over an earlier one."""
    _slurm: Mapping[str, Any] = field(default_factory=dict)
    _shapes: tuple[tuple[Shape, Mapping[str, Any]], ...] = ()
    _options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def slurm(self) -> Resources:
        """What a Variant asks for that no shape fits."""
        return Resources.model_validate(_over(self._slurm, self._options))

    @property
    def has_options(self) -> bool:
        """Whether the command line had a word on Slurm."""
        return bool(self._options)

    def slurm_for(self, variant: str) -> Resources:
        """What the jobs of a Variant ask for. Raises `StudyError` where that contradicts itself."""
        asked = dict(self._slurm)
        for shape, fields in self._shapes:
            if shape.fits(variant):
                asked = _over(asked, fields)
        try:
            return Resources.model_validate(_over(asked, self._options))
        except ValidationError as error:
            raise StudyError(Problem(f"Variant {variant!r} on Slurm: {_contradiction(error)}")) from None

    def requests(self) -> dict[str, Resources]:
        """Every request there is: that of Variants in general under the name "", then each shape's by its patterns."""
        asked = {"": self.slurm}
        for shape, fields in self._shapes:
            together = _over(_over(self._slurm, fields), self._options)
            asked[", ".join(shape.patterns)] = Resources.model_validate(together)
        return asked

    def unused_patterns(self, variants: Iterable[str]) -> list[str]:
        """Patterns of shapes that fit none of these Variants."""
        names = list(variants)
        patterns = [pattern for shape, _ in self._shapes for pattern in shape.patterns]
        return [pattern for pattern in patterns if not fnmatch.filter(names, pattern)]

    def with_options(self, overrides: Sequence[str]) -> Settings:
        """The same with ``field=value`` of the command line over all. Raises `StudyError`."""
        options = dict(self._options)
        for text in overrides:
            options = _over(options, _option(text))
        try:
            Resources.model_validate(_over(self._slurm, options))
        except ValidationError as error:
            raise StudyError(Problem(f"--slurm {' '.join(overrides)}: {_contradiction(error)}")) from None
        return replace(self, _options=options)


def load_settings(study_folder: Path | None = None, overrides: Sequence[str] = ()) -> Settings:
    """The settings that hold for a study in that folder. Raises `StudyError` with every mistake's place."""
    documents = [read_toml(path) for path in settings_files(study_folder)]
    parsed = [_checked(document) for document in documents]
    tree: dict[str, Any] = {}
    for document in documents:
        tree = _over(tree, document.tree)
    executors = tree.get("executors", {})
    slurm = dict(executors.get("slurm", {}))
    tables = slurm.pop("shapes", [])
    shapes = next((p.executors.slurm.shapes for p in reversed(parsed) if p.executors.slurm.shapes), [])
    pairs = tuple((shape, _without(table, "variants")) for shape, table in zip(shapes, tables, strict=True))
    _check_together(slurm, [fields for _, fields in pairs], documents)
    local = LocalSettings.model_validate(executors.get("local", {}))
    files = tuple(document.path for document in documents)
    return Settings(local, files, slurm, pairs).with_options(overrides)


def settings_files(study_folder: Path | None = None) -> list[Path]:
    """The files there are: the user's, then the project's."""
    config = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    user = config / "ablate" / "config.toml"
    return [path for path in (user, next(_project_files(study_folder), None)) if path is not None and path.is_file()]


def _project_files(study_folder: Path | None) -> Iterator[Path]:
    for start in (study_folder, Path()) if study_folder is not None else (Path(),):
        folder = start.resolve()
        yield from (place / PROJECT_FILE for place in (folder, *folder.parents) if (place / PROJECT_FILE).is_file())


def _checked(document: Document) -> SettingsFile:
    try:
        return SettingsFile.model_validate(document.tree)
    except ValidationError as error:
        found = findings(error, SettingsFile, document.tree)
        raise StudyError(*(document.problem(message, keys) for message, keys in found)) from None


def _check_together(slurm: Mapping[str, Any], shapes: Sequence[Mapping[str, Any]], documents: list[Document]) -> None:
    """Refuse fields that are right each by itself and contradict each other."""
    problems = []
    asked: list[tuple[Mapping[str, Any], Path_]] = [(slurm, _SLURM)]
    asked += [(_over(slurm, shape), (*_SLURM, "shapes", index)) for index, shape in enumerate(shapes)]
    for fields, at in asked:
        try:
            Resources.model_validate(fields)
        except ValidationError as error:
            problems.append(_placed(error, at, documents))
    if problems:
        raise StudyError(*problems)


def _placed(error: ValidationError, at: Path_, documents: list[Document]) -> Problem:
    """The contradiction, at the field's place in the file that has the last word on it."""
    cause = error.errors()[0].get("ctx", {}).get("error")
    name = cause.field if isinstance(cause, ResourceError) else ""
    places = ((*at, name), (*_SLURM, name), at, _SLURM)
    message = ".".join(_SLURM) + f".{_contradiction(error)}"
    for place in places:
        for document in reversed(documents):
            if place in document.places:
                return document.problem(message, place)
    return documents[-1].problem(message)


def _contradiction(error: ValidationError) -> str:
    detail = error.errors()[0]
    cause = detail.get("ctx", {}).get("error")
    return str(cause) if isinstance(cause, ResourceError) else f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}"


def _option(text: str) -> dict[str, Any]:
    """The fields of a ``--slurm field=value``; nothing behind the sign puts a field back to its default."""
    name, separator, value = text.partition("=")
    name, _, flag = name.strip().partition(".")
    allowed = list(ResourceFields.model_fields)
    if not separator or not name:
        raise StudyError(Problem(f"--slurm takes field=value, not {text!r}"))
    if name not in allowed or bool(flag) != (name == "sbatch"):
        wanted = "write sbatch.FLAG=VALUE" if name == "sbatch" else listing(allowed) + nearest(name, allowed)
        raise StudyError(Problem(f"--slurm {text}: there is no field {name!r}; {wanted}"))
    if flag:
        fields: dict[str, Any] = {name: {flag: value or True}}
    elif not value:
        fields = {name: ResourceFields.model_fields[name].get_default(call_default_factory=True)}
    else:
        fields = {name: _value(name, value)}
    try:
        checked = ResourceFields.model_validate(fields)
    except ValidationError as error:
        messages = "; ".join(message for message, _ in findings(error, ResourceFields, fields))
        raise StudyError(Problem(f"--slurm {text}: {messages}")) from None
    return {name: getattr(checked, name)}


def _value(name: str, text: str) -> Any:
    """What was meant by a field's text: a list for lists, a number for numbers, else the text."""
    kind = str(ResourceFields.model_fields[name].annotation)
    if "tuple" in kind and not text.lstrip().startswith("["):
        return [text]
    if kind in ("<class 'str'>", "str | None") or name == "time":
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both mappings in one, key by key; what stands above wins."""
    both = dict(below)
    for key, value in above.items():
        old = both.get(key)
        both[key] = _over(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return both


def _without(table: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in table.items() if name != key}
