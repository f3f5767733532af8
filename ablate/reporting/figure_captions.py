"""The words below figures."""

from __future__ import annotations

from ablate.reporting import methods
from ablate.reporting.captions import better
from ablate.reporting.comparison import Comparison
from ablate.reporting.design_captions import design_figure_captions
from ablate.reporting.drawn_variants import FEW, MOST_DRAWN, not_drawn
from ablate.reporting.figures.pareto_points import MOST_NUMBERED, cost_points, differ


def figure_captions(comparison: Comparison) -> dict[str, str]:
    """Figure name -> what it shows."""
    study = comparison.study
    wide = (
        "Where a few Variants are far from the rest, the first panel keeps to the rest: arrows with numbers stand for "
    )
    wide += "what lies beyond, and the second panel shows the full range."
    few, curves = not_drawn(comparison), not_drawn(comparison, FEW)
    level = methods.level(study)
    return {
        "differences": (
            f"Difference to the baseline in {comparison.metric_title}, {better(study)}: mean over paired seeds with "
            f"its unadjusted {level} interval; faint points are the single pairs. The marker is the verdict after "
            "Holm's correction. Open grey signs, where drawn, are published differences to the published baseline, one "
            f"shape per source. {wide}{few}"
        ),
        "curves": (
            "Learning curves against the baseline, one panel per Factor: mean over finished seeds, and the band from "
            "the lowest to the highest seed. Dotted lines that end in a cross are Trials that did not finish. The "
            f"vertical axes differ and leave out the first steps.{curves}"
        ),
        "trials": (
            f"Every Trial's {comparison.metric_title}, one marker shape per seed; the bar is the mean. Trials without "
            f"a result are named at the right by seed and cause. {wide}{few}"
        ),
        "pareto": _pareto(comparison),
        **design_figure_captions(comparison),
    }


def _pareto(comparison: Comparison) -> str:
    points, time = cost_points(comparison), ""
    if differ("seconds", points):
        time = "; in the panel of time a level line is ± one standard deviation over seeds"
    alone = " (of the front alone)" if len(points) > MOST_DRAWN + 1 else ""
    parts = [
        f"Mean {comparison.metric_title} of each Variant against what it costs, with its interval{alone}{time}. Filled "
        "points on the line are the front: no other Variant costs as little and is as good, by the means alone, so "
        "luck moves it.",
    ]
    if (points["partner"] != "").any():
        parts.append("Diamonds are controls at equal parameters, dotted lines lead to their Variants.")
    parts.append(
        "Arrows at an edge, where drawn, are Variants beyond the axis, with their means. A number, where drawn, stands "
        "for a name that found no room, with its key in the legend; other names are left out where they would collide."
    )
    if len(points) > MOST_NUMBERED:
        parts.append(f"On a front of more than {MOST_NUMBERED} only those with the largest steps are named.")
    return " ".join(parts)
