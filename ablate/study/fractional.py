"""Fractional factorial designs of two Levels: which runs, of which resolution, and what cannot be told apart.

A regular fraction 2^(k-p) crosses b = k - p base Factors fully; each other Factor is changed where an odd number of
certain base Factors is (Box and Hunter, "The 2^(k-p) fractional factorial designs", Technometrics 3, 1961). Levels
are counted 0 (reference) and 1, so a column is a vector over GF(2), the product of two Factors' signs is the sum of
their columns, and the baseline is a run of every fraction here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

#: Runs -> Factors -> the base Factors (bit i: the i-th) whose product each further Factor is, in the numbering of
#: Chen, Sun and Wu ("A catalogue of two-level and three-level fractional factorial designs with small runs",
#: International Statistical Review 61, 1993). Up to 128 runs these have minimum aberration (Fries and Hunter,
#: Technometrics 22, 1980), which means the fewest defining words of the shortest length, then of the next; they were
#: found by going through all choices. Those of 256 runs were found as vectors any four of which are independent, and
#: their aberration was not minimised.
GENERATORS: dict[int, dict[int, tuple[int, ...]]] = {
    4: {3: (3,)},
    8: {4: (7,), 5: (3, 5), 6: (3, 5, 6), 7: (3, 5, 6, 7)},
    16: {
        5: (15,),
        6: (7, 11),
        7: (7, 11, 13),
        8: (7, 11, 13, 14),
        9: (3, 5, 9, 14, 15),
        10: (3, 5, 6, 9, 14, 15),
        11: (3, 5, 6, 9, 10, 13, 14),
        12: (3, 5, 6, 9, 10, 13, 14, 15),
        13: (3, 5, 6, 7, 9, 10, 11, 12, 13),
        14: (3, 5, 6, 7, 9, 10, 11, 12, 13, 14),
        15: (3, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15),
    },
    32: {
        6: (31,),
        9: (7, 11, 19, 29),
        10: (7, 11, 19, 29, 30),
        11: (7, 11, 13, 19, 21, 25),
        12: (7, 11, 13, 14, 19, 21, 25),
        13: (7, 11, 13, 14, 19, 21, 22, 25),
        14: (7, 11, 13, 14, 19, 21, 22, 25, 26),
        15: (7, 11, 13, 14, 19, 21, 22, 25, 26, 28),
        16: (7, 11, 13, 14, 19, 21, 22, 25, 26, 28, 31),
    },
    64: {7: (63,), 8: (15, 51)},
    128: {9: (31, 103), 10: (15, 51, 85), 11: (15, 51, 85, 106)},
    256: {
        12: (15, 51, 85, 106),
        13: (15, 51, 85, 106, 150),
        14: (15, 51, 85, 106, 150, 171),
        15: (15, 51, 85, 106, 150, 171, 219),
        16: (15, 51, 85, 106, 150, 171, 219, 237),
    },
}
MOST_FACTORS = 16


@dataclass(frozen=True)
class Fraction:
    """A regular fraction of 2^factors combinations."""

    base: int
    """Factors that are crossed fully; there are 2^base runs."""
    generated: tuple[int, ...]
    """For each further Factor, the base Factors of which it is the product, as bits."""

    @property
    def columns(self) -> tuple[int, ...]:
        """Each Factor, as a sum of base Factors."""
        return (*(1 << i for i in range(self.base)), *self.generated)

    @property
    def size(self) -> int:
        """Number of runs."""
        return 1 << self.base

    def runs(self) -> Iterator[tuple[int, ...]]:
        """Every run, 0 or 1 for each Factor; the baseline first, the last base Factor changing fastest."""
        for bits in itertools.product((0, 1), repeat=self.base):
            run = sum(bit << i for i, bit in enumerate(bits))
            yield tuple((column & run).bit_count() % 2 for column in self.columns)

    def words(self) -> Iterator[int]:
        """The defining words: sets of Factors (as bits) whose product is the same in every run."""
        own = [1 << (self.base + i) | column for i, column in enumerate(self.generated)]
        words = [0]
        for word in own:
            words += [other ^ word for other in words]
        return iter(words[1:])

    @cached_property
    def resolution(self) -> int:
        """The length of the shortest word: effects of i Factors are mixed up with none of less than resolution - i."""
        return min(word.bit_count() for word in self.words())

    def aliases(self, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Effect (`a`, `a:b`) -> the other effects of one or two Factors that it cannot be told from.

        ``names`` are the Factors. An effect that has no such alias is not listed. Aliased effects have equal size and
        equal sign, or opposite signs, in every run.
        """
        numbers = range(len(names))
        effects = [(i,) for i in numbers] + list(itertools.combinations(numbers, 2))
        alike: dict[int, list[str]] = {}
        column_of = {}
        for effect in effects:
            column = 0
            for factor in effect:
                column ^= self.columns[factor]
            name = ":".join(names[i] for i in effect)
            alike.setdefault(column, []).append(name)
            column_of[name] = column
        return {
            name: tuple(other for other in alike[column] if other != name)
            for name, column in column_of.items()
            if len(alike[column]) > 1
        }


def smallest_fraction(factors: int, resolution: int) -> Fraction | None:
    """The fraction of the fewest runs with at least this resolution; None where only all combinations have it."""
    for runs, of_factors in GENERATORS.items():
        if factors in of_factors:
            fraction = Fraction(runs.bit_length() - 1, of_factors[factors])
            if fraction.resolution >= resolution:
                return fraction
    return None
