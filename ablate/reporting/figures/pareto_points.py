"""The points of a cost figure: which costs Variants differ in, which of them no other beats, what the axis spans."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablate.reporting.comparison import Comparison
from ablate.reporting.cost_table import controls_of
from ablate.reporting.figures.panels import core_reach
from ablate.study.matched import EQUAL

_Values = NDArray[np.float64]
#: Time differs with whatever else runs: less than this share, or than twice the spread of seeds, is no difference.
_TIME, _SPREADS = 0.1, 2.0
#: The most Variants on a front that are named, those with the largest steps, and that have a number in the legend.
MOST_NUMBERED = 24


def front(cost: _Values, value: _Values, *, maximize: bool) -> NDArray[np.bool_]:
    """Which points no other one beats: none costs as little or less and is as good or better, and one of the two truly.

    NaN is on no front and beats nobody.
    """
    best = value if maximize else -value
    known = np.flatnonzero(np.isfinite(cost) & np.isfinite(best))
    order = known[np.lexsort((-best[known], cost[known]))]
    on, reached = np.zeros(len(cost), dtype=bool), (np.inf, -np.inf)
    for i in order:
        if best[i] > reached[1]:
            reached = (cost[i], best[i])
        on[i] = (cost[i], best[i]) == reached
    return on


def cost_points(comparison: Comparison) -> pd.DataFrame:
    """One row per Variant with a result: the summary's, `deviation` of the seconds, and `partner`, whose twin it is."""
    summary = comparison.summary
    done = comparison.trials[comparison.trials["metric"].notna()]
    points = summary[["variant", "mean", "low", "high", "parameters", "flops", "seconds"]].copy()
    points["deviation"] = done.groupby("variant")["seconds"].std().reindex(points["variant"]).to_numpy(float)
    partners = {control.name: name for name, control in controls_of(comparison.study).items() if control.control_of}
    points["partner"] = [partners.get(name, "") for name in points["variant"]]
    points["baseline"] = points["variant"] == comparison.study.baseline.name
    points["short"] = _short(points["variant"], points["baseline"])
    return points[points["mean"].notna()].reset_index(drop=True)


def _short(names: pd.Series, baseline: pd.Series) -> list[str]:
    """Names as they stand beside points: without the `factor=` where all are single changes of the same Factor."""
    if any(sign in str(name) for name in names for sign in ",+"):
        return list(map(str, names))
    factors = {str(name).partition("=")[0] if "=" in name else "" for name in names[~baseline]}
    [factor] = factors if len(factors) == 1 else [""]
    return [str(name).removeprefix(f"{factor}=") if factor else str(name) for name in names]


def differ(column: str, points: pd.DataFrame) -> bool:
    """Whether Variants differ in a cost by more than chance would have it."""
    known = points.loc[points[column] > 0, column]
    if len(known) < 2:
        return False
    if column != "seconds":
        return bool(known.max() / known.min() > 1 + EQUAL)
    spread = float(np.sqrt((points["deviation"].dropna() ** 2).mean())) if points["deviation"].notna().any() else 0.0
    apart = known.max() - known.min()
    return bool(apart > max(_TIME * known.min(), _SPREADS * spread))


def span(points: pd.DataFrame) -> tuple[float, float, float]:
    """Lower and upper end of the metric's axis, and the distance from the baseline within which points are drawn."""
    means = points["mean"].to_numpy(float)
    of_baseline = points.loc[points["baseline"], "mean"]
    reference = float(of_baseline.iloc[0]) if len(of_baseline) else float(np.median(means))
    core = core_reach([abs(mean - reference) for mean in means])
    inside = points if core is None else points[(points["mean"] - reference).abs() <= core]
    low, high = float(inside["mean"].min()), float(inside["mean"].max())
    reach = (high - low) or abs(reference) or 1.0
    # An interval from two seeds can be ten times as wide as anything measured: it may not set the scale alone.
    ends = [float(e) for e in (*inside["low"], *inside["high"]) if np.isfinite(e)]
    low = min([low, *(max(end, low - reach / 2) for end in ends)])
    high = max([high, *(min(end, high + reach / 2) for end in ends)])
    margin = 0.08 * (high - low or reach)
    bottom = margin if core is None else 2.5 * margin
    return low - bottom, high + margin, np.inf if core is None else core
