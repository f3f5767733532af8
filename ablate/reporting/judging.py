"""Every number about a Variant's difference to the baseline, and the verdict on it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ablate.reporting.examples import Examples
from ablate.reporting.statistics import PairedDifference
from ablate.study.study import Study

#: What `differences` adds to the columns of `PairedDifference`; NaN or empty where nothing can be said.
NUMBERS = (
    "bca_low",  # bootstrap interval of the paired difference, over seeds
    "bca_high",
    "images_low",  # these trainings on other held-out images
    "images_high",
    "both_low",  # other seeds on other held-out images
    "both_high",
    "both_p",
    "p_same",  # of the test that the difference is beyond the margin (TOST)
    "p_same_holm",
    "effect_size",  # Hedges' g of the paired differences: in standard deviations of one pair's difference
    "effect_size_low",
    "effect_size_high",
    "superiority",  # share of pairs of seeds in which the Variant is better, ties half
    "seeds_needed",  # further seeds that would probably settle an open verdict
)
TEXTS = ("sensitivity",)  # what the verdict would be if failed seeds had been as bad, or as good, as any seen


def differences(study: Study, trials: pd.DataFrame, examples: Examples | None = None) -> pd.DataFrame:
    """One row per Variant but the baseline, indexed by name: the columns of `PairedDifference`, `NUMBERS`, `TEXTS`.

    `trials` is the study's `trial_frame`, `examples` the outcomes by image where they are known.
    """
    table = PairedDifference(study.baseline.name, study.metric.direction)(trials)
    for name in NUMBERS:
        table[name] = np.nan
    for name in TEXTS:
        table[name] = ""
    return table


def against_published(study: Study, summary: pd.DataFrame) -> pd.DataFrame:
    """Of each published column, how the measured mean stands to the number: `minus.<label>`, `minus_low.<label>`,
    `minus_high.<label>`, `stands.<label>` (`agrees`, `better`, `worse`, `not enough evidence`, empty without a number).

    Indexed as `summary`, one row per Variant, which has `mean`, `half`, `std`, `n` and `published.<label>`.
    """
    found = pd.DataFrame(index=summary.index)
    for column in [name for name in summary if str(name).startswith("published.")]:
        label = str(column).removeprefix("published.")
        found[f"minus.{label}"] = summary["mean"] - summary[column]
        found[f"minus_low.{label}"] = found[f"minus.{label}"] - summary["half"]
        found[f"minus_high.{label}"] = found[f"minus.{label}"] + summary["half"]
        found[f"stands.{label}"] = ""
    return found
