"""Learning curves: small multiples, one per Factor, each Level against the baseline."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ablate.reporting.comparison import Comparison
from ablate.reporting.drawn_variants import FEW, drawn_variants
from ablate.reporting.figures.style import BLACK, DOUBLE, LINES, SMALL, folded, label, new_figure
from ablate.study.study import EMA, VISION, Study

#: Share of the steps at the start that the vertical axes need not show.
WARMING_UP = 0.3


def draw(comparison: Comparison, history: pd.DataFrame, width: float = DOUBLE) -> Figure | None:
    """`history` is a `history_frame`. None where nothing was reported while training. Call within `paper_style`."""
    name = curve_name(comparison.study, history)
    if name is None:
        return None
    study, shown = comparison.study, drawn_variants(comparison, FEW)
    own = history[history["variant"].isin([study.baseline.name, *shown])]
    own = own[(own["name"] == _drawn(study, own, name)) & np.isfinite(own["value"])]
    curves = _curves(own)
    panels = panels_of(study, shown)
    columns = min(len(panels), 3 if width >= DOUBLE else 2)
    lines = math.ceil(len(panels) / columns)
    labels = _labels(comparison, (study.baseline.name, *shown), width)
    longest = max(sum(1 + labels[name].count("\n") for name in variants) for _, variants in panels)
    figure = new_figure(width, 0.6 + (1.35 + 0.12 * longest) * lines)
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, (title, variants) in zip(grid, panels, strict=False):
        _draw_panel(axes, curves, [study.baseline.name, *variants], labels)
        heading = label(title, 24 if width >= DOUBLE else 20)
        handles, names = axes.get_legend_handles_labels()
        # Above the panel, where it can hide no curve; the baseline stands once, above all panels.
        axes.legend(
            handles[1:], names[1:], title=heading, title_fontsize=7.5, alignment="left", fontsize=SMALL,
            loc="lower left", bbox_to_anchor=(-0.03, 1.01), borderaxespad=0, borderpad=0, handlelength=2.6,
        )  # fmt: skip
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    figure.supylabel(label(_axis_title(comparison, name), 40), fontsize=7.5)
    figure.supxlabel("epoch" if study.trainable == VISION else "step", fontsize=7.5)
    figure.legend(handles=grid[0].get_lines()[:1], labels=["baseline"], loc="outside upper left", handlelength=2.6)
    return figure


def _axis_title(comparison: Comparison, name: str) -> str:
    metric = comparison.study.metric
    if name == metric.name:
        return comparison.metric_title
    return f"{name} ({metric.unit})" if metric.unit and name.endswith(f"/{metric.name}") else name


def _labels(comparison: Comparison, names: Collection[str], width: float) -> dict[str, str]:
    """Variants' names, with n where a seed did not finish: a curve that ended early may be out of view."""
    trials = comparison.trials[comparison.trials["variant"].isin(names)]
    finished = (trials["status"] == "finished").groupby(trials["variant"]).agg(["sum", "size"])
    labels = {}
    for name in names:
        done, planned = finished.loc[name]
        text = name if done == planned else f"{name} ({done}/{planned})"
        labels[name] = label(text, 30) if width >= DOUBLE else folded(text, 19)
    return labels


class _Curve(NamedTuple):
    """What is drawn of a Variant."""

    over_seeds: pd.DataFrame
    """By step, over the seeds that finished: `mean`, `min`, `max`."""
    unfinished: list[pd.DataFrame]
    """The Trials that did not finish, each with its `step` and `value`."""


def _curves(rows: pd.DataFrame) -> dict[str, _Curve]:
    """Variant -> its curve, of `history_frame`'s rows of one measurement."""
    done, rest = rows[rows["status"] == "finished"], rows[rows["status"] != "finished"]
    means = done.groupby(["variant", "step"], sort=True)["value"].agg(["mean", "min", "max"])
    found = {str(name): _Curve(group.droplevel(0), []) for name, group in means.groupby(level=0)}
    for (name, _), trial in rest.groupby(["variant", "seed"], sort=True):
        found.setdefault(str(name), _Curve(means.iloc[:0].droplevel(0), [])).unfinished.append(trial)
    return found


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


def _drawn(study: Study, history: pd.DataFrame, name: str) -> NDArray[np.str_]:
    """What to draw of each row's Variant: ``name``, or the same of the averaged weights where it is judged by them."""
    averaged = [v.name for v in study.variants if study.metric_of(v.recipe) != study.metric.name]
    theirs = f"{EMA}{name}" if averaged and (history["name"] == f"{EMA}{name}").any() else name
    return np.where(history["variant"].isin(averaged), theirs, name)


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


def _draw_panel(axes: Axes, curves: Mapping[str, _Curve], variants: list[str], labels: dict[str, str]) -> None:
    looks = [(BLACK, "solid", None), *LINES]
    low, high = math.inf, -math.inf
    for variant, (colour, dashes, marker) in zip(variants, looks, strict=False):
        line: dict[str, Any] = {"color": colour, "linestyle": dashes, "marker": marker, "label": labels[variant]}
        line |= {"markersize": 3, "markeredgecolor": colour, "markerfacecolor": "white"}
        if (curve := curves.get(variant)) is None or curve.over_seeds.empty:
            axes.plot([], [], **line)
        else:
            steps, (mean, least, most) = curve.over_seeds.index.to_numpy(), curve.over_seeds.to_numpy().T
            axes.plot(steps, mean, markevery=max(len(steps) // 5, 1), **line)
            axes.fill_between(steps, least, most, color=colour, alpha=0.18, linewidth=0)
            settled = steps >= WARMING_UP * steps[-1]
            low, high = min(low, least[settled].min()), max(high, most[settled].max())
        for trial in curve.unfinished if curve else ():
            x, y = trial["step"].to_numpy(), trial["value"].to_numpy()
            axes.plot(x, y, color=colour, linewidth=0.7, linestyle=(0, (1, 1.5)))
            axes.plot(x[-1:], y[-1:], marker="x", color=colour, markersize=4)
    if low <= high:
        margin = 0.08 * (high - low) or 0.5
        axes.set_ylim(low - margin, high + margin)
    axes.locator_params(nbins=5)
