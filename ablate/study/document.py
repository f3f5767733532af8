"""A YAML file as plain values, with the place in the file of every key.

YAML 1.2 through ruamel: `1e-3` is a number, `off`, `no` and dates are strings, `010` is ten. The file is
only parsed to a graph of nodes; the values are made here, so nothing but data can come of it. A tag other
than YAML's own is an error, and so is a key given twice. Anchors, aliases and merge keys (`<<`) work.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from ablate.study.errors import Problem, StudyError

Path_ = tuple[str | int, ...]
_CORE = "tag:yaml.org,2002:"
#: Aliases can make a small file unfold without bound; no study comes near this.
_MOST_VALUES = 100_000
_DEEPEST = 40
_LARGEST = 2**63
_BASES = {"0x": 16, "0o": 8, "0b": 2}


@dataclass(frozen=True)
class Document:
    """Plain values, and for each path of keys and indices the (line, column) where that key stands."""

    path: Path
    tree: dict[str, Any]
    places: Mapping[Path_, tuple[int, int]]
    numbers: Mapping[Path_, str]
    """The text of every number, for where it is meant as a name: the Level `1e-5` is not called `1e-05`."""

    def problem(self, message: str, at: Path_ = ()) -> Problem:
        """A Problem at a path of this document, or at the nearest enclosing key that exists."""
        while at not in self.places and at:
            at = at[:-1]
        line, column = self.places.get(at, (0, 0))
        return Problem(message, self.path, line, column)

    def error(self, message: str, at: Path_ = ()) -> StudyError:
        """The same as an exception to raise."""
        return StudyError(self.problem(message, at))

    def name_at(self, at: Path_, value: str | int | float) -> str:
        """A name that may have been written as a number, as it was written."""
        return value if isinstance(value, str) else self.numbers.get(at, str(value))


def read_document(path: Path) -> Document:
    """Read a YAML file. Raises `StudyError` where it is missing, not YAML 1.2, or not a mapping."""
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        raise StudyError(Problem("not text in UTF-8; save the file in that encoding", path, line, column)) from None
    except FileNotFoundError:
        raise StudyError(Problem("there is no such file", path)) from None
    except (OSError, ValueError) as error:
        raise StudyError(Problem(f"cannot read the study: {error}", path)) from None
    node = _compose(text, path)
    if not isinstance(node, MappingNode):
        what = "is empty" if node is None else "is not a mapping"
        raise StudyError(Problem(f"the file {what}; a study is a mapping of keys to values", path, 1, 1))
    reader = _Reader(path)
    tree = reader.value(node, ())
    return Document(path, tree, reader.places, reader.numbers)


def parse_setting(text: str) -> tuple[str, Any]:
    """Field and value of a ``--set field=value``. Raises `StudyError` for what is none."""
    field, separator, value = text.partition("=")
    if not separator or not field.strip():
        raise StudyError(Problem(f"--set takes field=value, not {text!r}"))
    try:
        return field.strip(), parse_value(value)
    except StudyError as error:
        raise StudyError(Problem(f"--set {text}: {error}")) from None


def parse_value(text: str) -> Any:
    """One YAML value, as in ``--set schedule.epochs=3``. Raises `StudyError`."""
    node = _compose(text, None)
    return None if node is None else _Reader(None).value(node, ())


def _compose(text: str, path: Path | None) -> Node | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an anchor defined anew, which YAML allows
            node: Node | None = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = ", ".join(filter(None, (error.context, error.problem))) or "cannot be read"
        if "'\\t' that cannot start" in reason:
            reason = "a tab cannot indent; use spaces"
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise StudyError(Problem(f"not YAML: {reason}", path, line, column)) from None
    except ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        message = f"not YAML: the character #x{ord(text[error.position]):02x} is not allowed"
        raise StudyError(Problem(message, path, line, column)) from None
    except (RecursionError, YAMLError, ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:
        # ruamel.yaml meets some malformed input with exceptions that are not its own.
        raise StudyError(Problem(f"not YAML: {error or type(error).__name__}", path)) from None
    return node


class _Reader:
    """Makes plain values of nodes, and notes where each stands."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.places: dict[Path_, tuple[int, int]] = {}
        self.numbers: dict[Path_, str] = {}
        self._open: list[Node] = []
        self._count = 0

    def value(self, node: Node, at: Path_) -> Any:
        self.places.setdefault(at, _place(node))
        self._count += 1
        if self._count > _MOST_VALUES:
            raise self._error("aliases make more values of this than a study can have", node)
        if isinstance(node, ScalarNode):
            return self._scalar(node, at)
        if any(node is outer for outer in self._open):
            raise self._error("an alias stands inside of what it stands for", node)
        if len(self._open) > _DEEPEST:
            raise self._error(f"nested deeper than {_DEEPEST} levels", node)
        self._open.append(node)
        made = self._mapping(node, at) if isinstance(node, MappingNode) else self._sequence(node, at)
        self._open.pop()
        return made

    def _mapping(self, node: MappingNode, at: Path_) -> dict[str, Any]:
        self._check_tag(node, "map")
        values = {}
        for key, (key_node, value_node) in self._entries(node).items():
            self.places[(*at, key)] = _place(key_node)
            values[key] = self.value(value_node, (*at, key))
        return values

    def _entries(self, node: MappingNode) -> dict[str, tuple[Node, Node]]:
        """Key -> (its node, its value's), after merge keys: a mapping's own entry wins, then the first merged."""
        own: dict[str, tuple[Node, Node]] = {}
        merged: dict[str, tuple[Node, Node]] = {}
        for key_node, value_node in node.value:
            if key_node.tag == f"{_CORE}merge":
                for other in self._merged(value_node):
                    self._open.append(other)
                    merged = self._entries(other) | merged
                    self._open.pop()
                continue
            key = self._key(key_node)
            if key in own:
                first = _place(own[key][0])[0]
                raise self._error(f"key {key!r} is given twice, first in line {first}", key_node)
            own[key] = (key_node, value_node)
        return merged | own

    def _merged(self, node: Node) -> Iterator[MappingNode]:
        for other in node.value if isinstance(node, SequenceNode) else [node]:
            if not isinstance(other, MappingNode):
                raise self._error("'<<' takes a mapping, or a list of mappings", other)
            if any(other is outer for outer in self._open):
                raise self._error("an alias stands inside of what it stands for", other)
            yield other

    def _key(self, node: Node) -> str:
        if not isinstance(node, ScalarNode):
            raise self._error("a key must be a name, not a list or a mapping", node)
        value = self._scalar(node, ())
        if value is None or isinstance(value, bool):
            raise self._error(f"a key must be a name; write {node.value!r} in quotes if it is one", node)
        return str(node.value)

    def _sequence(self, node: Node, at: Path_) -> list[Any]:
        self._check_tag(node, "seq")
        return [self.value(item, (*at, index)) for index, item in enumerate(node.value)]

    def _check_tag(self, node: Node, kind: str) -> None:
        if node.tag != f"{_CORE}{kind}":
            raise self._error(f"the tag {str(node.tag).replace(_CORE, '!!')!r} is not allowed in a study", node)

    def _scalar(self, node: ScalarNode, at: Path_) -> Any:
        kind, text = str(node.tag).removeprefix(_CORE), str(node.value)
        if kind in {"str", "timestamp", "merge", "value"}:
            return text
        if kind == "null":
            return None
        if kind == "bool":
            if text.lower() in {"true", "false"}:
                return text.lower() == "true"
            raise self._error(f"write true or false, not {text!r}", node)
        if kind in {"int", "float"}:
            self.numbers[at] = text
            return self._number(text, kind, node)
        self._check_tag(node, "str")
        return text

    def _number(self, text: str, kind: str, node: ScalarNode) -> int | float:
        plain = text.replace("_", "").lower()
        try:
            if kind == "float":
                number: int | float = float(plain.replace(".inf", "inf").replace(".nan", "nan"))
            else:
                number = int(plain, _BASES.get(plain.lstrip("+-")[:2], 10))
        except ValueError:
            number = _LARGEST
        if abs(number) < _LARGEST:  # false for NaN too
            return number
        raise self._error(f"{text[:40]!r} is not a number that a study can have", node)

    def _error(self, message: str, node: Node) -> StudyError:
        line, column = _place(node) if self.path else (0, 0)
        return StudyError(Problem(message, self.path, line, column))


def _place(node: Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1
