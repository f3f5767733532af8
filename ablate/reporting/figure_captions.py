"""The words below figures."""

from __future__ import annotations

from ablate.reporting import methods
from ablate.reporting.captions import better
from ablate.reporting.comparison import Comparison
from ablate.reporting.design_captions import design_figure_captions
from ablate.reporting.drawn_variants import FEW, not_drawn


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
        "pareto": (
            f"Mean {comparison.metric_title} of each Variant against what it costs, with its interval (of the front "
            "alone where Variants are many); in the panel of time a level line is ± one standard deviation over seeds. "
            "Filled points on the line are the front: no other Variant costs as little and is as good, by the means "
            "alone, so luck moves it. Diamonds are controls at equal parameters, dotted lines lead to their Variants. "
            "Arrows at an edge are Variants beyond the axis, with their means. A number stands for a name on the front "
            "that found no room, and the legend has the key; other names are left out where they would collide."
        ),
        **design_figure_captions(comparison),
    }
