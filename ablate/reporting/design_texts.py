"""How the numbers of a design's tables are written."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import pandas as pd

from ablate.reporting import numbers
from ablate.reporting.comparison import Comparison
from ablate.reporting.precision import column_decimals


def each(write: Callable[[float], str], values: Iterable[float]) -> list[str]:
    """Every value as ``write`` writes it."""
    return [write(value) for value in values]


def counts(n: Iterable[int], planned: Iterable[int]) -> list[str]:
    """`11/12`."""
    return [f"{int(k)}/{int(total)}" for k, total in zip(n, planned, strict=True)]


def share_text(share: float) -> str:
    """`86.5 %` of the variance; a dash where it is not known."""
    if not math.isfinite(share):
        return numbers.NOTHING
    return "< 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


def least_decimals(comparison: Comparison) -> int:
    """A percentage is read to a tenth at least."""
    return 1 if comparison.study.metric.unit == "%" else 0


def effect_decimals(comparison: Comparison, value: pd.Series, low: pd.Series, high: pd.Series) -> int | None:
    """Decimals of a column of effects with intervals."""
    return column_decimals(value, (high - low) / 2, [*low, *high], least_decimals(comparison))


def with_intervals(
    comparison: Comparison, value: pd.Series, low: pd.Series, high: pd.Series, counted: Sequence[str] = ()
) -> list[str]:
    """`+0.42 [−0.31, +1.15]`, the whole column with the same decimals; behind it what ``counted`` says."""
    decimals = effect_decimals(comparison, value, low, high)
    cells = [numbers.with_interval(v, a, b, decimals) for v, a, b in zip(value, low, high, strict=True)]
    return [f"{cell} {more}".rstrip() for cell, more in zip(cells, counted or [""] * len(cells), strict=True)]


def with_words(text: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """With the aliases and the reasons of ``rows`` as last columns, where there are any."""
    for title, column in (("Aliased with", "aliases"), ("Why", "reason")):
        if (rows[column] != "").any():
            text[title] = [word or numbers.NOTHING for word in rows[column]]
    return text
