"""The verdicts on a difference, and on a measured mean beside a published number."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Direction = Literal["maximize", "minimize"]

#: On a Variant: the difference is beyond chance, and which way; it is smaller than what matters; or nobody knows yet.
HELPS, HURTS, SAME, UNSURE = "helps", "hurts", "no difference", "not enough evidence"
VERDICTS = (HELPS, HURTS, SAME, UNSURE)
#: On a measured mean beside a published number: it lies within the margin; beyond it, and which way; or nobody knows.
AGREES, BETTER, WORSE = "agrees", "better", "worse"


def verdicts(
    sign: Floats, p_holm: Floats, p_same_holm: Floats | None, direction: Direction, alpha: float = 0.05
) -> list[str]:
    """The verdict on each of V differences, from p values that are adjusted already; NaN is no test.

    ``sign`` is that of the difference that ``p_holm`` speaks of, or the difference itself.

    `no difference` where ``p_same_holm``, that of the equivalence test, is below ``alpha``: also where the difference
    is beyond chance, for a study that names a margin says that less does not matter. Otherwise `helps` or `hurts` where
    ``p_holm`` is. Without a margin ``p_same_holm`` is None.

    Each family of tests keeps ``alpha`` by itself: of studies at most that share calls a Variant without any effect
    `helps` or `hurts`, and at most that share calls one at the margin or beyond `no difference`.
    """
    better = sign > 0 if direction == "maximize" else sign < 0
    found = np.where(p_holm < alpha, np.where(better, HELPS, HURTS), UNSURE)
    if p_same_holm is not None:
        found = np.where(p_same_holm < alpha, SAME, found)
    return [str(verdict) for verdict in found]


def verdict_text(verdict: str, margin: float | None, unit: str = "") -> str:
    """A verdict in words: `no difference within ±0.5`; the others as they are."""
    if verdict not in (SAME, AGREES) or margin is None:
        return verdict
    return f"{verdict} within ±{margin:g}{f' {unit}' if unit and unit != '%' else ''}"
