"""A ladder as a waterfall: from the foot to the top, each rung's gain a bar between two means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ablate.reporting import numbers
from ablate.reporting.captions import better
from ablate.reporting.comparison import Comparison
from ablate.reporting.design_texts import effect_decimals
from ablate.reporting.figures.differences import LOOKS
from ablate.reporting.figures.panels import FRAME, ROW
from ablate.reporting.figures.style import BLACK, DOUBLE, GREY, PALE, SMALL, label, new_figure, row_label
from ablate.reporting.statistics import HELPS, HURTS, UNSURE

#: A ladder shows so many rungs; of a longer one the last are left out, and the figure says so.
MOST_RUNGS = 40
#: Height of a bar, in rows.
_BAR = 0.52


def draw(comparison: Comparison, width: float = DOUBLE) -> Figure | None:
    """One panel per ladder, foot on top; None where no ladder has two means. Call within `paper_style`."""
    rungs = comparison.designs.rungs
    if rungs.empty:
        return None
    ladders = [rows.to_dict("records")[:MOST_RUNGS] for _, rows in rungs.groupby("block", sort=False)]
    blocks = [comparison.study.blocks[number] for number in rungs["block"].unique()]
    kept = [i for i, rows in enumerate(ladders) if sum(np.isfinite(row["mean"]) for row in rows) > 1]
    if not kept:
        return None
    heights = [FRAME + ROW * 1.25 * max(len(ladders[i]), 3) for i in kept]
    figure = new_figure(width, sum(heights))
    grid = figure.subplots(len(kept), 1, height_ratios=heights, squeeze=False)[:, 0]
    decimals = effect_decimals(comparison, rungs["gain"], rungs["gain_low"], rungs["gain_high"])
    seen: set[str] = set()
    for axes, i in zip(grid, kept, strict=True):
        _draw_ladder(axes, comparison, ladders[i], decimals, seen, width)
        _name_rungs(axes, ladders[i], blocks[i].backward, width)
        if (more := int((rungs["block"] == rungs["block"].unique()[i]).sum()) - len(ladders[i])) > 0:
            axes.set_title(f"{more} further rungs are in the table", loc="left", fontsize=SMALL)
    separator = "\n" if width < DOUBLE else "; "
    grid[-1].set_xlabel(f"{label(comparison.metric_title, 36)}{separator}{better(comparison.study)}")
    handles: list[Any] = [
        Line2D([], [], marker=LOOKS[v].marker, mfc=LOOKS[v].face, mec=LOOKS[v].colour, color=LOOKS[v].colour,
               markersize=4.8, label=v)
        for v in (HELPS, HURTS, UNSURE) if v in seen
    ]  # fmt: skip
    handles.append(Line2D([], [], linestyle="", marker="|", color=BLACK, markersize=8, mew=1.4, label="mean"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4 if width >= DOUBLE else 2, handlelength=1.8)
    return figure


def _draw_ladder(
    axes: Axes,
    comparison: Comparison,
    rows: Sequence[dict[Any, Any]],
    decimals: int | None,
    seen: set[str],
    width: float,
) -> None:
    before, ends = float("nan"), list[float]()
    means = [float(row["mean"]) for row in rows if np.isfinite(row["mean"])]
    # An interval from two seeds may be many times the ladder: it may not set the scale alone.
    reach = 1.5 * (max(means) - min(means)) if means else 0.0
    for y, row in enumerate(rows):
        if y % 2 == 0:
            axes.axhspan(y - 0.5, y + 0.5, color=PALE, alpha=0.6, linewidth=0, zorder=0)
        mean, gain = float(row["mean"]), float(row["gain"])
        if np.isnan(mean):
            _beside(axes, y, "no result", GREY)
            before = mean
            continue
        ends.append(mean)
        if np.isfinite(before):
            axes.plot([before, before], [y - 1, y + _BAR / 2], color=GREY, linewidth=0.6, zorder=1)
        if np.isfinite(gain):
            verdict = _verdict(comparison, gain, float(row["p_holm"]))
            seen.add(verdict)
            ends += _draw_gain(axes, y, before, row, verdict, reach)
            # In one column there is no room for the interval's numbers; the bar shows it.
            low, high = (row["gain_low"], row["gain_high"]) if width >= DOUBLE else (np.nan, np.nan)
            _beside(axes, y, numbers.with_interval(gain, low, high, decimals), BLACK)
        elif y:
            _beside(axes, y, "no pair of seeds", GREY)
        axes.plot([mean], [y], "|", markersize=11, color=BLACK, mew=1.4, zorder=4)
        before = mean
    axes.set_ylim(len(rows) - 0.5, -0.5)
    low, high = min(ends), max(ends)
    margin = 0.06 * (high - low) or 1.0
    axes.set_xlim(low - margin, high + margin)


def _draw_gain(axes: Axes, y: int, before: float, row: dict[Any, Any], verdict: str, reach: float) -> list[float]:
    """The bar, its interval about the rung's mean as far as ``reach``, and the verdict's marker; where they end."""
    look, mean = LOOKS[verdict], float(row["mean"])
    gain, low, high = (float(row[name]) for name in ("gain", "gain_low", "gain_high"))
    start = before if np.isfinite(before) else mean - gain
    face = "white" if verdict == UNSURE else look.colour
    bar: dict[str, Any] = {"edgecolor": look.colour, "linewidth": 0.8, "zorder": 2}
    axes.barh(y, mean - start, _BAR, left=start, facecolor=face, alpha=0.35 if face != "white" else 1.0, **bar)
    axes.plot([mean], [y], look.marker, markersize=4.8, mfc=look.face, mec=look.colour, mew=1.0, zorder=5)
    if not np.isfinite(low):
        return [start]
    reach = reach or max(abs(low - gain), abs(high - gain))
    shown = [mean + min(max(end - gain, -reach), reach) for end in (low, high)]
    axes.plot(shown, [y, y], color=look.colour, linewidth=1.2, zorder=3)
    for x, end, arrow in zip(shown, (low, high), "<>", strict=True):
        cut = not np.isclose(x, mean + end - gain)
        axes.plot([x], [y], marker=arrow if cut else "|", color=look.colour, markersize=4, zorder=3)
    return [start, *shown]


def _verdict(comparison: Comparison, gain: float, p: float) -> str:
    if not p < comparison.study.analysis.alpha:
        return UNSURE
    return HELPS if (gain > 0) == (comparison.study.metric.direction == "maximize") else HURTS


def _beside(axes: Axes, y: int, text: str, colour: str) -> None:
    place = axes.get_yaxis_transform()
    axes.text(1.02, y, text, transform=place, fontsize=SMALL, color=colour, va="center")


def _name_rungs(axes: Axes, rows: Sequence[dict[Any, Any]], backward: bool, width: float) -> None:
    sign = numbers.MINUS if backward else "+"
    names = ["everything changed" if backward else row_label(str(rows[0]["variant"]), width)]
    names += [f"{sign} {row_label(str(row['step']), width)}" for row in rows[1:]]
    size = 7 if width >= DOUBLE else SMALL
    axes.set_yticks(range(len(rows)), names, fontsize=size, linespacing=0.9)
    axes.tick_params(axis="y", length=0, pad=5)
    axes.spines["left"].set_visible(False)
    axes.locator_params(axis="x", nbins=6 if width >= DOUBLE else 4)
