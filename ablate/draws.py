"""Random draws keyed by what they are for, so that no draw depends on how many were made before it.

Every random stream of a Trial (initial weights, data order, augmentation, dropout, mixing) is a function
of (seed, purpose, step, image). A Variant therefore shares its baseline's luck wherever it can, and a resumed
Trial needs no generator's state. Data order, augmentation and mixing are drawn here in numpy, the same for CPU
and GPU. The generator is SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) used as a counter-based hash.

Dropout is the exception: torch draws it, on the device that computes, from a generator that is seeded for each
update. CPU and GPU therefore drop other units, and since its layers draw one after another, a Variant that adds
a layer with dropout, or changes the shape of one, has other luck in all that follow within the update.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def derive(seed: int, purpose: str, *numbers: int) -> int:
    """A 63-bit seed for one purpose and step; different arguments give unrelated seeds."""
    text = f"{seed}/{purpose}/{'/'.join(map(str, numbers))}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def uniform(seed: int, purpose: str, step: int, images: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Independent uniforms in [0, 1), shape (len(images), count); row i depends on ``images[i]``, not on i."""
    key = np.uint64(derive(seed, purpose, step))
    with np.errstate(over="ignore"):  # wrapping modulo 2^64 is the algorithm
        rows = _mix(key + images.astype(np.uint64) * _GAMMA)
        columns = (np.arange(1, count + 1, dtype=np.uint64)) * _GAMMA
        bits = _mix(rows[:, None] + columns[None, :])
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))
