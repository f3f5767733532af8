"""Differences by class as one table: a row for each Variant, a column for each class, shaded by the difference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from ablate.reporting.classes import class_differences
from ablate.reporting.comparison import Comparison
from ablate.reporting.numbers import NOTHING, number

#: Columns that a page has room for.
MOST_CLASSES = 20


@dataclass(frozen=True)
class ClassCell:
    """A Variant's difference on one class."""

    text: str
    tip: str
    """The same with what stands behind it."""
    shade: int
    """From −100, the worst in the table, to 100."""
    certain: bool
    """Whether its interval excludes zero."""


@dataclass(frozen=True)
class ClassTable:
    """What the page shows of a frame of differences by class."""

    classes: tuple[str, ...]
    rows: tuple[tuple[str, tuple[ClassCell, ...]], ...]
    """Variant and a cell for each class."""
    left_out: int
    """Classes without a column: those that differ least."""


def classes_shown(comparison: Comparison, drawn: Sequence[str]) -> ClassTable | None:
    """The table of the Variants in `drawn`; None where nothing is known by image."""
    if comparison.examples is None:
        return None
    study = comparison.study
    few = replace(study, variants=tuple(v for v in study.variants if v is study.baseline or v.name in set(drawn)))
    return class_table(class_differences(few, comparison.examples), drawn)


def class_table(frame: pd.DataFrame, variants: Sequence[str]) -> ClassTable | None:
    """`frame` has `variant`, `class`, `class_name`, `n_images`, `baseline`, `accuracy`, `difference`, `low`, `high`,
    `pairs`, in percent and percentage points; `variants` are those to show, in their order. None where there is none.
    """
    own = frame[frame["variant"].isin(list(variants)) & frame["difference"].notna()]
    if own.empty:
        return None
    most = own["difference"].abs().groupby(own["class"]).max().sort_values(ascending=False, kind="stable")
    shown = set(most.index[:MOST_CLASSES])
    classes = [name for name in own["class"].drop_duplicates() if name in shown]
    worst = float(own["difference"].abs().max())
    called = dict(zip(own["class"], own["class_name"].map(str), strict=True))
    found = {(row["variant"], row["class"]): row for row in own.to_dict("records")}
    rows = [
        (name, tuple(_cell(name, called[c], found.get((name, c)), worst) for c in classes))
        for name in variants
        if any((name, c) in found for c in classes)
    ]
    return ClassTable(tuple(called[c] for c in classes), tuple(rows), len(most) - len(classes))


def _cell(variant: str, name: str, row: dict[Any, Any] | None, worst: float) -> ClassCell:
    if row is None:
        return ClassCell(NOTHING, f"{variant}, class {name}: no result", 0, False)
    known = math.isfinite(row["low"]) and math.isfinite(row["high"])
    interval = f" [{number(row['low'], 1, True)}, {number(row['high'], 1, True)}]" if known else ""
    tip = (
        f"{variant}, class {name}\n{number(row['difference'], 1, True)}{interval} points\n"
        f"{number(row['accuracy'], 1)} % beside the baseline's {number(row['baseline'], 1)} %\n"
        f"{int(row['n_images'])} images, {int(row['pairs'])} paired seeds"
    )
    certain = known and (row["low"] > 0 or row["high"] < 0)
    shade = round(100 * row["difference"] / worst) if worst else 0
    return ClassCell(number(row["difference"], 1, True), tip, shade, certain)
