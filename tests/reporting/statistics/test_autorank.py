"""The same data, judged by autorank (Herbold, JOSS 5, 2020, 2173), where it does the same thing.

It compares two paired samples by the paired t test and gives the means of normal samples intervals of level
1 - alpha / 2. Of more samples it makes an analysis of variance with Tukey's test, and its effect size is Cohen's d of
unpaired samples; both are other things than ours.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from autorank import autorank

from ablate.reporting.statistics import HELPS, UNSURE, MeanInterval, PairedDifference


@pytest.mark.parametrize(("seed", "effect", "n"), [(0, 0.0, 5), (1, 0.5, 8), (2, 2.0, 6), (4, 1.0, 30)])
def test_two_samples_have_the_p_and_intervals_of_autorank(seed: int, effect: float, n: int) -> None:
    """Difference of means, p and both intervals to 1e-9, and the same decision at 5 %."""
    rng = np.random.default_rng(seed)
    luck = rng.normal(90, 0.5, n)
    wide = pd.DataFrame({"baseline": luck, "a": luck + effect + rng.normal(0, 0.6, n)})
    theirs = autorank(wide, alpha=0.05, verbose=False, force_mode="parametric")
    long = wide.reset_index(names="seed").melt("seed", var_name="variant", value_name="metric")
    ours = PairedDifference("baseline", "maximize")(long).loc["a"]
    assert theirs.omnibus == "ttest"
    assert ours["p"] == pytest.approx(theirs.pvalue, rel=1e-9)
    assert ours["verdict"] == (HELPS if theirs.pvalue < 0.05 else UNSURE)
    means, ranks = MeanInterval(1 - 0.05 / 2)(long), theirs.rankdf.loc[["baseline", "a"]]
    assert ours["difference"] == pytest.approx(ranks["mean"]["a"] - ranks["mean"]["baseline"], rel=1e-9)
    expected = ranks[["mean", "ci_lower", "ci_upper"]].astype(float)
    np.testing.assert_allclose(means[["mean", "low", "high"]], expected, rtol=1e-9)
