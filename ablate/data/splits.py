"""Carving held-out images out of a source: disjoint, keyed, and the same for every seed of a study."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ablate import draws
from ablate.recipe import Data

Carve = Callable[[NDArray[np.int64], NDArray[np.int64], float, int, str], NDArray[np.bool_]]


def stratified(
    labels: NDArray[np.int64], indices: NDArray[np.int64], fraction: float, seed: int, purpose: str
) -> NDArray[np.bool_]:
    """Which images to hold out, (N,): the share ``fraction`` of each class, rounded to whole images.

    Keyed by (seed, purpose, image), so that a larger fraction holds out the same images and more.
    """
    draw = draws.uniform(seed, purpose, 0, indices, 1)[:, 0]
    order = np.lexsort((draw, labels))
    counts = np.bincount(labels)
    starts = np.cumsum(counts) - counts
    rank = np.empty(len(labels), dtype=np.int64)
    rank[order] = np.arange(len(labels)) - starts[labels[order]]
    return rank < np.floor(counts * fraction + 0.5)[labels]


def random(
    labels: NDArray[np.int64], indices: NDArray[np.int64], fraction: float, seed: int, purpose: str
) -> NDArray[np.bool_]:
    """As `stratified`, but the share is that of all images together, whatever their labels."""
    return stratified(np.zeros_like(labels), indices, fraction, seed, purpose)


#: How `data.carve` names them.
CARVES: dict[str, Carve] = {"stratified": stratified, "random": random}


def held_out(
    data: Data, labels: NDArray[np.int64], indices: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The images, of those with these labels (N,) and indices (N,), that are carved out as test, and those as val.

    Test is carved out first, then val out of the rest.
    """
    carve = CARVES[data.carve]
    test = carve(labels, indices, data.test_fraction, data.split_seed, "test split")
    rest = ~test
    val = np.zeros_like(test)
    val[rest] = carve(labels[rest], indices[rest], data.val_fraction, data.split_seed, "val split")
    return test, val
