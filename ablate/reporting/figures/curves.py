"""Learning curves: small multiples, one per Factor, each Level against the baseline."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ablate.reporting.comparison import Comparison
from ablate.reporting.drawn_variants import drawn_variants
from ablate.reporting.figures.style import BLACK, DOUBLE, LINES, SMALL, folded, label, new_figure
from ablate.study.study import EMA, VISION, Study

#: Share of the steps at the start that the vertical axes need not show.
WARMING_UP = 0.3


def draw(comparison: Comparison, history: pd.DataFrame, width: float = DOUBLE) -> Figure | None:
    """`history` is a `history_frame`. None where nothing was reported while training. Call within `paper_style`."""
    name = curve_name(comparison.study, history)
    if name is None:
        return None
    shown = drawn_variants(comparison)
    own = history[history["variant"].isin([comparison.study.baseline.name, *shown])]
    own = own[(own["name"] == _drawn(comparison.study, own, name)) & np.isfinite(own["value"])]
    curves = {str(variant): curve for variant, curve in own.groupby("variant", sort=False)}
    panels = panels_of(comparison.study, shown)
    columns = min(len(panels), 3 if width >= DOUBLE else 2)
    lines = math.ceil(len(panels) / columns)
    labels = {v: _line_label(comparison, v, width) for v in (comparison.study.baseline.name, *shown)}
    longest = max(sum(1 + labels[name].count("\n") for name in variants) for _, variants in panels)
    figure = new_figure(width, 0.6 + (1.35 + 0.12 * longest) * lines)
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, (title, variants) in zip(grid, panels, strict=False):
        _draw_panel(axes, curves, [comparison.study.baseline.name, *variants], labels)
        heading = label(title, 24 if width >= DOUBLE else 20)
        handles, names = axes.get_legend_handles_labels()
        # Above the panel, where it can hide no curve; the baseline stands once, above all panels.
        axes.legend(
            handles[1:], names[1:], title=heading, title_fontsize=7.5, alignment="left", fontsize=SMALL,
            loc="lower left", bbox_to_anchor=(-0.03, 0.98), borderaxespad=0, borderpad=0, handlelength=2.6,
        )  # fmt: skip
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    figure.supylabel(label(_axis_title(comparison, name), 40), fontsize=7.5)
    figure.supxlabel("epoch" if comparison.study.trainable == VISION else "step", fontsize=7.5)
    figure.legend(handles=grid[0].get_lines()[:1], labels=["baseline"], loc="outside upper left", handlelength=2.6)
    return figure


def _axis_title(comparison: Comparison, name: str) -> str:
    metric = comparison.study.metric
    if name == metric.name:
        return comparison.metric_title
    return f"{name} ({metric.unit})" if metric.unit and name.endswith(f"/{metric.name}") else name


def _line_label(comparison: Comparison, variant: str, width: float) -> str:
    """The Variant's name, with its n where a seed did not finish: a curve that ended early may be out of view."""
    status = comparison.trials.loc[comparison.trials["variant"] == variant, "status"]
    done = int((status == "finished").sum())
    text = variant if done == len(status) else f"{variant} ({done}/{len(status)})"
    return label(text, 30) if width >= DOUBLE else folded(text, 19)


def curve_name(study: Study, history: pd.DataFrame) -> str | None:
    """What to draw: the study's metric (or `.../metric`) where it was reported on the way, otherwise a loss."""
    names = sorted(history["name"].unique())
    metric = study.metric.name
    for wanted in (
        [n for n in names if n == metric],
        [n for n in names if n.endswith(f"/{metric}")],
        [n for n in names if "loss" in n.lower()],
    ):
        if wanted:
            return str(wanted[0])
    return None


def _drawn(study: Study, history: pd.DataFrame, name: str) -> list[str]:
    """What to draw of each row's Variant: ``name``, or the same of the averaged weights where it is judged by them."""
    averaged = {v.name for v in study.variants if study.metric_of(v.recipe) != study.metric.name}
    theirs = f"{EMA}{name}" if (history["name"] == f"{EMA}{name}").any() else name
    return [theirs if variant in averaged else name for variant in history["variant"]]


def panels_of(study: Study, shown: Collection[str]) -> list[tuple[str, list[str]]]:
    """Title and Variants of each panel, at most four of those shown: first those that move one Factor, by Factor."""
    groups: dict[str, list[str]] = {}
    for variant in (v for v in study.variants[1:] if v.name in shown):
        moved = [n for n, f in study.factors.items() if variant.levels.get(n, f.reference) != f.reference]
        factor = study.factors[moved[0]] if len(moved) == 1 else None
        groups.setdefault((factor.label or factor.name) if factor else "combined", []).append(variant.name)
    most = len(LINES)
    # "combined" last, however the study orders it.
    ordered = sorted(groups.items(), key=lambda item: item[0] == "combined")
    panels = [(title, names[i : i + most]) for title, names in ordered for i in range(0, len(names), most)]
    return panels or [("baseline", [])]


def _draw_panel(axes: Axes, curves: Mapping[str, pd.DataFrame], variants: list[str], labels: dict[str, str]) -> None:
    looks = [(BLACK, "solid", None), *LINES]
    floor: list[float] = []
    for variant, (colour, dashes, marker) in zip(variants, looks, strict=False):
        line: dict[str, Any] = {
            "color": colour, "linestyle": dashes, "marker": marker, "markersize": 3, "label": labels[variant]
        }  # fmt: skip
        if (own := curves.get(variant)) is None:
            axes.plot([], [], **line)
            continue
        done = own[own["status"] == "finished"]
        if len(done):
            # seaborn: mean over the seeds of each step, and the band between their extremes.
            sns.lineplot(
                done, x="step", y="value", estimator="mean", errorbar=("pi", 100), ax=axes,
                markevery=max(done["step"].nunique() // 5, 1), markeredgecolor=colour, markerfacecolor="white",
                err_kws={"alpha": 0.18, "linewidth": 0}, **line,
            )  # fmt: skip
        else:
            axes.plot([], [], **line)
        for _, rest in own[own["status"] != "finished"].groupby("seed"):
            axes.plot(rest["step"], rest["value"], color=colour, linewidth=0.7, linestyle=(0, (1, 1.5)))
            axes.plot(rest["step"].iloc[-1:], rest["value"].iloc[-1:], marker="x", color=colour, markersize=4)
        floor += done.loc[done["step"] >= WARMING_UP * done["step"].max(), "value"].tolist()
    if floor:
        low, high = min(floor), max(floor)
        margin = 0.08 * (high - low) or 0.5
        axes.set_ylim(low - margin, high + margin)
    axes.set(xlabel="", ylabel="")
    axes.locator_params(nbins=5)
