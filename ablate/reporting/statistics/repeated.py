"""What tests of results that were looked at again and again have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

import numpy as np

from ablate.reporting.statistics.looks import Looks
from ablate.reporting.statistics.pairs import Floats, Side


class RepeatedTests(ABC):
    """The answers of `PairedTests` by the smallest p of all looks so far, and an interval about the present mean."""

    looks: Looks

    @cached_property
    def low(self) -> Floats:
        """Lower end of the repeated interval, (V,)."""
        return self._mean - self._half

    @cached_property
    def high(self) -> Floats:
        """Upper end, (V,)."""
        return self._mean + self._half

    @cached_property
    def p(self) -> Floats:
        """Two-sided, of no difference, adjusted for the looks so far, (V,)."""
        smallest = np.minimum(self._smallest(0.0, "above"), self._smallest(0.0, "below"))
        return np.where(self._zero, 1.0, self.looks.adjusted(np.minimum(2 * smallest, 1.0)))

    @cached_property
    def sign(self) -> Floats:
        """Of the mean difference at the look with the smallest p, which need not be the last one, (V,)."""
        above, below = self._smallest(0.0, "above"), self._smallest(0.0, "below")
        return np.where(np.isnan(above), 0.0, np.where(above <= below, 1.0, -1.0))

    def p_beyond(self, bound: float, side: Side) -> Floats:
        """One-sided against ``bound``, adjusted for the looks so far, (V,)."""
        return self.looks.adjusted(self._smallest(bound, side), sides=1)

    @property
    @abstractmethod
    def _mean(self) -> Floats:
        """Of the pairs there are now, (V,)."""

    @property
    @abstractmethod
    def _half(self) -> Floats:
        """Half of the interval's width, (V,); NaN where there is none."""

    @property
    @abstractmethod
    def _zero(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Whether all differences are zero, (V,): then there is no spread, and p is 1."""

    @abstractmethod
    def _smallest(self, bound: float, side: Side) -> Floats:
        """The smallest one-sided p of the looks so far, (V,); NaN before the first, or without a spread."""
