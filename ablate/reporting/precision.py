"""How many decimals a column is written with: one number for all of its cells, so that they compare at a glance."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ablate.reporting.comparison import Comparison
from ablate.reporting.numbers import LARGEST, MOST_DECIMALS, is_written_as_zero, two_digits


def column_decimals(
    values: Iterable[float], halves: Iterable[float], bounds: Iterable[float] = (), least: int = 0
) -> int | None:
    """Decimals for a column of `values` with half-widths `halves` and interval ends `bounds`; NaN is no number.

    They show two digits of the middle half-width, or four of the largest value where no half-width is known,
    and are never fewer than `least`. There is one more where a half-width or a bound would otherwise be
    written as zero. None where plain notation would be unreadable: then each cell has its own exponent.
    """
    known = sorted(h for h in halves if math.isfinite(h) and h > 0)
    sensitive = [*known, *(b for b in bounds if math.isfinite(b))]
    shown = [*sensitive, *(v for v in values if math.isfinite(v))]
    largest = max(map(abs, shown), default=0.0)
    if largest == 0:
        return least
    wanted = two_digits(known[(len(known) - 1) // 2]) if known else two_digits(largest) + 2
    decimals = max(wanted, least)
    decimals += any(is_written_as_zero(number, decimals) for number in sensitive)
    return decimals if decimals <= MOST_DECIMALS and largest < LARGEST else None


def mean_decimals(comparison: Comparison) -> int | None:
    """Decimals of the metric's column, and of what is measured less published."""
    summary = comparison.summary
    return column_decimals(summary["mean"], summary["half"], least=_least(comparison))


def difference_decimals(comparison: Comparison) -> int | None:
    """Decimals of the differences to the baseline; those of the means where no difference has an interval."""
    summary = comparison.summary
    if not summary["difference_half"].notna().any():
        return mean_decimals(comparison)
    ends = [*summary["difference_low"], *summary["difference_high"]]
    return column_decimals(summary["difference"], summary["difference_half"], ends, _least(comparison))


def effect_decimals(comparison: Comparison) -> int | None:
    """Decimals of the effect sizes, whose intervals are lopsided."""
    summary = comparison.summary
    halves = (summary["effect_size_high"] - summary["effect_size_low"]) / 2
    return column_decimals(summary["effect_size"], halves, least=1)


def _least(comparison: Comparison) -> int:
    """A percentage is read to a tenth at least, as in the papers it will stand beside."""
    return 1 if comparison.study.metric.unit == "%" else 0
