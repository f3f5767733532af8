"""The effects that several studies share, one row for each study that has it, one marker and colour to a study."""

from __future__ import annotations

import math

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ablate.reporting import methods
from ablate.reporting.across import Across
from ablate.reporting.captions import better
from ablate.reporting.figures.panels import Look, Panel, RowValues, draw_rows, name_rows, row_panels
from ablate.reporting.figures.style import BLACK, BLUE, DOUBLE, GREEN, GREY, PURPLE, RED, SMALL, label
from ablate.reporting.numbers import with_interval

#: Rows that fit on a page with room for words.
MOST_ROWS = 45
_LOOKS = [
    Look(m, f, c) for m, f, c in (("o", BLUE, BLUE), ("s", "white", RED), ("^", GREEN, GREEN), ("D", "white", PURPLE))
]


def draw(found: Across, width: float = DOUBLE) -> Figure | None:
    """Each study's difference with its interval and its seeds; None where no study has one. Call within `paper_style`.

    Of more effects than fit, those are drawn that are farthest from zero in any study, as `caption` says.
    """
    table = found.effects[found.effects["effect"].isin(_drawn(found))].reset_index(drop=True)
    if table.empty or not table["difference"].notna().any():
        return None
    looks = {name: _LOOKS[i % len(_LOOKS)] for i, name in enumerate(found.labels)}
    points = {
        (name, str(variant)): tuple(rows["difference"])
        for name, compared in zip(found.labels, found.comparisons, strict=True)
        for variant, rows in compared.pairs.groupby("variant")
    }
    rows = [
        RowValues(str(i), points.get((row["study"], row["variant"]), ()), _ends(row["low"], row["high"]))
        for i, row in enumerate(table.to_dict("records"))
    ]
    figure, panels = row_panels(rows, 0.0, width)

    def draw_row(panel: Panel, y: int, row: RowValues) -> None:
        found_row, axes, look = table.iloc[y], panel.axes, looks[table["study"].iloc[y]]
        if not row.points:
            axes.text(0, y, f" {found_row['reason']}", fontsize=SMALL, color=GREY, va="center", clip_on=True)
            return
        axes.plot(row.points, [y + 0.24] * len(row.points), "o", markersize=2.2, color=GREY, alpha=0.55, mew=0)
        axes.plot(row.ends, [y] * len(row.ends), color=look.colour, linewidth=1.2, marker="|", markersize=4, zorder=3)
        axes.plot(
            [found_row["difference"]], [y], look.marker, markersize=4.8, mfc=look.face, mec=look.colour, mew=1, zorder=4
        )

    def words(row: RowValues) -> str:
        values = table.iloc[int(row.name)]
        return with_interval(values["difference"], values["low"], values["high"])

    for panel in panels:
        panel.axes.axvline(0, color=BLACK, linewidth=0.8, zorder=1)
    draw_rows(panels, rows, draw_row, words, 0.0, lambda row: looks[table["study"].iloc[int(row.name)]])
    repeated = table["effect"].duplicated()
    name_rows(panels, ["" if again else str(n) for n, again in zip(table["effect"], repeated, strict=True)], width)
    study = found.comparisons[0].study
    unit = methods.difference_unit(study)
    named = label(study.metric.label or study.metric.name, 30)
    panels[0].axes.set_xlabel(f"difference in {named}\n" + "; ".join(filter(None, (label(unit, 20), better(study)))))
    handles = [
        Line2D([], [], marker=look.marker, mfc=look.face, mec=look.colour, color=look.colour, label=label(name, 24))
        for name, look in looks.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4 if width >= DOUBLE else 2, handlelength=1.8)
    return figure


def _ends(low: float, high: float) -> tuple[float, ...]:
    return (low, high) if math.isfinite(low) else ()


def caption(found: Across) -> str:
    """What the figure shows."""
    text = (
        "The effects that the studies share: each study's mean difference to its own baseline with its unadjusted "
        "interval; faint points are single pairs of seeds. Where a few are far from the rest, the first panel keeps to "
        "the rest and arrows with numbers stand for what lies beyond."
    )
    drawn, shared = len(_drawn(found)), found.effects["effect"].nunique()
    return text if drawn == shared else f"{text} Of {shared} effects the {drawn} farthest from zero are drawn."


def _drawn(found: Across) -> list[str]:
    """Names of the effects that there is room for."""
    distance = found.effects["difference"].abs().groupby(found.effects["effect"], sort=False).max().fillna(-1.0)
    room = max(MOST_ROWS // len(found.labels), 1)
    return [str(name) for name in distance.sort_values(ascending=False, kind="stable").index[:room]]
