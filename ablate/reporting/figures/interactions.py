"""Interactions as a heat map: what two changes do together beyond the sum of both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from ablate.reporting import methods, numbers
from ablate.reporting.comparison import Comparison
from ablate.reporting.design_texts import effect_decimals
from ablate.reporting.figures.style import BLACK, DOUBLE, GREY, PALE, SMALL, folded, label, new_figure

#: Changes in one map at the widths of two columns and of one; of more, those with the largest interactions are drawn.
MOST_CHANGES, MOST_IN_A_COLUMN = 24, 16
#: With up to so many changes the cells have their numbers.
MOST_WITH_NUMBERS, MOST_NUMBERS_IN_A_COLUMN = 14, 7
#: Inches: the largest cell, a letter of the names, the scale with its words, and air around a map.
_CELL, _LETTER, _SCALE, _AIR = 0.44, 0.054, 0.8, 0.12
#: Room above a map for a line that says what is left out, and the least height of the scale, inches.
_LINE, _LEAST = 0.2, 1.55


@dataclass(frozen=True)
class _Map:
    """The interactions of one design."""

    changes: list[str]
    values: npt.NDArray[np.float64]
    """(changes, changes), below the diagonal; NaN where it is not known."""
    p: npt.NDArray[np.float64]
    planned: npt.NDArray[np.bool_]
    """Whether the pair is in the design."""
    alone: dict[str, float]
    """What each change does by itself: the main effect, or in a design of pairs the difference to the baseline."""
    decimals: int | None
    left_out: int
    """Changes that have no room."""


def draw(comparison: Comparison, width: float = DOUBLE) -> Figure | None:
    """One map per design; None where no interaction is known. Call within `paper_style`."""
    most = MOST_CHANGES if width >= DOUBLE else MOST_IN_A_COLUMN
    maps = [found for rows in _rows(comparison) if (found := _map(comparison, *rows, most)) is not None]
    if not maps:
        return None
    names = [max(len(line) for name in _names(found, width) for line in name.split("\n")) for found in maps]
    left = [_LETTER * letters + _AIR for letters in names]
    side = [
        min(_CELL * len(found.changes), width - room - _SCALE - _AIR) for found, room in zip(maps, left, strict=True)
    ]
    heights = [_LINE + max(own + room, _LEAST) + _AIR for own, room in zip(side, left, strict=True)]
    figure = new_figure(width, sum(heights))
    # Every size is known, so nothing has to be laid out; and the scale stays beside a map that must be square.
    figure.set_layout_engine("none")
    top = sum(heights)
    for found, room, own, height in zip(maps, left, side, heights, strict=True):
        start = room + (width - room - own - _SCALE - _AIR) / 2
        box = (start / width, (top - _LINE - own) / sum(heights), own / width, own / sum(heights))
        long = max(own, _LEAST)
        scale = ((start + own + 0.15) / width, (top - _LINE - long) / sum(heights), 0.13 / width, long / sum(heights))
        _draw_map(figure.add_axes(box), figure.add_axes(scale), comparison, found, width)
        top -= height
    return figure


def _rows(comparison: Comparison) -> list[tuple[pd.DataFrame, dict[str, float]]]:
    """`first`, `second`, `value`, `low`, `high`, `p_holm` of each design, and what its changes do alone."""
    effects, pairs = comparison.designs.effects, comparison.designs.interactions
    found = []
    for _, rows in effects.groupby("block", sort=False) if len(effects) else ():
        main = rows[rows["kind"] == "main"]
        own = rows[(rows["kind"] == "interaction") & (rows["left_out"] == "")].rename(columns={"estimate": "value"})
        found.append((own, dict(zip(main["first"], main["estimate"], strict=True))))
    for _, rows in pairs.groupby("block", sort=False) if len(pairs) else ():
        alone: dict[str, float] = {}
        for row in rows.to_dict("records"):
            for change, value in ((row["first"], row["alone_first"]), (row["second"], row["alone_second"])):
                if not np.isfinite(alone.get(change, np.nan)):
                    alone[change] = value
        found.append((rows.rename(columns={"interaction": "value"}), alone))
    return found


def _map(comparison: Comparison, rows: pd.DataFrame, alone: dict[str, float], most: int) -> _Map | None:
    if not rows["value"].notna().any():
        return None
    every = list(dict.fromkeys([*alone, *rows["first"], *rows["second"]]))
    every = [c for c in every if c in set(rows["first"]) | set(rows["second"])]
    size = rows["value"].abs().fillna(0.0)
    strongest = pd.concat([size.groupby(rows["first"]).max(), size.groupby(rows["second"]).max()])
    strongest = strongest.groupby(level=0).max().reindex(every)
    kept = np.sort(np.argsort(-strongest.to_numpy(), kind="stable")[:most])
    changes = [every[i] for i in kept]
    values, p = np.full((2, len(changes), len(changes)), np.nan)
    planned = np.zeros(values.shape, dtype=bool)
    place = {change: i for i, change in enumerate(changes)}
    for row in rows.to_dict("records"):
        if row["first"] in place and row["second"] in place:
            i, j = sorted((place[row["first"]], place[row["second"]]), reverse=True)
            values[i, j], p[i, j], planned[i, j] = row["value"], row["p_holm"], True
    decimals = effect_decimals(comparison, rows["value"], rows["low"], rows["high"])
    return _Map(changes, values, p, planned, alone, decimals, len(every) - len(changes))


def _draw_map(axes: Axes, scale: Axes, comparison: Comparison, found: _Map, width: float) -> None:
    import seaborn  # takes a second, which a study without interactions need not pay

    n, reach = len(found.changes), float(np.nanmax(np.abs(found.values), initial=0.0)) or 1.0
    with_numbers = n <= (MOST_WITH_NUMBERS if width >= DOUBLE else MOST_NUMBERS_IN_A_COLUMN)
    # Of even steps to the eye, and safe for colour blindness. Blue is the better side, whichever way the metric is.
    colours = seaborn.color_palette(
        "vlag_r" if comparison.study.metric.direction == "maximize" else "vlag", as_cmap=True
    )
    image = axes.imshow(np.ma.masked_invalid(found.values), cmap=colours, vmin=-reach, vmax=reach, zorder=1)
    size = SMALL if width >= DOUBLE and n <= 10 else 5.2
    for i, j in zip(*np.nonzero(found.planned), strict=True):
        value, told = found.values[i, j], found.p[i, j] < comparison.study.analysis.alpha
        if np.isnan(value):
            axes.add_patch(_square(i, j, facecolor=PALE, edgecolor=GREY, hatch="////", linewidth=0.0))
            continue
        dark = abs(value) > 0.6 * reach
        text = numbers.with_half_width(value, np.nan, found.decimals, sign=True) if with_numbers else ""
        text = f"{text}*" if told else text
        axes.text(j, i, text, ha="center", va="center", fontsize=size, color="white" if dark else BLACK)
        if told:
            axes.add_patch(_square(i, j, fill=False, edgecolor=BLACK, linewidth=1.3, zorder=3, shrink=0.04))
    for i, change in enumerate(found.changes):
        if with_numbers and np.isfinite(found.alone.get(change, np.nan)):
            text = numbers.with_half_width(found.alone[change], np.nan, found.decimals, sign=True)
            axes.text(i, i, text, ha="center", va="center", fontsize=size, color=GREY, style="italic")
    _name(axes, found, width)
    _draw_scale(scale, image, comparison)


def _draw_scale(axes: Axes, image: AxesImage, comparison: Comparison) -> None:
    figure = axes.get_figure(root=True)
    assert figure is not None
    bar = figure.colorbar(image, cax=axes)
    bar.ax.tick_params(labelsize=SMALL, width=0.4, length=2)
    axes.spines[:].set_linewidth(0.4)
    unit = methods.difference_unit(comparison.study)
    bar.set_label(f"beyond the sum ({label(unit, 20)})" if unit else "beyond the sum", fontsize=SMALL)


def _square(i: int, j: int, shrink: float = 0.0, **look: Any) -> Rectangle:
    return Rectangle((j - 0.5 + shrink, i - 0.5 + shrink), 1 - 2 * shrink, 1 - 2 * shrink, **look)


def _names(found: _Map, width: float) -> list[str]:
    return [folded(change, 30 if width >= DOUBLE else 16) for change in found.changes]


def _name(axes: Axes, found: _Map, width: float) -> None:
    n, size = len(found.changes), SMALL if width >= DOUBLE else 5.6
    names = _names(found, width)
    axes.set_yticks(range(n), names, fontsize=size, linespacing=0.9)
    axes.set_xticks(range(n), names, fontsize=size, linespacing=0.9, rotation=90)
    axes.tick_params(length=0, pad=3)
    axes.set_xlim(-0.5, n - 0.5)
    axes.set_ylim(n - 0.5, -0.5)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if found.left_out:
        title = f"{n} of {n + found.left_out} changes, those with the largest interactions"
        axes.set_title(title, loc="left", fontsize=SMALL, pad=3)
