"""Statistics as small frozen objects: a DataFrame in, a DataFrame out.

Values that are NaN are Trials without a result. They are counted as planned and never replaced.
"""

from __future__ import annotations

from ablate.reporting.statistics.bootstrap import BootstrapMean
from ablate.reporting.statistics.effect_size import HedgesG
from ablate.reporting.statistics.families import first_step, holm
from ablate.reporting.statistics.intervals import MeanInterval
from ablate.reporting.statistics.paired import PairedDifference, StudentTests
from ablate.reporting.statistics.pairs import Judge, PairedTests, Pairs
from ablate.reporting.statistics.power import Power
from ablate.reporting.statistics.published import AgainstNumber
from ablate.reporting.statistics.verdicts import HELPS, HURTS, SAME, UNSURE

__all__ = [
    "HELPS",
    "HURTS",
    "SAME",
    "UNSURE",
    "AgainstNumber",
    "BootstrapMean",
    "HedgesG",
    "Judge",
    "MeanInterval",
    "PairedDifference",
    "PairedTests",
    "Pairs",
    "Power",
    "StudentTests",
    "first_step",
    "holm",
]
