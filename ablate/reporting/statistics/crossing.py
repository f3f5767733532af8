"""The terms of a linear model of crossed Factors, and their columns in sum-to-zero coding."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
#: Why an effect is not in the model.
ALIASED = "cannot be told from other effects in this design"
TOO_MANY = "too many Levels for the model: taken as none"
NOT_CROSSED = "some of these Levels never meet in this design: taken as none"
#: Columns of the model up to which interactions are taken in; their number is cubed in the time it takes.
MOST_COLUMNS = 400


@dataclass(frozen=True)
class Term:
    """A Factor, or two whose interaction it is."""

    factors: tuple[int, ...]
    left_out: str = ""
    """Why it is not in the model; empty where it is."""

    def within(self, other: Term) -> bool:
        """Whether the other contains all Factors of this one."""
        return set(self.factors) <= set(other.factors)


def terms_of(cells: npt.NDArray[np.intp], counts: Sequence[int]) -> list[Term]:
    """The Factors, then their pairs, in order; those that the design cannot tell apart say why they are left out.

    ``cells`` is (Variants, Factors), the place of each Level (the reference is 0), as planned; ``counts`` are the
    numbers of Levels. A pair is taken as having no interaction where some of its Levels never meet, or where it has
    more Levels than the model bears (in a balanced design that changes no other effect); a term is aliased where its
    columns depend on those of the terms before it.
    """
    pairs = itertools.combinations(range(len(counts)), 2)
    basis = np.full((len(cells), 1), 1 / np.sqrt(max(len(cells), 1)))
    found = []
    for factors in [*((f,) for f in range(len(counts))), *pairs]:
        if len(factors) == 2:
            a, b = factors
            if (counts[a] - 1) * (counts[b] - 1) + basis.shape[1] > MOST_COLUMNS:
                found.append(Term(factors, TOO_MANY))
                continue
            if len(np.unique(cells[:, a] * counts[b] + cells[:, b])) < counts[a] * counts[b]:
                found.append(Term(factors, NOT_CROSSED))
                continue
        columns = coded(cells, counts, factors)
        rest = columns - basis @ (basis.T @ columns)
        rest -= basis @ (basis.T @ rest)  # once more, against rounding
        left, sizes, _ = np.linalg.svd(rest, full_matrices=False)
        if len(sizes) < columns.shape[1] or sizes.min() <= 1e-6 * np.linalg.norm(columns, axis=0).max():
            found.append(Term(factors, ALIASED))
            continue
        basis = np.concatenate([basis, left], axis=1)
        found.append(Term(factors))
    return found


def coded(cells: npt.NDArray[np.intp], counts: Sequence[int], factors: Sequence[int]) -> Array:
    """Columns of a term, (rows, product of Levels - 1): the reference is -1 everywhere, each other Level 1 once."""
    columns = np.ones((len(cells), 1))
    for f in factors:
        own = sum_to_zero(counts[f])[cells[:, f]]
        columns = (columns[:, :, None] * own[:, None, :]).reshape(len(cells), columns.shape[1] * own.shape[1])
    return columns


def sum_to_zero(levels: int) -> Array:
    """(Levels, Levels - 1): what each Level's row of a Factor is."""
    return np.concatenate([np.full((1, levels - 1), -1.0), np.eye(levels - 1)])


def contrasts(counts: Sequence[int], term: Term) -> tuple[list[tuple[int, ...]], Array]:
    """Places of the Levels and weights (contrasts, columns of the term): each Level, or pair of them, less reference.

    Of two Factors it is the difference of differences: (both - second alone) - (first alone - neither).
    """
    weights = np.ones((1, 1))
    for f in term.factors:
        coding = sum_to_zero(counts[f])
        weights = np.kron(weights, coding[1:] - coding[0])
    return list(itertools.product(*(range(1, counts[f]) for f in term.factors))), weights
