"""Every Trial as a point, and the ones without a result by name."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ablate.reporting import numbers
from ablate.reporting.captions import NOT_TRAINED, better
from ablate.reporting.comparison import Comparison
from ablate.reporting.drawn_variants import drawn_variants
from ablate.reporting.figures.panels import Panel, RowValues, draw_rows, name_rows, row_panels
from ablate.reporting.figures.style import BLACK, DOUBLE, GREY, SEED_MARKERS, SMALL, label
from ablate.reporting.precision import mean_decimals

_OPEN: dict[str, Any] = {"mfc": "white", "mec": BLACK, "mew": 0.7}


def draw(comparison: Comparison, width: float = DOUBLE) -> Figure | None:
    """The Variants' Trials, the baseline's on top; None where none has a result. Call within `paper_style`."""
    trials, study = comparison.trials, comparison.study
    done = trials[trials["metric"].notna()]
    if done.empty:
        return None
    values: dict[str, dict[int, float]] = {name: {} for name in (study.baseline.name, *drawn_variants(comparison))}
    for name, seed, value in zip(done["variant"], done["seed"], done["metric"], strict=True):
        if name in values:
            values[name][seed] = value
    means = dict(zip(comparison.summary["variant"], comparison.summary["mean"], strict=True))
    decimals = mean_decimals(comparison)
    baseline = means[study.baseline.name]
    reference = float(baseline if baseline == baseline else done["metric"].median())
    rows = [RowValues(name, tuple(points.values())) for name, points in values.items()]
    figure, panels = row_panels(rows, reference, width)
    markers = {seed: SEED_MARKERS[i % len(SEED_MARKERS)] for i, seed in enumerate(study.seeds)}

    def draw_row(panel: Panel, y: int, row: RowValues) -> None:
        for i, (seed, value) in enumerate(values[row.name].items()):
            offset = 0.16 * ((i % 3) - 1)
            panel.mark([value], [y + offset], markers[seed], **_OPEN, markersize=3, zorder=3)
        if row.points:
            panel.mark([means[row.name]], [y], "|", markersize=9, color=BLACK, mew=1.4, zorder=2)

    def far(row: RowValues) -> str:
        shown = [numbers.with_half_width(point, math.nan, decimals) for point in row.points[:5]]
        return ", ".join(shown) + (", …" if len(row.points) > 5 else "")

    draw_rows(panels, rows, draw_row, far, reference)
    for panel in panels:
        panel.axes.axvline(reference, color=GREY, linewidth=0.6, linestyle=(0, (3, 2)), zorder=1)
    name_rows(panels, [row.name for row in rows], width)
    _name_the_missing(panels[-1], comparison, [row.name for row in rows])
    _words(figure, panels, comparison, markers, width)
    return figure


def _name_the_missing(panel: Panel, comparison: Comparison, order: list[str]) -> None:
    """At the right of the row: `× seed 1: diverged`."""
    by_row: dict[str, list[str]] = {}
    for failure in comparison.failures.to_dict("records"):
        why = failure["cause"] or (NOT_TRAINED if failure["status"] == "missing" else failure["status"])
        seeds = str(failure["seeds"])
        which = f"{'seeds' if ',' in seeds else 'seed'} {label(seeds, 12)}"
        by_row.setdefault(str(failure["variant"]), []).append(f"× {which}: {label(str(why), 14)}")
    for y, name in enumerate(order):
        if name in by_row:
            place: Any = panel.axes.get_yaxis_transform()
            panel.axes.text(1.02, y, ", ".join(by_row[name]), transform=place, fontsize=SMALL, va="center")


def _words(figure: Figure, panels: list[Panel], comparison: Comparison, markers: dict[int, str], width: float) -> None:
    separator = "\n" if width < DOUBLE else "; "
    panels[0].axes.set_xlabel(f"{label(comparison.metric_title, 36)}{separator}{better(comparison.study)}")
    seen = list(markers.items())[: len(SEED_MARKERS)]
    handles = [Line2D([], [], linestyle="", marker=m, **_OPEN, markersize=3.5, label=f"seed {s}") for s, m in seen]
    handles.append(Line2D([], [], linestyle="", marker="|", color=BLACK, markersize=8, mew=1.4, label="mean"))
    figure.legend(handles=handles, loc="outside lower center", ncols=8 if width >= DOUBLE else 4, handlelength=1.2)
