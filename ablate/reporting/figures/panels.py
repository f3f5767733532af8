"""Rows against one number, where a few rows may be so far out that the others would shrink to a dot.

Then the first panel keeps to the others and marks what lies beyond with an arrow and its numbers, and at
the width of two columns a second panel shows the full range.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from ablate.reporting.figures.style import BLACK, DOUBLE, PALE, SMALL, new_figure, row_label

#: A scale is split where the farthest row reaches so many times as far as the middle one.
TOO_FAR = 5.0
#: Height of a row, and of everything around the rows, inches.
ROW, FRAME = 0.2, 0.85


@dataclass(frozen=True)
class RowValues:
    """What a row of the figure spans: its points decide the scale, its interval is shown as far as there is room."""

    name: str
    points: tuple[float, ...]
    """Finite; empty where there is no result."""
    ends: tuple[float, ...] = ()
    """Ends of the interval; empty where there is none."""
    beside: tuple[float, ...] = ()
    """Other numbers drawn in the row, such as published ones, as far as there is room."""


@dataclass(frozen=True)
class Look:
    """A marker, the colour of its face, and that of its edge and its lines."""

    marker: str
    face: str
    colour: str


def core_reach(reaches: Sequence[float]) -> float | None:
    """The largest distance from the reference that the focused panel covers; None where one scale shows all.

    At least half of the rows stay in; the cut is at the widest relative gap above them.
    """
    far = sorted(r for r in reaches if r > 0)
    if len(far) < 3 or far[-1] <= TOO_FAR * far[len(far) // 2]:
        return None
    cuts = range((len(far) + 1) // 2, len(far))
    return far[max(cuts, key=lambda k: far[k] / far[k - 1]) - 1]


@dataclass(frozen=True)
class Panel:
    """One Axes and what it covers. Marks of one look become one artist each: a figure of thirty rows draws ten."""

    axes: Axes
    low: float
    high: float
    focused: bool
    _marks: dict[tuple[tuple[str, Any], ...], list[tuple[float, float]]] = field(
        default_factory=lambda: defaultdict(list), init=False
    )

    def mark(self, x: Sequence[float], y: Sequence[float], marker: str, **look: Any) -> None:
        """Put a marker at each point, once `flush` is called; `look` as for `Axes.plot`."""
        self._marks[("marker", marker), ("linestyle", ""), *look.items()] += zip(x, y, strict=True)

    def line(self, start: float, end: float, y: float, **look: Any) -> None:
        """Draw a level line, once `flush` is called."""
        self._marks[("marker", ""), *look.items()] += [(start, y), (end, y), (math.nan, math.nan)]

    def flush(self) -> None:
        """Draw what `mark` and `line` were told."""
        for look, points in self._marks.items():
            self.axes.plot(*zip(*points, strict=True), **dict(look))
        self._marks.clear()

    def beyond(self, row: RowValues) -> bool:
        """Whether the row's points lie outside, so that an arrow stands for it."""
        return any(not self.low <= value <= self.high for value in row.points)

    def arrow(self, y: float, to_right: bool, text: str, look: Look | None = None) -> None:
        """An arrow at the edge, the row's marker where it has one, and the numbers that they stand for."""
        x, marker, inwards, side = (1.0, ">", -1, "right") if to_right else (0.0, "<", 1, "left")
        place, colour = self.axes.get_yaxis_transform(), look.colour if look else BLACK
        self.axes.plot([x], [y], marker=marker, color=colour, markersize=3.5, transform=place, clip_on=False)
        shift = 6
        if look:
            figure = self.axes.get_figure(root=True)
            assert figure is not None
            beside = place + ScaledTranslation(9 * inwards / 72, 0, figure.dpi_scale_trans)
            self.axes.plot(
                [x], [y], look.marker, markersize=4.8, mfc=look.face, mec=look.colour, mew=1.0, transform=beside
            )
            shift = 15
        self.axes.annotate(
            text,
            (x, y),
            xycoords=place,
            xytext=(inwards * shift, 0),
            textcoords="offset points",
            ha=side,
            va="center",
            fontsize=SMALL,
        )


def row_panels(rows: Sequence[RowValues], reference: float, width: float) -> tuple[Figure, list[Panel]]:
    """A figure with one panel, or with a focused one and the full range where the rows ask for it."""
    core = core_reach([max((abs(p - reference) for p in row.points), default=0.0) for row in rows])
    inside = rows if core is None else [r for r in rows if all(abs(p - reference) <= core for p in r.points)]
    spans = [_span(inside, reference)]
    if core is not None and width >= DOUBLE:
        spans.append(_span(rows, reference))
    figure = new_figure(width, FRAME + ROW * max(len(rows), 3))
    ratios = [2.6, 1.0][: len(spans)]
    axes = figure.subplots(1, len(spans), squeeze=False, width_ratios=ratios)[0]
    panels = [Panel(a, *span, i == 0 and core is not None) for i, (a, span) in enumerate(zip(axes, spans, strict=True))]
    for panel in panels:
        panel.axes.set_xlim(panel.low, panel.high)
        panel.axes.set_ylim(len(rows) - 0.5, -0.5)
        panel.axes.set_yticks([])
        panel.axes.spines["left"].set_visible(False)
        panel.axes.locator_params(axis="x", nbins=6 if panel is panels[0] else 4)
        bands = [[(0, y - 0.5), (1, y - 0.5), (1, y + 0.5), (0, y + 0.5)] for y in range(0, len(rows), 2)]
        place = panel.axes.get_yaxis_transform()
        shades = PolyCollection(bands, facecolor=PALE, alpha=0.6, linewidth=0, zorder=0, transform=place)
        panel.axes.add_collection(shades, autolim=False)
    return figure, panels


def name_rows(panels: Sequence[Panel], names: Sequence[str], width: float) -> None:
    """Write the rows' names at the left, and over two panels what each of them shows."""
    size = 7 if width >= DOUBLE else SMALL
    labels = [row_label(name, width) for name in names]
    panels[0].axes.tick_params(axis="y", left=False, pad=5)
    panels[0].axes.set_yticks(range(len(names)), labels, fontsize=size, linespacing=0.9)
    if len(panels) > 1:
        panels[0].axes.set_title("all but the far ones (◀ ▶)", loc="left")
        panels[1].axes.set_title("full range", loc="left")


def _span(rows: Sequence[RowValues], reference: float) -> tuple[float, float]:
    points = [reference, *(p for row in rows for p in row.points)]
    reach = max(abs(p - reference) for p in points) or 1.0
    # An interval from two seeds can be ten times as wide as anything measured: it may not set the scale alone.
    ends = [min(max(e, reference - 2 * reach), reference + 2 * reach) for row in rows for e in (*row.ends, *row.beside)]
    low, high = min(points + ends), max(points + ends)
    margin = 0.07 * (high - low) if high > low else 1.0
    return low - margin, high + margin


def draw_rows(
    panels: Sequence[Panel],
    rows: Sequence[RowValues],
    draw: Callable[[Panel, int, RowValues], None],
    summary: Callable[[RowValues], str],
    reference: float,
    look: Callable[[RowValues], Look] | None = None,
) -> None:
    """Draw each row in each panel, or its arrow where a focused panel leaves it out."""
    for panel in panels:
        for y, row in enumerate(rows):
            if panel.focused and panel.beyond(row):
                panel.arrow(
                    y, math.fsum(p - reference for p in row.points) > 0, summary(row), look(row) if look else None
                )
            else:
                draw(panel, y, row)
        panel.flush()
