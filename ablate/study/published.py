"""Published numbers: read from a CSV file with its sources, matched to the study's Variants row by row."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ablate.study.document import Path_
from ablate.study.merging import Names
from ablate.study.resolve import Scope
from ablate.study.spec import PublishedColumnSpec
from ablate.study.study import PublishedColumn
from ablate.wording import listing, nearest

_NEEDED = ("variant", "value", "source")
#: A column that the file may have: `yes` where a number was read off a plot, or given as a rough one.
_APPROXIMATE = "approximate"
_ROWS: Path_ = ("published", "rows")


@dataclass(frozen=True)
class _Table:
    """The file's columns and rows."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, str], ...]


def published_columns(scope: Scope, names: Names) -> tuple[PublishedColumn, ...]:
    """The columns that hold at a profile; their rows may call a Variant by any of its ``names``.

    Raises `StudyError` where the file or a row that it should have is missing.
    """
    if not scope.profile.published:
        return ()
    at = scope.in_profile("published")
    if scope.spec.published is None:
        message = "a profile has published numbers, but the study has no 'published' section"
        raise scope.document.error(message, at)
    table = _read(scope, scope.spec.published.file)
    _check_rows(scope, scope.spec.published.rows, names, table, _ROWS)
    for index, column in enumerate(scope.profile.published):
        _check_rows(scope, column.rows, names, table, (*at, index, "rows"))
    return tuple(_column(scope, column, table, names, (*at, i)) for i, column in enumerate(scope.profile.published))


def _read(scope: Scope, file: str) -> _Table:
    place = ("published", "file")
    path = Path(scope.document.path.parent, file)
    if not path.is_file():
        raise scope.document.error(f"there is no file {file!r} beside the study", place)
    try:
        text = path.read_text(encoding="utf-8-sig")
        reader = csv.DictReader(io.StringIO(text, newline=""))
        rows = tuple(reader)
        columns = tuple(reader.fieldnames or ())
    except (OSError, ValueError, csv.Error) as error:
        raise scope.document.error(f"cannot read the published numbers: {error}", place) from None
    for needed in _NEEDED:
        if needed not in columns:
            known = f"it has {', '.join(columns) or 'none'}{nearest(needed, columns)}"
            raise scope.document.error(f"the file {file!r} has no column {needed!r}; {known}", place)
    return _Table(file, columns, rows)


def _check_rows(scope: Scope, rows: Mapping[str, str], names: Names, table: _Table, at: Path_) -> None:
    """Every Variant and every label that `rows` names must exist, though not each label in each column."""
    labels = list(dict.fromkeys(row["variant"] for row in table.rows if row["variant"]))
    for name, label in rows.items():
        names.find(name, scope, (*at, name))
        if label not in labels:
            # The file may list a hundred; what is wanted is the nearest.
            hint = nearest(label, labels) or f"; {listing(labels[:20])}{', ...' if len(labels) > 20 else ''}"
            raise scope.document.error(f"the file {table.name!r} has no row {label!r}{hint}", (*at, name))


def _column(scope: Scope, column: PublishedColumnSpec, table: _Table, names: Names, at: Path_) -> PublishedColumn:
    for key in column.where:
        if key not in table.columns:
            message = f"the file {table.name!r} has no column {key!r}; {listing(table.columns)}"
            raise scope.document.error(f"{message}{nearest(key, table.columns)}", (*at, "where", key))
    wanted = {key: scope.document.name_at((*at, "where", key), value) for key, value in column.where.items()}
    chosen = [row for row in table.rows if all(row[key] == value for key, value in wanted.items())]
    rows = (scope.spec.published.rows if scope.spec.published else {}) | column.rows
    values: dict[str, float] = {}
    texts: dict[str, str] = {}
    sources: list[str] = []
    for written, label in rows.items():
        variant = names.find(written, scope, (*at, "rows", written))
        hits = [row for row in chosen if row["variant"] == label]
        if len(hits) > 1:
            message = f"{len(hits)} rows of the file are {label!r} in the column {column.label!r}; choose by `where`"
            raise scope.document.error(message, at)
        if not hits and written in column.rows:
            message = f"no row {label!r} of the file is in the column {column.label!r}"
            raise scope.document.error(message, (*at, "rows", written))
        if hits and variant in values:
            message = f"{variant!r} has a number in the column {column.label!r} already, by another of its names"
            raise scope.document.error(message, (*at, "rows", written))
        for hit in hits:
            values[variant] = _number(scope, hit["value"], label, at)
            texts[variant] = _about(scope, hit, label, at) + hit["value"].strip()
            sources.append(hit["source"] or "")
    if not values:
        raise scope.document.error(f"no row of the file fits the column {column.label!r}", at)
    source = "; ".join(dict.fromkeys(filter(None, sources)))
    return PublishedColumn(column.label, values, source, column.note, texts)


def _number(scope: Scope, text: str | None, label: str, at: Path_) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise scope.document.error(f"the value of row {label!r} in the file is no number: {text!r}", at)
    return value


def _about(scope: Scope, row: Mapping[str, str], label: str, at: Path_) -> str:
    """What stands before the number: `≈ ` where the file says that it is approximate."""
    text = (row.get(_APPROXIMATE) or "no").strip()
    if text not in ("yes", "no"):
        message = f"the column {_APPROXIMATE!r} of row {label!r} in the file is neither yes nor no: {text!r}"
        raise scope.document.error(message, at)
    return "≈ " if text == "yes" else ""
