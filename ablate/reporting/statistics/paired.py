"""Student's paired test of differences to the baseline."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy import special

from ablate.reporting.statistics.families import holm
from ablate.reporting.statistics.intervals import half_width, p_value
from ablate.reporting.statistics.pairs import Floats, PairedTests, Pairs, Side
from ablate.reporting.statistics.verdicts import Direction, verdicts


@dataclass(frozen=True, eq=False)
class StudentTests:
    """Student's t over pairs, for a number of pairs that was fixed beforehand (see `PairedTests`).

    With fewer than two pairs, or where all differences are equal, there is neither interval nor p; only differences
    that are all zero have a two-sided p, of 1.

    Exact for normal differences. With 3 to 10 pairs, 95 % intervals hold the truth in 95 to 97.5 % of samples where
    Variant and baseline are skewed alike, as exponential or log-normal values are, for then differences are not skewed.
    Where only one of both is, they hold it less often: 93 to 94 % for a gamma distribution of shape 4, 88 to 90 % for
    an exponential one, 82 to 84 % for a log-normal one (tests/benchmarks/coverage.py).
    """

    pairs: Pairs
    level: float = 0.95

    @cached_property
    def low(self) -> Floats:
        """Lower end of the t interval, (V,)."""
        return self.pairs.mean - self._half

    @cached_property
    def high(self) -> Floats:
        """Upper end, (V,)."""
        return self.pairs.mean + self._half

    @cached_property
    def p(self) -> Floats:
        """Of the two-sided paired t test, (V,)."""
        pairs = self.pairs
        p = np.where(pairs.equal, np.nan, p_value(pairs.mean, pairs.std, pairs.n))
        return np.where(pairs.zero, 1.0, p)

    @cached_property
    def sign(self) -> Floats:
        """Of the mean difference, (V,)."""
        return np.sign(self.pairs.mean)

    def p_beyond(self, bound: float, side: Side) -> Floats:
        """Of the one-sided t test against ``bound``, (V,)."""
        pairs = self.pairs
        enough = np.maximum(pairs.n, 2)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = (pairs.mean - bound) / (pairs.std / np.sqrt(enough))
        p = special.stdtr(enough - 1, -t if side == "above" else t)
        return np.where(pairs.equal | (pairs.n < 2), np.nan, p)

    @cached_property
    def _half(self) -> Floats:
        half = half_width(self.pairs.std, self.pairs.n, self.level)
        return np.where(self.pairs.equal, np.nan, half)


@dataclass(frozen=True)
class PairedDifference:
    """Difference of each group to the baseline, paired (by seed), with Student's paired t test.

    Columns of the result, indexed by group without the baseline: `pairs`, `difference`, `difference_half`,
    `difference_low`, `difference_high` (unadjusted interval), `p` (two-sided), `p_holm` (over all groups of
    the data), `verdict` and `reason` (why there is no test, where there is none).

    The verdict is `helps` or `hurts` where `p_holm` < `alpha`, by the metric's direction, otherwise
    `not enough evidence`. Where there is no test (see `StudentTests`) interval and p are NaN.
    """

    baseline: str
    direction: Direction
    level: float = 0.95
    alpha: float = 0.05

    def pairs(self, data: pd.DataFrame, value: str = "metric", by: str = "variant", pair: str = "seed") -> pd.DataFrame:
        """The single differences, long: `by`, `pair`, `difference`; only pairs with both values.

        Raises ValueError where one group has two rows of the same pair.
        """
        found = Pairs.of(data, self.baseline, value, by, pair)
        row, column = np.nonzero(~np.isnan(found.values))
        order = data[pair].unique()
        frame = {by: found.names[row], pair: order[column], "difference": found.values[row, column]}
        return pd.DataFrame(frame)

    def __call__(
        self, data: pd.DataFrame, value: str = "metric", by: str = "variant", pair: str = "seed"
    ) -> pd.DataFrame:
        """Compare every distinct `data[by]` with the baseline; `data[value]` is finite or NaN."""
        pairs = Pairs.of(data, self.baseline, value, by, pair)
        tests = StudentTests(pairs, self.level)
        table = tabulate(pairs, tests)
        table["p_holm"] = p_holm = holm(tests.p)
        table["verdict"] = verdicts(pairs.mean, p_holm, None, self.direction, self.alpha)
        table["reason"] = reasons(pairs)
        return table


def tabulate(pairs: Pairs, tests: PairedTests) -> pd.DataFrame:
    """The first columns of `PairedDifference`, up to `p`, by whatever test."""
    columns = {
        "pairs": pairs.n,
        "difference": pairs.mean,
        "difference_half": (tests.high - tests.low) / 2,
        "difference_low": tests.low,
        "difference_high": tests.high,
        "p": tests.p,
    }
    return pd.DataFrame(columns, index=pairs.names)


def reasons(pairs: Pairs) -> list[str]:
    """Why each group has no test; empty where it has one."""
    if not pairs.any_baseline:
        return ["the baseline has no result"] * len(pairs.names)
    few = {0: "no pair of seeds", 1: "one pair of seeds"}
    same = "all pairs differ by the same amount: no spread to judge by"
    return [few.get(int(n), same if equal else "") for n, equal in zip(pairs.n, pairs.equal, strict=True)]
