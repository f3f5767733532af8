"""The picture one would put in a paper: each Variant's difference to the baseline, with its interval."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ablate.reporting import methods
from ablate.reporting.captions import better
from ablate.reporting.comparison import Comparison, published_columns
from ablate.reporting.drawn_variants import drawn_variants
from ablate.reporting.figures.panels import Look, Panel, RowValues, draw_rows, name_rows, row_panels
from ablate.reporting.figures.style import BLACK, BLUE, DOUBLE, GREY, RED, SMALL, folded, label
from ablate.reporting.numbers import with_interval
from ablate.reporting.precision import difference_decimals
from ablate.reporting.statistics import HELPS, HURTS, SAME, UNSURE

LOOKS = {
    HELPS: Look("^", BLUE, BLUE),
    HURTS: Look("v", RED, RED),
    SAME: Look("o", BLACK, BLACK),
    UNSURE: Look("o", "white", BLACK),
}
#: One per published column, in the study's order; none of them is a verdict's.
PUBLISHED_MARKERS = "DsPXp*"


def draw(comparison: Comparison, width: float = DOUBLE) -> Figure | None:
    """Differences in the study's order; None where no Variant has one. Call within `paper_style`."""
    summary = comparison.summary[comparison.summary["variant"].isin(drawn_variants(comparison))]
    if not summary["difference"].notna().any():
        return None
    by_name: dict[str, dict[Any, Any]] = {row["variant"]: row for row in summary.to_dict("records")}
    own = comparison.pairs[comparison.pairs["variant"].isin(by_name)]
    pairs = own.groupby("variant")["difference"].apply(tuple).to_dict()
    published = _published(comparison)
    rows = [
        RowValues(
            name,
            pairs.get(name, ()),
            _ends(row["difference_low"], row["difference_high"]),
            tuple(values[name] for values in published.values() if name in values),
        )
        for name, row in by_name.items()
    ]
    figure, panels = row_panels(rows, 0.0, width)
    for panel in panels:
        panel.axes.axvline(0, color=BLACK, linewidth=0.8, zorder=1)
    markers = {column: PUBLISHED_MARKERS[i % len(PUBLISHED_MARKERS)] for i, column in enumerate(published)}
    decimals, seen = difference_decimals(comparison), set[str]()

    def draw_row(panel: Panel, y: int, row: RowValues) -> None:
        _draw_row(panel, y, row, by_name[row.name])
        for column, values in published.items():
            if row.name in values and panel.low <= values[row.name] <= panel.high:
                seen.add(column)
                panel.mark([values[row.name]], [y], markers[column], **_OPEN)

    def numbers(row: RowValues) -> str:
        found = by_name[row.name]
        return with_interval(found["difference"], found["difference_low"], found["difference_high"], decimals)

    draw_rows(panels, rows, draw_row, numbers, 0.0, lambda row: LOOKS[by_name[row.name]["verdict"]])
    names = [_with_n(row.name, int(by_name[row.name]["pairs"]), len(comparison.study.seeds)) for row in rows]
    name_rows(panels, names, width)
    verdicts = {str(row["verdict"]) for row in by_name.values() if row["pairs"]}
    _words(figure, panels, comparison, verdicts, {c: m for c, m in markers.items() if c in seen}, width)
    return figure


_OPEN: dict[str, Any] = {"markersize": 4.5, "mfc": "none", "mec": GREY, "mew": 0.7, "zorder": 2}
_SINGLE: dict[str, Any] = {"markersize": 2.2, "color": GREY, "alpha": 0.55, "mew": 0}


def _with_n(name: str, pairs: int, planned: int) -> str:
    return name if pairs in (0, planned) else f"{name} (n = {pairs})"


def _ends(low: float, high: float) -> tuple[float, ...]:
    return (low, high) if low == low else ()


def _draw_row(panel: Panel, y: int, row: RowValues, found: dict[Any, Any]) -> None:
    if not row.points:
        panel.axes.text(0, y, f" {found['reason']}", fontsize=SMALL, color=GREY, va="center", clip_on=True)
        return
    look, at = LOOKS[found["verdict"]], found["difference"]
    panel.mark(row.points, [y + 0.24] * len(row.points), "o", **_SINGLE, zorder=2)
    for end in row.ends:
        reached = min(max(end, panel.low), panel.high)
        panel.line(at, reached, y, color=look.colour, linewidth=1.2, zorder=3)
        cap = "|" if reached == end else (">" if end > 0 else "<")
        panel.mark([reached], [y], cap, color=look.colour, markersize=4, clip_on=False, zorder=3)
    panel.mark([at], [y], look.marker, markersize=4.8, mfc=look.face, mec=look.colour, mew=1.0, zorder=4)


def _published(comparison: Comparison) -> dict[str, dict[str, float]]:
    """Label of a published column that has the baseline -> Variant -> its published difference to that baseline."""
    baseline = comparison.study.baseline.name
    return {
        label: {name: value - column.values[baseline] for name, value in column.values.items() if name != baseline}
        for label, column in published_columns(comparison.study).items()
        if baseline in column.values
    }


def _source(column: str, width: float) -> str:
    text = f"published: {column}"
    return label(text, 40) if width >= DOUBLE else folded(text, 26)


def _words(
    figure: Figure,
    panels: list[Panel],
    comparison: Comparison,
    verdicts: Collection[str],
    published: Mapping[str, str],
    width: float,
) -> None:
    study = comparison.study
    unit = methods.difference_unit(study)
    name = label(study.metric.label or study.metric.name, 30)
    lines = [f"difference in {name}", f"{label(unit, 20)}, {better(study)}" if unit else better(study)]
    panels[0].axes.set_xlabel(("\n" if width < DOUBLE else "; ").join(lines))
    handles = [
        Line2D([], [], marker=look.marker, mfc=look.face, mec=look.colour, color=look.colour, markersize=4.8, label=v)
        for v, look in LOOKS.items()
        if v in verdicts
    ]
    handles.append(Line2D([], [], marker="o", linestyle="", label="one seed", **_SINGLE))
    handles += [
        Line2D([], [], marker=marker, linestyle="", label=_source(column, width), **_OPEN)
        for column, marker in published.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4 if width >= DOUBLE else 2, handlelength=1.8)
