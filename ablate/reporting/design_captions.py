"""The words that say what the numbers of a design are; written to be pasted into a paper's appendix."""

from __future__ import annotations

import pandas as pd

from ablate.reporting.captions import better
from ablate.reporting.comparison import Comparison
from ablate.reporting.design_results import CROSSED
from ablate.reporting.methods import interval, level, one_sample, paired_test
from ablate.study.study import Block
from ablate.wording import plural


def main_caption(comparison: Comparison, block: Block, rows: pd.DataFrame) -> str:
    """Of the table of main effects."""
    study = comparison.study
    reference = ", ".join(f"{name}={study.factors[name].reference}" for name in block.factors)
    parts = [
        f"Main effects on {comparison.metric_title}, {better(study)}: the metric at a Level less the metric at the "
        "reference Level, averaged over all Levels of the other Factors, each combination counted once. References: "
        f"{reference}.",
        _MODEL,
        _error(comparison),
        f"p: t test, adjusted by Holm's method over the {len(rows)} main effects of this design; the interactions are "
        "another family.",
        "Share: sum of squares of type II of the whole Factor, as a share of the total about the mean. n: Trials with "
        "a result at the Level, of those planned.",
        *_excluded(block),
        *_aliased(block, rows),
        *_sequential(comparison),
    ]
    return " ".join(parts)


def interactions_caption(comparison: Comparison, block: Block, rows: pd.DataFrame) -> str:
    """Of the table of interactions in a crossed design."""
    tested = int((rows["left_out"] == "").sum())
    parts = [
        f"Interactions of two Factors in {comparison.metric_title}: what the first change does where the second is "
        "made, less what it does where it is not, averaged over all Levels of the other Factors. Zero: the two effects "
        "add up.",
        _MODEL,
        _error(comparison),
        f"p: t test, adjusted by Holm's method over the {tested} interactions of this design.",
        "Share: sum of squares of type II of the pair of Factors, as a share of the total about the mean. n: Trials "
        "with a result at both Levels, of those planned.",
        *_aliased(block, rows),
        *_sequential(comparison),
    ]
    return " ".join(parts)


_MODEL = (
    "Least squares on the Factors, all interactions of two of them that the design can tell apart, and the seeds as "
    "blocks, in sum-to-zero coding."
)


def _error(comparison: Comparison) -> str:
    words = f"In brackets the {level(comparison.study)} interval, not adjusted for the number of effects; "
    if len(comparison.study.seeds) == 1:
        return words + (
            "there is one seed, so its error is what interactions of three and more Factors leave, taken as noise."
        )
    return words + (
        "its error is the residual of the model with a mean for each Variant and each seed, the same for all Trials."
    )


def _excluded(block: Block) -> list[str]:
    if not block.excluded:
        return []
    return [
        f"Constraints took {plural(block.excluded, 'combination')} out of the design. Where some Levels of two Factors "
        "never meet, the model has no interaction of the two, and main effects are the Factors' own only if it is zero."
    ]


def _aliased(block: Block, rows: pd.DataFrame) -> list[str]:
    if block.design != "fractional":
        return []
    parts = [f"This is a fraction of all combinations, of resolution {block.resolution}." if block.resolution else ""]
    aliases = {effect: text.split(", ") for effect, text in zip(rows["effect"], rows["aliases"], strict=True) if text}
    mains = [e for e, others in aliases.items() if ":" not in e and any(":" not in other for other in others)]
    pairs = [e for e, others in aliases.items() if ":" not in e and any(":" in other for other in others)]
    both = [e for e, others in aliases.items() if ":" in e and any(":" in other for other in others)]
    if mains:
        parts.append(f"WARNING: main effects aliased with other main effects: {', '.join(mains)}. Neither is known.")
    if pairs:
        parts.append(
            f"WARNING: main effects aliased with interactions: {', '.join(pairs)}. Each is shown together with half "
            "of the interactions that it cannot be told from, added or taken away; it is the Factor's own only if "
            "these are zero."
        )
    if both:
        parts.append(
            f"WARNING: interactions aliased with other interactions: {', '.join(both)}. Each stands for a sum or "
            "difference of those named beside it."
        )
    if block.resolution:
        parts.append("Interactions of three and more Factors are taken as none.")
    return [part for part in parts if part]


def _sequential(comparison: Comparison) -> list[str]:
    if comparison.study.sequential is None:
        return []
    first = [str(seed) for seed in comparison.study.seeds[: comparison.study.sequential.least]]
    return [
        "Seeds were added where a verdict was open. These numbers rest on those that every Variant has from the start, "
        f"{', '.join(first)}, so that the tests hold."
    ]


def variance_caption(comparison: Comparison) -> str:
    """Of the table of variance."""
    return (
        f"Where the variance of {comparison.metric_title} comes from. Squares: of type II, what an effect explains "
        "beyond all effects that do not contain it; where no Trial is missing they add up to the total. Higher "
        "interactions: what a mean for each Variant explains beyond the effects of up to two Factors. Seeds: shared "
        "by all Variants of a seed. F: against the residual; p adjusted by Holm's method in two families, the main "
        "effects and the interactions." + "".join(f" {text}" for text in _sequential(comparison))
    )


