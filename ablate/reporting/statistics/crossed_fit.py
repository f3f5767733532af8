"""Least squares on a crossed design's Trials, with the seeds as blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from ablate.reporting.statistics.crossing import Term, coded, terms_of
from ablate.reporting.statistics.intervals import EQUAL

Array = npt.NDArray[np.float64]
#: Eigenvalues of X'X below this share of the largest are taken as zero.
SINGULAR = 1e-9
#: Where the seeds' columns stand in the model matrix.
SEEDS: tuple[int, ...] = ()


class CrossedFit:
    """The model matrix, its normal equations, and the error of a Trial."""

    def __init__(self, levels: Mapping[str, Sequence[str]], data: pd.DataFrame) -> None:
        """``levels`` are each Factor's, the reference first; ``data`` is that of `linear.CrossedEffects`."""
        self.names, self.levels = list(levels), [list(own) for own in levels.values()]
        self.counts = [len(own) for own in self.levels]
        places = [pd.Index(own).get_indexer(pd.Index(data[name])) for name, own in levels.items()]
        self.planned: npt.NDArray[np.intp] = np.stack(places, axis=1)
        self.terms = terms_of(np.unique(self.planned, axis=0), self.counts)
        done = data["metric"].notna().to_numpy()
        self.cells = self.planned[done]
        values = data["metric"].to_numpy(float)[done]
        self.size = float(np.abs(values).max(initial=0.0))
        self.y = values - values.mean() if len(values) else values
        seed = pd.factorize(data["seed"][done])[0]
        self.seeds = int(seed.max(initial=-1)) + 1
        coding = np.concatenate([np.full((1, max(self.seeds - 1, 0)), -1.0), np.eye(max(self.seeds - 1, 0))])
        self.blocks = coding[seed]
        self._variant = pd.factorize(data["variant"][done])[0]
        self._trial = pd.factorize(self._variant * max(self.seeds, 1) + seed)[0]
        self._first = np.unique(self._trial, return_index=True)[1]

    @property
    def distinct(self) -> bool:
        """Whether no Trial stands in two cells."""
        return len(self._first) == len(self.y)

    @property
    def scatter(self) -> float:
        """Squares up to which a residual is rounding."""
        return len(self.y) * (EQUAL * self.size) ** 2

    @cached_property
    def matrix(self) -> tuple[Array, dict[tuple[int, ...], slice]]:
        """Intercept, terms and seeds, (Trials, columns), and where each term stands; `SEEDS` are the seeds."""
        parts, where, at = [np.ones((len(self.y), 1))], {}, 1
        for term in (t for t in self.terms if not t.left_out):
            parts.append(coded(self.cells, self.counts, term.factors))
            where[term.factors] = slice(at, at := at + parts[-1].shape[1])
        where[SEEDS] = slice(at, at + self.blocks.shape[1])
        return np.concatenate([*parts, self.blocks], axis=1), where

    @cached_property
    def normal(self) -> tuple[Array, Array]:
        """X'X and X'y."""
        matrix = self.matrix[0]
        return matrix.T @ matrix, matrix.T @ self.y

    @cached_property
    def left(self) -> tuple[float, int]:
        """Residual squares of the model with all terms, and their degrees of freedom."""
        return _residual(self.matrix[0], self.y)

    @cached_property
    def pure(self) -> tuple[float, int]:
        """The same of `metric ~ variant + seed`, over distinct Trials."""
        variant = pd.factorize(self._variant[self._first])[0]
        y, blocks = self.y[self._first], self.blocks[self._first]
        count = np.bincount(variant)
        # Within Variants, so that their columns need not be written down (Frisch, Waugh and Lovell).
        means = np.zeros((len(count), blocks.shape[1] + 1))
        both = np.concatenate([blocks, y[:, None]], axis=1)
        np.add.at(means, variant, both)
        both = both - (means / count[:, None])[variant]
        squares, df = _residual(both[:, :-1], both[:, -1])
        return squares, df - len(count)

    @cached_property
    def error(self) -> tuple[float, int]:
        """The variance of a Trial about the model and its degrees of freedom; NaN where nothing tells it.

        It is that of `metric ~ variant + seed`; with a single seed, what the terms leave.
        """
        squares, df = self.pure
        if df <= 0 and self.seeds == 1 and self.distinct:
            squares, df = self.left
        if df <= 0 or squares <= self.scatter:
            return float("nan"), max(df, 0)
        return squares / df, df

    def estimates(self, term: Term, weights: Array) -> tuple[Array, Array]:
        """Each contrast of a term's coefficients and its standard error; NaN where the Trials do not tell it.

        ``weights`` is (contrasts, columns of the term).
        """
        matrix, where = self.matrix
        wide = np.zeros((len(weights), matrix.shape[1]))
        wide[:, where[term.factors]] = weights
        solved = wide @ self._inverse
        told = np.abs(wide - solved @ self.normal[0]).max(axis=1) < 1e-6
        by_row = solved @ matrix.T
        by_trial = by_row
        if not self.distinct:
            by_trial = np.zeros((len(weights), len(self._first)))
            np.add.at(by_trial.T, self._trial, by_row.T)
        error = np.sqrt(self.error[0] * (by_trial**2).sum(axis=1))
        return np.where(told, by_row @ self.y, np.nan), np.where(told, error, np.nan)

    @cached_property
    def _inverse(self) -> Array:
        return np.asarray(np.linalg.pinv(self.normal[0], rcond=SINGULAR, hermitian=True))

    def added(self, factors: tuple[int, ...], others: Sequence[tuple[int, ...]]) -> tuple[float, int]:
        """Squares that a term explains beyond the intercept and the terms in ``others``, and their rank."""
        where = self.matrix[1]
        without = np.r_[(0, *(where[other] for other in others))]
        less, fewer = self._explained(without)
        more, rank = self._explained(np.r_[without, where[factors]])
        return max(more - less, 0.0), rank - fewer

    def _explained(self, columns: npt.NDArray[np.intp]) -> tuple[float, int]:
        gram, moment = self.normal
        values, vectors = np.linalg.eigh(gram[np.ix_(columns, columns)])
        kept = values > SINGULAR * max(float(values.max()), 1.0)
        along = vectors[:, kept].T @ moment[columns]
        return float((along**2 / values[kept]).sum()), int(kept.sum())


def _residual(matrix: Array, y: Array) -> tuple[float, int]:
    """Residual squares of a regression and their degrees of freedom."""
    gram = matrix.T @ matrix
    values, vectors = np.linalg.eigh(gram) if len(gram) else (np.zeros(0), np.zeros((0, 0)))
    kept = values > SINGULAR * max(float(values.max(initial=0.0)), 1.0)
    basis = vectors[:, kept]
    rest = y - matrix @ (basis @ ((basis.T @ (matrix.T @ y)) / values[kept]))
    return float(rest @ rest), len(y) - int(kept.sum())
