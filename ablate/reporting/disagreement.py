"""The test images on which a Variant and the baseline disagree, and whether one of two Trials is right more often."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from ablate.reporting.examples import Examples

COLUMNS = (
    "index",
    "label",
    "right_baseline",
    "right_variant",
    "difference",
    "predicted_baseline",
    "predicted_variant",
)


def disagreements(examples: Examples, variant: str, baseline: str, most: int | None = None) -> pd.DataFrame:
    """Images that a Variant and the baseline get right with unequal shares of their common seeds.

    Columns: `index` (place in the source), `label`, `right_baseline` and `right_variant` (shares of the seeds),
    `difference` (the second less the first), `predicted_baseline` and `predicted_variant` (the class that most seeds
    say, the smallest among equals). First the images that the Variant gets right more often, the largest difference
    first, then the others, again the largest first; of each direction no more than `most`. Empty without common seeds.
    """
    seeds = examples.common_seeds(variant, baseline)
    if not seeds:
        return pd.DataFrame(columns=list(COLUMNS))
    sides = [(name, [examples.seeds[name].index(seed) for seed in seeds]) for name in (baseline, variant)]
    right_base_N, right_own_N = (examples.correct[name][rows].mean(axis=0) for name, rows in sides)
    difference_N = right_own_N - right_base_N
    order = np.argsort(-np.abs(difference_N), kind="stable")
    better, worse = (order[sign * difference_N[order] > 0][:most] for sign in (1, -1))
    shown = np.concatenate([better, worse])
    predicted = [_most_common(examples.prediction[name][rows][:, shown]) for name, rows in sides]
    values = (examples.index, examples.label, right_base_N, right_own_N, difference_N)
    return pd.DataFrame(dict(zip(COLUMNS, (*(value[shown] for value in values), *predicted), strict=True)))


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Exact two-sided p of McNemar's test (Psychometrika 12, 1947, 153-157): whether two trainings are right on equally
    many of all images like these.

    Both are (N,): whether an image was predicted right. Only images on which one of them is right count; p is 1 where
    there are none. It says nothing about other seeds.
    """
    only_first, only_second = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    if only_first + only_second == 0:
        return 1.0
    return float(stats.binomtest(only_first, only_first + only_second).pvalue)


def _most_common(prediction_SN: NDArray[Any]) -> NDArray[np.int64]:
    """(N,): the most frequent value of each column, the smallest among equals."""
    sorted_SN = np.sort(prediction_SN, axis=0)
    # Sorted, a value that is there k times is k - 1 rows further on the same: the longest such run wins.
    found_N: NDArray[np.int64] = sorted_SN[0].astype(np.int64)
    best_N = np.zeros_like(found_N)
    run_N = np.zeros_like(best_N)
    for before_N, here_N in pairwise(sorted_SN):
        run_N = np.where(before_N == here_N, run_N + 1, 0)
        longer_N = run_N > best_N
        best_N[longer_N], found_N[longer_N] = run_N[longer_N], here_N[longer_N]
    return found_N
