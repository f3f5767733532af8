"""What a metric costs: each Variant's mean against its parameters, FLOPs and time, and those that no other beats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from ablate.reporting.captions import better
from ablate.reporting.comparison import Comparison
from ablate.reporting.drawn_variants import MOST_DRAWN
from ablate.reporting.figures.pareto_points import MOST_NUMBERED, cost_points, differ, front, span
from ablate.reporting.figures.placing import Labels
from ablate.reporting.figures.style import BLACK, BLUE, DOUBLE, GREY, label, lay_out, new_figure
from ablate.reporting.numbers import number
from ablate.reporting.precision import mean_decimals

#: From this ratio of the largest to the smallest cost on, the axis is logarithmic.
_LOG = 8.0
_LABELS = {"parameters": "trainable parameters", "flops": "FLOPs of one image's forward pass"}
_UNITS = ((2 * 3600.0, 3600.0, "h"), (120.0, 60.0, "min"), (0.0, 1.0, "s"))
#: Height of a line of the legend, inches, and the most characters of an entry of its key.
_A_LINE, _KEY = 0.15, 24
#: How often the figure is drawn at most to find which Variants on the front need a number.
_DRAWN = 3
#: The most Variants whose names are all tried; of more, those on the front and the far ones.
_ALL_NAMED = 16


def draw(comparison: Comparison, width: float = DOUBLE) -> Figure | None:
    """A panel for each cost in which Variants differ; None where they differ in none. Call within `paper_style`."""
    points = cost_points(comparison)
    columns = [name for name in ("parameters", "flops", "seconds") if differ(name, points)]
    if not columns:
        return None
    numbered: dict[str, int] = {}
    known = points.set_index("variant")[columns[0]]
    for _ in range(_DRAWN):  # a longer legend leaves less room for names, so that one more may need a number
        figure, unnamed = _drawn(comparison, points, columns, width, numbered)
        if not unnamed or len(numbered) == MOST_NUMBERED:
            break
        by_cost = sorted([*numbered, *unnamed][:MOST_NUMBERED], key=lambda name: float(known[name]))
        numbered = {name: place for place, name in enumerate(by_cost, 1)}
    return figure


def _drawn(
    comparison: Comparison, points: pd.DataFrame, columns: list[str], width: float, numbered: dict[str, int]
) -> tuple[Figure, list[str]]:
    """The figure, and the Variants of its fronts whose names found no room and that are not among those ``numbered``,
    to which the legend has a key.
    """
    wide = width >= DOUBLE
    figure = new_figure(width, (2.9 if wide else 0.75 + 1.9 * len(columns)) + _A_LINE * len(numbered) / _entries(wide))
    shape = (1, len(columns)) if wide else (len(columns), 1)
    grid = figure.subplots(*shape, sharey=True, squeeze=False).flat
    panels = [Panel.of(axes, name, points, comparison) for axes, name in zip(grid, columns, strict=True)]
    low, high, core = span(points)
    for panel in panels:
        panel.axes.set_ylim(low, high)
        panel.draw(core, len(points) <= MOST_DRAWN + 1)
    _words(figure, panels, comparison, wide, numbered)
    lay_out(figure)
    decimals = mean_decimals(comparison)

    def write(value: float) -> str:
        return number(value, 1 if decimals is None else decimals)

    return figure, list(dict.fromkeys(name for panel in panels for name in panel.name(core, write, numbered)))


@dataclass(frozen=True)
class Panel:
    """The Variants against one cost."""

    axes: Axes
    column: str
    points: pd.DataFrame
    """Those whose cost is known; `cost` in the unit of the axis, and `front`."""
    unit: float
    maximize: bool

    @classmethod
    def of(cls, axes: Axes, column: str, points: pd.DataFrame, comparison: Comparison) -> Panel:
        """The panel with its horizontal axis, and nothing drawn."""
        own = points[points[column] > 0].reset_index(drop=True)
        unit, title = 1.0, _LABELS.get(column, "")
        if column == "seconds":
            unit, name = next((size, name) for least, size, name in _UNITS if own[column].max() >= least)
            title = f"training time ({name})"
        maximize = comparison.study.metric.direction == "maximize"
        own["cost"] = own[column] / unit
        own["front"] = front(own["cost"].to_numpy(float), own["mean"].to_numpy(float), maximize=maximize)
        axes.set_xlabel(title)
        least, most = float(own["cost"].min()), float(own["cost"].max())
        axes.xaxis.set_minor_locator(NullLocator())
        if most / least >= _LOG:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5) if most / least < 100 else (1,)))
            axes.xaxis.set_minor_locator(NullLocator())
            margin = (most / least) ** 0.1
            axes.set_xlim(least / margin, most * margin)
        else:
            axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
            axes.set_xlim(least - 0.12 * (most - least), most + 0.12 * (most - least))
        axes.xaxis.set_major_formatter(FuncFormatter(_tick))
        return cls(axes, column, own, unit, maximize)

    def draw(self, core: float, with_intervals: bool) -> None:
        """Every Variant: intervals, the front, markers, and a line from a Variant to its control."""
        points, axes = self._placed(core), self.axes
        shown = points[points["inside"] & (with_intervals | points["front"])]
        axes.vlines(shown["cost"], shown["low"], shown["high"], color=GREY, linewidth=0.7, zorder=1)
        if self.column == "seconds":
            spread = shown["deviation"].fillna(0) / self.unit
            axes.hlines(shown["y"], shown["cost"] - spread, shown["cost"] + spread, color=GREY, linewidth=0.4, zorder=1)
        best = points[points["front"]].sort_values("cost")
        axes.plot(best["cost"], best["y"], drawstyle="steps-post", color=BLUE, linewidth=1.0, zorder=2)
        named = points.set_index("variant")
        for twin, partner in zip(points["variant"], points["partner"], strict=True):
            if partner in named.index:
                ends = named.loc[[partner, twin]]
                axes.plot(ends["cost"], ends["y"], color=GREY, linewidth=0.6, linestyle=(0, (1, 1.5)), zorder=2)
        for look, chosen in _looks(points):
            axes.plot(chosen["cost"], chosen["y"], linestyle="", zorder=3, **look)
        for y, marker in ((0.0, "v"), (1.0, "^")):
            for on, colour in ((True, BLUE), (False, BLACK)):
                far = points.loc[~points["inside"] & (points["edge"] == y) & (points["front"] == on), "cost"]
                if len(far):
                    place = axes.get_xaxis_transform()
                    axes.plot(far, [y] * len(far), marker, color=colour, ms=3.5, transform=place, clip_on=False)

    def _placed(self, core: float) -> pd.DataFrame:
        """The points with `y`, at which they are drawn; those beyond ``core`` at an `edge` of the panel."""
        low, high = self.axes.get_ylim()
        points = self.points.copy()
        points["inside"] = (points["mean"] >= low) & (points["mean"] <= high) if np.isfinite(core) else True
        points["edge"] = np.where(points["mean"] < low, 0.0, 1.0)
        points["y"] = points["mean"].clip(low, high)
        return points

    def name(self, core: float, write: Callable[[float], str], numbered: dict[str, int]) -> list[str]:
        """Put names beside the points, as many as find room: the front's and the baseline's first. After layout.

        Who is on the front and finds no room gets its number, where it has one, else is returned; of a long front only
        those with the largest steps.
        """
        points = self._placed(core)
        labels = Labels(self.axes)
        labels.keep_free(points["cost"], points["y"])
        shown = points[points["inside"]]
        labels.avoid(shown["cost"], shown["low"], shown["cost"], shown["high"])
        if self.column == "seconds":
            spread = shown["deviation"] / self.unit
            labels.avoid(shown["cost"] - spread, shown["y"], shown["cost"] + spread, shown["y"])
        best = points[points["front"]].sort_values("cost")
        labels.avoid(best["cost"][:-1], best["y"][:-1], best["cost"][1:], best["y"][:-1])
        labels.avoid(best["cost"][1:], best["y"][:-1], best["cost"][1:], best["y"][1:])
        rank = np.where(points["front"], 0, np.where(points["baseline"], 1, np.where(~points["inside"], 2, 3)))
        # Long names first, since they find room in fewer places.
        wanted = points.assign(rank=rank, size=-points["short"].str.len()).sort_values(["rank", "size"], kind="stable")
        if len(points) > _ALL_NAMED:
            wanted = wanted[wanted["rank"] < 3]
        steps = best["mean"].diff().abs().fillna(np.inf)
        few = [steps.nlargest(MOST_NUMBERED).index, wanted.index[~wanted["front"]][:MOST_NUMBERED]]
        wanted = wanted[wanted.index.isin(few[0].union(few[1]))]
        unnamed: list[dict[Any, Any]] = []
        for on, rows in ((True, wanted[wanted["front"]]), (False, wanted[~wanted["front"]])):
            for row in rows.to_dict("records"):
                far = "" if row["inside"] else f": {write(row['mean'])}"
                text = label(str(row["short"]), 22) + far
                if not labels.place(text, row["cost"], row["y"], BLUE if on else BLACK) and on:
                    unnamed.append({**row, "far": far})
            if on:  # their numbers come before the names of all others
                for row in unnamed:
                    if row["variant"] in numbered:
                        text = f"{numbered[row['variant']]}{row['far']}"
                        labels.place(text, row["cost"], row["y"], BLUE, always=True)
        # The baseline's marker is in the legend.
        return [row["variant"] for row in unnamed if row["variant"] not in numbered and not row["baseline"]]


def _looks(points: pd.DataFrame) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """Each look of a marker and the points that have it."""
    inside = points[points["inside"]]
    found = []
    for marker, chosen in (
        ("o", ~inside["baseline"] & (inside["partner"] == "")),
        ("D", inside["partner"] != ""),
        ("s", inside["baseline"]),
    ):
        for on, face in ((True, BLUE), (False, "white")):
            look = {"marker": marker, "mfc": face, "mec": BLUE if on else BLACK, "mew": 0.8, "ms": _SIZES[marker]}
            found.append((look, inside[chosen & (inside["front"] == on)]))
    return [(look, chosen) for look, chosen in found if len(chosen)]


_SIZES = {"s": 4.4, "D": 3.6, "o": 4.2}


def _tick(value: float, _place: int | None = None) -> str:
    """`40k`, `1.5M`, `2G`: a tick in as few characters as tell it."""
    for size, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{suffix}"
    return f"{value:.4g}"


def _entries(wide: bool) -> int:
    """Of the legend in a line."""
    return 4 if wide else 2


def _words(figure: Figure, panels: list[Panel], comparison: Comparison, wide: bool, numbered: dict[str, int]) -> None:
    for panel in panels[:1] if wide else panels:
        panel.axes.set_ylabel(f"{label(comparison.metric_title, 36)}\n{better(comparison.study)}")
    points = pd.concat([panel.points for panel in panels])
    face: dict[str, Any] = {"mfc": "white", "mec": BLACK, "mew": 0.8, "linestyle": ""}
    handles = [Line2D([], [], marker="s", ms=4.4, label="baseline", **face)] if points["baseline"].any() else []
    handles.append(Line2D([], [], marker="o", ms=4.2, label="Variant", **face))
    if (points["partner"] != "").any():
        handles.append(Line2D([], [], marker="D", ms=3.6, label="control at equal parameters", **face))
    filled = Line2D([], [], marker="o", ms=4.2, mfc=BLUE, mec=BLUE, color=BLUE, linewidth=1.0, label="on the front")
    handles.append(filled)
    columns = _entries(wide)
    if numbered:
        short = dict(zip(points["variant"], points["short"], strict=True))
        key = [f"{place}: {label(str(short[name]), _KEY)}" for name, place in numbered.items()]
        handles = _by_rows([_padded(handles, columns), _padded([_entry(text) for text in key], columns)], columns)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, handlelength=1.6)


def _entry(text: str) -> Line2D:
    """Of the legend, without a sign."""
    return Line2D([], [], linestyle="", label=text)


def _padded(handles: list[Line2D], columns: int) -> list[Line2D]:
    """With empty entries, so that they fill whole lines."""
    return handles + [_entry(" ") for _ in range(-len(handles) % columns)]


def _by_rows(blocks: list[list[Line2D]], columns: int) -> list[Line2D]:
    """Entries in the order in which matplotlib, which fills columns, sets them line by line."""
    handles = [handle for block in blocks for handle in block]
    return [handle for first in range(columns) for handle in handles[first::columns]]
