"""Which held-out images each Trial got right, read from the files that Trials leave behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablate.reporting.kept import Kept
from ablate.study.study import Study


@dataclass(frozen=True, eq=False)
class Examples:
    """Per-image outcomes of the Trials that kept them; all of them on the same N images."""

    index: NDArray[np.int64]
    """(N,) places of the images in their source."""
    label: NDArray[np.int64]
    """(N,)"""
    correct: Mapping[str, NDArray[np.bool_]]
    """Variant -> (S, N), a row for each of its seeds."""
    prediction: Mapping[str, NDArray[np.int64]]
    """Variant -> (S, N)"""
    seeds: Mapping[str, tuple[int, ...]]
    """Variant -> the seeds of its rows."""


def examples_of(study: Study, trials: pd.DataFrame, kept: Kept) -> Examples | None:
    """The outcomes of a study's Trials; None where the baseline's are not here."""
    return None
