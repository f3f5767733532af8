"""How to read the report, in sentences that can be pasted into an appendix."""

from __future__ import annotations

from ablate.reporting import methods
from ablate.reporting.captions import better
from ablate.reporting.comparison import Comparison
from ablate.reporting.statistics import HELPS, HURTS, SAME, UNSURE
from ablate.reporting.statistics.verdicts import verdict_text
from ablate.wording import plural


def how_to_read(comparison: Comparison) -> list[str]:
    """Paragraphs: what is compared, what an interval and a verdict say, and what they do not say."""
    return [_compared(comparison), _verdicts(comparison), _limits(comparison)]


def _compared(comparison: Comparison) -> str:
    study = comparison.study
    return (
        f"Each row is a Variant: the baseline's Recipe with the changes that the row names. The difference is the "
        f"Variant's {study.metric.label or study.metric.name} less the baseline's ({better(study)}), taken seed by "
        "seed, since both were trained with the same seeds, and then averaged. Its interval "
        f"says which differences agree with what was measured, at a level of {methods.level(study)} "
        "for one comparison. Where it is wide, few seeds or restless training leave much open."
    )


def _verdicts(comparison: Comparison) -> str:
    analysis, unit = comparison.study.analysis, comparison.study.metric.unit
    family = len(comparison.summary) - 1
    many = f" over all {plural(family, 'comparison')} together" if family > 1 else ""
    text = (
        f"A verdict is what may be said with wrong verdicts held to {100 * analysis.alpha:g} %{many}: “{HELPS}” or "
        f"“{HURTS}” where the difference is beyond chance in that direction, "
    )
    if analysis.margin is not None:
        same = verdict_text(SAME, analysis.margin, unit)
        text += f"“{same}” where it is shown to be smaller than the margin that the study names, "
    text += f"and “{UNSURE}” where the results are too few or too restless to say. "
    if analysis.margin is None:
        text += "The study names no margin below which a difference would not matter, so none can be called absent. "
    return text + f"A verdict of “{UNSURE}” is not one of no effect: nobody knows yet."


def _limits(comparison: Comparison) -> str:
    study = comparison.study
    trials = comparison.trials.drop_duplicates("trial_id")
    without = int(trials["metric"].isna().sum())
    text = (
        f"The numbers hold for the profile {study.profile}: this data, this model size, this length of training. "
        "Settings were compared at the baseline's values of everything else, so a Variant that would do better with, "
        "say, another learning rate is not given it. "
    )
    if without:
        text += (
            f"{plural(without, 'Trial')} of {len(trials)} without a result "
            f"{'is' if without == 1 else 'are'} listed and counted in n, and nothing was put in "
            f"{'its' if without == 1 else 'their'} place. "
        )
    return text + "In the drawings, small dots are single seeds, bars are intervals, and the shape is the verdict."
