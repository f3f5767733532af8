"""A difference drawn in a cell of the table: its seeds, its interval and its verdict on one scale for all rows.

The row is drawn here and not by the page's script, so that it is there without a script, sorts and filters with its
row, and stands beside the numbers that it shows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from ablate.reporting.comparison import Comparison
from ablate.reporting.figures.panels import core_reach
from ablate.reporting.numbers import number
from ablate.reporting.statistics import HELPS, HURTS, SAME

#: Size of a cell's drawing and of the axis above it, pixels; what is kept free for arrows at its ends.
WIDTH, HEIGHT, AXIS, EDGE = 200, 22, 18, 9
#: What stands for a verdict: its class in the style sheet, and its shape around (0, 0).
_SHAPES = {
    HELPS: ("up", "m-5 4h10l-5-9z"),
    HURTS: ("down", "m-5-4h10l-5 9z"),
    SAME: ("same", "m-4-4h8v8h-8z"),
}
_OPEN = ("open", "m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z")


@dataclass(frozen=True)
class Scale:
    """What the drawings cover, in the metric's unit; zero is always in it."""

    low: float
    high: float

    def place(self, value: float) -> float:
        """Pixels from the left, kept inside."""
        inside = min(max(value, self.low), self.high)
        return round(EDGE + (inside - self.low) / (self.high - self.low) * (WIDTH - 2 * EDGE), 1)

    def ticks(self) -> list[tuple[float, str]]:
        """Value and text of at most seven marks at round numbers."""
        rough = (self.high - self.low) / 6
        size = 10.0 ** math.floor(math.log10(rough))
        step = next(size * k for k in (1, 2, 5, 10) if size * k >= rough)
        decimals = max(-math.floor(math.log10(step)), 0)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [(k * step, number(k * step, decimals, sign=True)) for k in range(first, last + 1)]


def seeds_of(comparison: Comparison) -> dict[str, list[float]]:
    """Variant -> its differences to the baseline, one a seed."""
    pairs = comparison.pairs
    return {str(name): group.tolist() for name, group in pairs.groupby("variant", sort=False)["difference"]}


def scale_of(comparison: Comparison, seeds: Mapping[str, Sequence[float]]) -> Scale | None:
    """One scale for all rows; None without a difference.

    A few Variants far beyond the others would shrink these to a dot. They are left to arrows, by the rule of the
    static figure (`core_reach`). Intervals are shown as far as one and a half times the points reach.
    """
    summary = comparison.summary.iloc[1:]
    points = {name: [v for v in values if math.isfinite(v)] for name, values in seeds.items()}
    points = {name: values for name, values in points.items() if values}
    if not points:
        return None
    reach = {name: max(map(abs, values)) for name, values in points.items()}
    core = core_reach(list(reach.values())) or max(reach.values())
    inside = [v for name, values in points.items() if reach[name] <= core for v in values]
    low, high = min(0.0, *inside), max(0.0, *inside)
    room = 0.5 * (high - low)
    ends = summary[["difference_low", "difference_high"]].dropna()
    if len(ends):
        low, high = (
            min(low, max(float(ends["difference_low"].min()), low - room)),
            max(high, min(float(ends["difference_high"].max()), high + room)),
        )
    if low == high:  # every seed of every Variant equals its baseline
        low, high = -1.0, 1.0
    return Scale(low, high)


def axis(scale: Scale) -> Markup:
    """The marks above the drawings; the numbers themselves stand in the table."""
    marks = "".join(
        f'<text x="{scale.place(value)}" y="10">{text}</text><path d="M{scale.place(value)} 13v5"/>'
        for value, text in scale.ticks()
    )
    return _svg("axis", AXIS, marks)


def row(scale: Scale, found: Mapping[Any, Any], seeds: Sequence[float]) -> Markup:
    """One Variant's drawing; `found` is its row of the summary."""
    centre = float(found["difference"])
    parts = [f'<path class="zero" d="M{scale.place(0)} 0v{HEIGHT}"/>']
    if math.isfinite(centre):
        within = [value for value in seeds if scale.low <= value <= scale.high]
        if within:
            dots = "".join(f"M{scale.place(value)} 3h0" for value in within)
            parts.append(f'<path class="seeds" d="{dots}"/>')
        look, shape = _SHAPES.get(str(found["verdict"]), _OPEN)
        parts.append(f'<g class="{look}">{_interval(scale, found)}')
        if scale.low <= centre <= scale.high:
            parts.append(f'<path class="mark" d="M{scale.place(centre)} 13{shape}"/></g>')
        else:
            x, arrow = (WIDTH - EDGE, "m0-5l8 5l-8 5z") if centre > 0 else (EDGE, "m0-5l-8 5l8 5z")
            parts.append(f'<path class="mark far" d="M{x} 13{arrow}"/></g>')
    return _svg("row", HEIGHT, "".join(parts))


def _svg(kind: str, height: int, inside: str) -> Markup:
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    # Nothing but numbers and names of this module is in it.
    return Markup(f'<svg class="{kind}" {size} aria-hidden="true">{inside}</svg>')  # noqa: S704


def _interval(scale: Scale, found: Mapping[Any, Any]) -> str:
    low, high = float(found["difference_low"]), float(found["difference_high"])
    if not (math.isfinite(low) and math.isfinite(high)) or high < scale.low or low > scale.high:
        return ""
    start, end = scale.place(low), scale.place(high)
    caps = f"M{start} 10v6" if low >= scale.low else f"M{start + 3} 10l-4 3l4 3"
    caps += f"M{end} 10v6" if high <= scale.high else f"M{end - 3} 10l4 3l-4 3"
    return f'<path class="interval" d="M{start} 13H{end}{caps}"/>'
