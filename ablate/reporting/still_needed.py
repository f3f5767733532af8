"""What would probably settle the verdicts that are still open: seeds, a larger maximum of them, or images."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pandas as pd

from ablate.reporting.examples import Examples, outcomes
from ablate.reporting.statistics.looks import Looks
from ablate.reporting.statistics.needed import FurtherSeeds
from ablate.reporting.statistics.needed_images import PowerOverImages, further_of_growing
from ablate.reporting.statistics.pairs import Floats, Pairs
from ablate.reporting.statistics.power import fewest_pairs
from ablate.reporting.statistics.shares import Shares
from ablate.study.study import Study
from ablate.wording import plural

#: Seeds beyond those there are; images instead of those there are; the maximum of seeds that a study which adds them by
#: results would have to name. NaN where it does not come into it, or nobody knows.
NEEDED = ("seeds_needed", "images_needed", "max_needed")


def still_needed(
    study: Study,
    trials: pd.DataFrame,
    pairs: Pairs,
    open_: npt.NDArray[np.bool_],
    examples: Examples | None = None,
) -> dict[str, Floats]:
    """`NEEDED` of each Variant but the baseline, (V,), with a chance of 80 % at the first step of Holm's method, if
    estimate and spread stay as they are; NaN where ``open_`` is not. ``trials`` is the `trial_frame`, ``pairs`` its
    differences. Planned seeds that will never be a pair count against a maximum of seeds.

    By the test that the study is judged by. ``examples`` are given where it is that over seeds and images, and then
    must have the outcomes of all pairs of what is open. Two or three seeds know little of their spread, so this is an
    order of magnitude.
    """
    found = {name: np.full(len(pairs.n), np.nan) for name in NEEDED}
    rows = np.flatnonzero(open_ & (pairs.n > 1) & (~pairs.equal | (examples is not None)))
    if not len(rows):
        return found
    lost = _lost(trials, pairs, study.baseline.name)
    analysis, level = study.analysis, study.analysis.alpha / len(pairs.n)
    looks = Looks(study.sequential.least, study.sequential.most) if study.sequential else None
    if examples is not None:
        names = [str(name) for name in pairs.names[rows]]
        shares = Shares.of(outcomes(examples), study.baseline.name, names, examples.scale)
        if looks is not None:
            further, found["max_needed"][rows] = further_of_growing(shares, looks, level, analysis.margin, lost[rows])
        else:
            further = PowerOverImages(len(pairs.n), analysis.alpha, margin=analysis.margin).further(shares)
        found["seeds_needed"][rows], found["images_needed"][rows] = further
        return found
    some = Pairs(pairs.names[rows], pairs.values[rows], pairs.size[rows], pairs.any_baseline)
    if looks is not None:
        found["seeds_needed"][rows], found["max_needed"][rows] = FurtherSeeds(looks, level, analysis.margin)(
            some, lost[rows]
        )
    else:
        more = fewest_pairs(some.mean, some.std, level, analysis.margin, above=some.n) - some.n
        found["seeds_needed"][rows] = more
    return found


def _lost(trials: pd.DataFrame, pairs: Pairs, baseline: str) -> npt.NDArray[np.int64]:
    """(V,) planned seeds that have ended, or whose baseline has, without a result: they will never be a pair."""
    ended = trials["metric"].isna() & trials["status"].isin(["failed", "finished"])
    seeds = trials[ended].groupby("variant")["seed"].agg(set)
    planned = trials.groupby("variant")["seed"].agg(set)
    of_baseline = seeds.get(baseline, set())
    lost = [len((seeds.get(name, set()) | of_baseline) & planned[name]) for name in pairs.names]
    return np.array(lost, dtype=np.int64)


def in_words(seeds: float, images: float, most: float) -> str:
    """`12 more seeds`, `14 more seeds, with max 24`, `about 5,000 images`, or all of it; empty where nobody knows."""
    told = [plural(int(seeds), "more seed")] if math.isfinite(seeds) else []
    if math.isfinite(most):
        told.append(f"with max {most:.0f}")
    if math.isfinite(images):
        told.append(f"about {float(f'{images:.2g}'):,.0f} images")
    return ", ".join(told)