def alias_caption(block: Block) -> str:
    """Of the table of aliases."""
    resolution = f" of resolution {block.resolution}" if block.resolution else ""
    return (
        f"Which effects of up to two Factors the fractional design{resolution} cannot tell apart: each row is one "
        "number, and speaks of the first effect alone only if the others are zero."
    )


def ladder_caption(comparison: Comparison, block: Block) -> str:
    """Of the table of rungs."""
    ends = (
        "The foot is the Variant with every change made; each rung takes back one more, in the order shown."
        if block.backward
        else "The foot is the baseline; each rung makes one more change, on top of all before it."
    )
    own = interval(comparison.study)
    parts = [
        f"A ladder in {comparison.metric_title}, {better(comparison.study)}.",
        ends,
        f"Beside a rung its mean ± half the width of its {own}. Gain: the rung less the rung before, paired by seed, "
        f"with its {own}, not adjusted; p: {paired_test(comparison.study)}, adjusted by Holm's method over the gains "
        "of the ladder. Total: the top less the foot, paired by seed; its p is not adjusted.",
        "A gain holds for this order: another order may divide the total otherwise.",
    ]
    if block.greedy:
        parts.append(
            "The order was found greedily: each rung was chosen as the best of its candidates by these same results, "
            "so the gains look better than they are, and their intervals and p values do not allow for the choice. New "
            "seeds would tell."
        )
        if block.candidates and comparison.trials["status"].isin(["finished", "failed"]).all():
            parts.append(
                "The ladder is not at its top: no candidate for the next rung has a result "
                f"({', '.join(block.candidates)})."
            )
    return " ".join(parts)


def shapley_caption(comparison: Comparison) -> str:
    """Of the table of Shapley shares."""
    return (
        f"Shapley shares of the difference in {comparison.metric_title} between everything changed and the baseline: "
        "what a change adds, averaged over all orders in which the changes can be made, computed exactly from every "
        f"combination, for each seed by itself; mean over seeds and {level(comparison.study)} t interval, not "
        "adjusted. The shares add up to the total. A Factor of several Levels has a share for each, with the mean of "
        "its Levels where it is another Factor's turn; there the means over Levels add up. n: seeds with a result of "
        "every combination; the others have no share." + "".join(f" {text}" for text in _sequential(comparison))
    )


def pairs_caption(comparison: Comparison) -> str:
    """Of the table of pairwise interactions."""
    study = comparison.study
    parts = [
        f"Pairs of changes in {comparison.metric_title}: differences to the baseline of each change alone and of both "
        "together, over the seeds with all four results (n). Interaction: together less the sum of both, for each seed "
        f"by itself; mean over seeds and {interval(study)}, not adjusted. p: {one_sample(study)}, "
        "adjusted by Holm's method over the pairs. Zero: the two changes add up.",
        "All pairs share the baseline, so its luck moves all interactions alike.",
    ]
    return " ".join(parts)


def design_figure_captions(comparison: Comparison) -> dict[str, str]:
    """Figure name -> what it shows, of the figures of designs."""
    study, title = comparison.study, comparison.metric_title
    alpha = f"{study.analysis.alpha:g}"
    greedy = any(block.greedy for block in study.blocks)
    crossed = any(block.design in CROSSED for block in study.blocks)
    first = "".join(f" {text}" for text in _sequential(comparison))
    chosen = " A ladder found greedily was chosen by these same results, so its gains look better than they are."
    return {
        "waterfall": (
            f"Ladder in {title}, {better(study)}, from the foot downwards: a bar from the mean of the rung "
            f"before to the rung's own; about its end the {interval(study)} of the gain, paired by seed and not "
            "adjusted, cut off with an arrow where it is longer than the ladder. The marker is the verdict after "
            "Holm's correction over the gains; an open bar has none. Where seeds failed, a bar's length and the gain "
            f"beside it may differ, since the gain takes the seeds of both.{chosen if greedy else ''}"
        ),
        "interactions": (
            f"Interactions in {title}: what two changes do together beyond the sum of what each does, averaged over "
            "the other Factors in a crossed design. Blue is better than the sum, red worse. A star and a frame: p "
            f"after Holm's correction below {alpha}. Hatched: planned, but not known for want of results. Empty: not "
            "in the design, or not told apart by it. On the diagonal, in grey, what each change does alone: its main "
            f"effect, in a design of pairs its difference to the baseline.{first if crossed else ''}"
        ),
        "shares": (
            f"Shapley shares in {title}: what each change adds, averaged over all orders of making the changes; mean "
            f"over seeds with {level(study)} t interval, not adjusted. A bar is open where the interval includes zero; "
            "an interval that ends in an arrow goes on. The grey bar is everything changed less the baseline, to which "
            f"the shares add up (with several Levels to a Factor, their mean).{first}"
        ),
    }
