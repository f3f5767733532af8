"""What the variance of a mean difference is made of, where seeds and test images are crossed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ablate.reporting.statistics.crossed import moments_of
from ablate.reporting.statistics.pairs import Floats


@dataclass(frozen=True, eq=False)
class Shares:
    """Arrays of one shape, an element for each comparison; NaN where fewer than two pairs or no spread tell it.

    The variance of the mean is ``seeds`` + ``images``, as `SeedsAndImages` estimates it (A and B there).
    """

    pairs: Floats
    """S, the seeds on both sides."""
    count: Floats
    """N, the images."""
    mean: Floats
    """The mean difference."""
    seeds: Floats
    """Share of the seeds, with the interaction of seed and image in it: shrinks with more seeds."""
    images: Floats
    """Share of the images alone: shrinks with more images only."""
    interaction: Floats
    """The part of ``seeds`` that more images shrink as well."""
    still: npt.NDArray[np.bool_]
    """Whether every seed differs by the same amount on every image."""

    @staticmethod
    def of(data: pd.DataFrame, baseline: str, names: Sequence[str], unit: float = 1.0) -> Shares:
        """(V,) of the groups ``names``, over all pairs of seeds.

        ``data`` is that of `SeedsAndImages`, ``unit`` what an outcome counts in the metric's unit (100 for percent).
        """
        found = [moments_of(own, reference) for own, reference in _paired(data, baseline, names)]
        return _shares(np.array(found, dtype=float).reshape(-1, 7), unit)

    @staticmethod
    def of_first(
        data: pd.DataFrame, baseline: str, names: Sequence[str], counts: Sequence[int], unit: float = 1.0
    ) -> Shares:
        """(V, counts): of the first so many pairs, in the order of the group's rows; NaN for those to come."""
        found = [
            moments_of(own[:n], reference[:n]) if n <= len(own) else (0.0, np.nan, *([np.nan] * 4), 0.0)
            for own, reference in _paired(data, baseline, names)
            for n in counts
        ]
        return _shares(np.array(found, dtype=float).reshape(len(names), len(counts), 7), unit)

    def only(self, rows: npt.NDArray[Any]) -> Shares:
        """Some of the comparisons, by a mask or their places."""
        pairs, count, mean, seeds = self.pairs[rows], self.count[rows], self.mean[rows], self.seeds[rows]
        return Shares(pairs, count, mean, seeds, self.images[rows], self.interaction[rows], self.still[rows])


def _paired(
    data: pd.DataFrame, baseline: str, names: Sequence[str]
) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    """Outcomes (S, N) of each group and of the baseline with the same seeds; S is 0 for a group that is not there."""
    values = data.to_numpy()
    rows: dict[Any, dict[Any, int]] = {}
    for place, (group, seed) in enumerate(data.index):
        rows.setdefault(group, {})[seed] = place
    base = rows.get(baseline, {})
    for name in names:
        own = rows.get(name, {})
        seeds = [seed for seed in own if seed in base]
        yield values[[own[seed] for seed in seeds]], values[[base[seed] for seed in seeds]]


def _shares(moments: Floats, unit: float) -> Shares:
    """From (..., 7) of `moments_of`."""
    pairs, count, mean, seeds, by_images, rest, still = np.moveaxis(moments, -1, 0)
    own = np.where(pairs > 1, np.maximum(by_images - rest, 0.0), np.nan)
    # Seeds may agree by luck more than the interaction lets them.
    interaction = np.minimum(rest, seeds)
    squared = unit**2
    return Shares(pairs, count, mean * unit, seeds * squared, own * squared, interaction * squared, still == 1)
