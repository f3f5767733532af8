"""The picture one would put in a paper: each Variant's difference to the baseline, with its interval."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ablate.reporting.captions import better
from ablate.reporting.comparison import Comparison, published_columns
from ablate.reporting.figures.panels import Panel, RowValues, draw_rows, name_rows, row_panels
from ablate.reporting.figures.style import BLACK, BLUE, DOUBLE, GREY, RED, SMALL, label
from ablate.reporting.numbers import with_interval
from ablate.reporting.statistics import HELPS, HURTS, UNSURE

#: Verdict -> marker, its face and its colour.
_LOOKS = {HELPS: ("^", BLUE, BLUE), HURTS: ("v", RED, RED), UNSURE: ("o", "white", BLACK)}


def draw(comparison: Comparison, width: float = DOUBLE) -> Figure | None:
    """Differences in the study's order; None where no Variant has one. Call within `paper_style`."""
    summary = comparison.summary.iloc[1:]
    if not summary["difference"].notna().any():
        return None
    by_name: dict[str, dict[Any, Any]] = {row["variant"]: row for row in summary.to_dict("records")}
    pairs = comparison.pairs.groupby("variant")["difference"].apply(tuple).to_dict()
    published = _published(comparison)
    rows = [
        RowValues(name, pairs.get(name, ()), _ends(row["difference_low"], row["difference_high"]))
        for name, row in by_name.items()
    ]
    figure, panels = row_panels(rows, 0.0, width)
    for panel in panels:
        panel.axes.axvline(0, color=BLACK, linewidth=0.8, zorder=1)

    def draw_row(panel: Panel, y: int, row: RowValues) -> None:
        _draw_row(panel, y, row, by_name[row.name], published.get(row.name, ()))

    def numbers(row: RowValues) -> str:
        found = by_name[row.name]
        return with_interval(found["difference"], found["difference_low"], found["difference_high"])

    draw_rows(panels, rows, draw_row, numbers, 0.0)
    names = [_with_n(row.name, int(by_name[row.name]["pairs"]), len(comparison.study.seeds)) for row in rows]
    name_rows(panels, names, width)
    _words(figure, panels, comparison, bool(published), width)
    return figure


def _with_n(name: str, pairs: int, planned: int) -> str:
    return name if pairs in (0, planned) else f"{name} (n = {pairs})"


def _ends(low: float, high: float) -> tuple[float, ...]:
    return (low, high) if low == low else ()


def _draw_row(panel: Panel, y: int, row: RowValues, found: dict[Any, Any], published: tuple[float, ...]) -> None:
    axes = panel.axes
    if not row.points:
        axes.text(0, y, f" {found['reason']}", fontsize=SMALL, color=GREY, va="center", clip_on=True)
        return
    marker, face, colour = _LOOKS[found["verdict"]]
    inside = [p for p in published if panel.low <= p <= panel.high]
    axes.plot(inside, [y] * len(inside), "D", markersize=4.5, mfc="none", mec=GREY, mew=0.7, zorder=2)
    axes.plot(row.points, [y + 0.24] * len(row.points), "o", markersize=2.2, color=GREY, alpha=0.55, mew=0, zorder=2)
    for end in row.ends:
        reached = min(max(end, panel.low), panel.high)
        axes.plot([found["difference"], reached], [y, y], color=colour, linewidth=1.2, zorder=3)
        cap = "|" if reached == end else (">" if end > 0 else "<")
        axes.plot([reached], [y], marker=cap, color=colour, markersize=4, clip_on=False, zorder=3)
    axes.plot([found["difference"]], [y], marker, markersize=4.8, mfc=face, mec=colour, mew=1.0, zorder=4)


def _published(comparison: Comparison) -> dict[str, tuple[float, ...]]:
    """Variant -> its published differences to the published baseline, one per column that has both."""
    baseline, found = comparison.study.baseline.name, dict[str, tuple[float, ...]]()
    for values in published_columns(comparison.study).values():
        for name in values if baseline in values else ():
            if name != baseline:
                found[name] = (*found.get(name, ()), values[name] - values[baseline])
    return found


def _words(figure: Figure, panels: list[Panel], comparison: Comparison, published: bool, width: float) -> None:
    study = comparison.study
    unit = {"%": "percentage points"}.get(study.metric.unit, study.metric.unit)
    name = label(study.metric.label or study.metric.name, 30)
    lines = [f"difference in {name}", f"{label(unit, 20)}, {better(study)}" if unit else better(study)]
    panels[0].axes.set_xlabel(("\n" if width < DOUBLE else "; ").join(lines))
    drawn = [v for v in (HELPS, HURTS, UNSURE) if (comparison.summary["verdict"].iloc[1:] == v).any()]
    handles = [
        Line2D(
            [], [], marker=_LOOKS[v][0], mfc=_LOOKS[v][1], mec=_LOOKS[v][2], color=_LOOKS[v][2], markersize=4.8, label=v
        )
        for v in drawn
    ]
    handles.append(
        Line2D([], [], marker="o", color=GREY, linestyle="", alpha=0.55, mew=0, markersize=2.5, label="one seed")
    )
    if published:
        handles.append(
            Line2D([], [], marker="D", mfc="none", mec=GREY, linestyle="", markersize=4.5, label="published")
        )
    figure.legend(handles=handles, loc="outside lower center", ncols=5 if width >= DOUBLE else 2, handlelength=1.8)
