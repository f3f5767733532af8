"""Decoded images that stay in memory as far as there is room, shared by the processes that read them."""

from __future__ import annotations

import mmap
import multiprocessing
import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablate.data.memory import memory_budget

_NOTHING = 0


def shared_zeros(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Zeros in memory that processes forked later share. Raises OSError or MemoryError where there is none."""
    count = int(np.prod(shape))
    size = max(1, count * np.dtype(dtype).itemsize)
    return np.frombuffer(mmap.mmap(-1, size), dtype=dtype, count=count).reshape(shape)


class Kept:
    """Arrays of bytes by number, kept once and for all in one stretch of memory that is only filled as it is used.

    A worker that is forked keeps and finds images for all others, and its parent for the workers to come. Which
    images find room may differ from run to run; what is found is always what was decoded.
    """

    _all: weakref.WeakSet[Kept] = weakref.WeakSet()

    def __init__(self, count: int) -> None:
        """Numbers are below ``count``; all that a process keeps, in whichever object, stays within its budget."""
        self._budget = memory_budget() if count else 0
        try:
            self._memory = shared_zeros((self._budget,), np.uint8)
        except (OSError, MemoryError, OverflowError, ValueError):  # the system promises less than it has
            self._budget, self._memory = 0, np.zeros(0, np.uint8)
        self._used = shared_zeros((1,), np.int64)
        self._ends = shared_zeros((count,), np.int64)  # an image of no bytes does not exist: 0 is not kept
        self._shapes = shared_zeros((count, 3), np.int32)
        forked = "fork" in multiprocessing.get_all_start_methods()
        self._lock = multiprocessing.get_context("fork" if forked else None).Lock()
        Kept._all.add(self)

    def get(self, number: int) -> NDArray[np.uint8] | None:
        """What was kept by that number, not to be written to; None where nothing was."""
        end = int(self._ends[number])
        if end == _NOTHING:
            return None
        shape = self._shapes[number]
        kept: NDArray[np.uint8] = self._memory[end - int(np.prod(shape)) : end].reshape(shape)
        return kept

    def has_all(self, numbers: Iterable[int]) -> bool:
        """Whether each of them is kept."""
        return bool(self._ends[list(numbers)].all())

    def room_for(self, size: int) -> bool:
        """Whether ``size`` bytes more can be kept."""
        return size <= self._budget - sum(int(kept._used[0]) for kept in Kept._all)

    def put(self, number: int, pixels: NDArray[np.uint8]) -> None:
        """Keep an array (H, W, C), if there is room for it."""
        with self._lock:
            if not self.room_for(pixels.size):
                return
            self._used[0] = end = int(self._used[0]) + pixels.size
        self._memory[end - pixels.size : end] = pixels.reshape(-1)
        self._shapes[number] = pixels.shape
        self._ends[number] = end  # last: whoever finds it finds the rest
