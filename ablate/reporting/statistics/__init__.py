"""Statistics as small frozen objects: a DataFrame in, a DataFrame out.

Values that are NaN are Trials without a result. They are counted as planned and never replaced.
"""

from __future__ import annotations

from ablate.reporting.statistics.families import first_step, holm
from ablate.reporting.statistics.intervals import MeanInterval
from ablate.reporting.statistics.paired import PairedDifference
from ablate.reporting.statistics.verdicts import HELPS, HURTS, SAME, UNSURE

__all__ = ["HELPS", "HURTS", "SAME", "UNSURE", "MeanInterval", "PairedDifference", "first_step", "holm"]
