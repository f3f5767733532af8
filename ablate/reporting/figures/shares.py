"""Shapley shares as bars with intervals, and what they add up to."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ablate.reporting import methods, numbers
from ablate.reporting.captions import better
from ablate.reporting.comparison import Comparison
from ablate.reporting.design_texts import effect_decimals
from ablate.reporting.figures.panels import FRAME, ROW
from ablate.reporting.figures.style import (
    BLACK,
    BLUE,
    DOUBLE,
    GREY,
    PALE,
    RED,
    SMALL,
    label,
    new_figure,
    row_label,
)

#: Bars of a design; of more, those farthest from zero are drawn.
MOST_SHARES = 30


def draw(comparison: Comparison, width: float = DOUBLE) -> Figure | None:
    """One panel per fully crossed design; None where none has shares. Call within `paper_style`."""
    shares, totals = comparison.designs.shapley, comparison.designs.totals
    if shares.empty or not shares["share"].notna().any():
        return None
    designs = [(n, rows) for n, rows in shares.groupby("block", sort=False) if rows["share"].notna().any()]
    heights = [FRAME + ROW * (min(len(rows), MOST_SHARES) + 1) for _, rows in designs]
    figure = new_figure(width, sum(heights))
    grid = figure.subplots(len(designs), 1, height_ratios=heights, squeeze=False)[:, 0]
    decimals = effect_decimals(comparison, shares["share"], shares["low"], shares["high"])
    for axes, (number, rows) in zip(grid, designs, strict=True):
        farthest = np.sort(np.argsort(-rows["share"].abs().to_numpy(), kind="stable")[:MOST_SHARES])
        if len(rows) > MOST_SHARES:
            axes.set_title(f"the {MOST_SHARES} of {len(rows)} farthest from zero", loc="left", fontsize=SMALL)
        bars = [
            (f"{row['factor']}={row['level']}", row["share"], row["low"], row["high"])
            for row in rows.iloc[farthest].to_dict("records")
        ]
        total = totals[(totals["block"] == number) & (totals["of"] == "shapley")].iloc[0]
        bars.append(("everything changed", total["estimate"], total["low"], total["high"]))
        _draw_bars(axes, comparison, bars, decimals, width)
    unit = methods.difference_unit(comparison.study)
    name = label(comparison.study.metric.label or comparison.study.metric.name, 30)
    lines = [f"share of the difference in {name}", f"{label(unit, 20)}, {better(comparison.study)}".lstrip(", ")]
    grid[-1].set_xlabel(("\n" if width < DOUBLE else "; ").join(lines))
    return figure


def _draw_bars(
    axes: Axes, comparison: Comparison, bars: list[tuple[str, float, float, float]], decimals: int | None, width: float
) -> None:
    upwards = comparison.study.metric.direction == "maximize"
    reach = max(abs(bar[1]) for bar in bars if np.isfinite(bar[1])) or 1.0
    ends = [0.0]
    for y, (_, value, low, high) in enumerate(bars):
        last = y == len(bars) - 1
        if y % 2 == 0:
            axes.axhspan(y - 0.5, y + 0.5, color=PALE, alpha=0.6, linewidth=0, zorder=0)
        # In one column there is no room for the interval's numbers; the line shows it.
        text = numbers.with_interval(value, *((low, high) if width >= DOUBLE else (np.nan, np.nan)), decimals)
        axes.text(1.02, y, text, transform=axes.get_yaxis_transform(), fontsize=SMALL, va="center")
        if not np.isfinite(value):
            continue
        colour = GREY if last else BLUE if (value > 0) == upwards else RED
        told = low > 0 or high < 0
        face: dict[str, Any] = {"facecolor": colour, "alpha": 0.45} if told else {"facecolor": "white"}
        axes.barh(y, value, 0.55, edgecolor=colour, linewidth=0.8, zorder=2, **face)
        ends.append(value)
        if np.isfinite(low):
            # An interval from two seeds may be many times any share: it may not set the scale alone.
            shown = [min(max(end, -1.6 * reach), 1.6 * reach) for end in (low, high)]
            ends += shown
            axes.plot(shown, [y, y], color=BLACK, linewidth=0.9, zorder=3)
            for x, end, arrow in zip(shown, (low, high), "<>", strict=True):
                axes.plot([x], [y], marker="|" if x == end else arrow, color=BLACK, markersize=4, zorder=3)
    axes.axvline(0, color=BLACK, linewidth=0.8, zorder=1)
    axes.axhline(len(bars) - 1.5, color=GREY, linewidth=0.6)
    margin = 0.06 * (max(ends) - min(ends)) or 1.0
    axes.set_xlim(min(ends) - margin, max(ends) + margin)
    axes.set_ylim(len(bars) - 0.5, -0.5)
    size = 7 if width >= DOUBLE else SMALL
    axes.set_yticks(range(len(bars)), [row_label(bar[0], width) for bar in bars], fontsize=size, linespacing=0.9)
    axes.tick_params(axis="y", length=0, pad=5)
    axes.spines["left"].set_visible(False)
    axes.locator_params(axis="x", nbins=6 if width >= DOUBLE else 4)
