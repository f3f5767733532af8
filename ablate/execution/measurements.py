"""What a Trainable may report and return: names and numbers, checked where they enter the harness."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ablate.trainable import Diverged


def checked_metrics(metrics: Any, origin: str) -> dict[str, float]:
    """The metrics as plain floats; NaN and infinity pass, since they are measurements too.

    Anything with ``__float__`` counts as a number (NumPy scalars, tensors of one element), text and bool do
    not. Raises TypeError, which names ``origin`` (`the report of step 3`) and what is wrong.
    """
    if not isinstance(metrics, Mapping):
        raise TypeError(f"{origin} must be a mapping of name to number, not {type(metrics).__name__}")
    checked = {}
    for name, value in metrics.items():
        if not isinstance(name, str):
            raise TypeError(f"{origin}: the name of a metric must be a str, got {name!r}")
        if isinstance(value, str | bytes | bool):
            raise TypeError(f"{origin}: metric {name!r} must be a number, got {value!r}")
        try:
            checked[name] = float(value)
        except (TypeError, ValueError):
            kind = type(value).__name__
            raise TypeError(f"{origin}: metric {name!r} must be one number, got a {kind}") from None
    return checked


def final_metrics(metrics: Any, metric: str) -> dict[str, float]:
    """What a Trainable returned, checked.

    Raises ValueError where the study's metric is missing, and `Diverged` where it is NaN or infinite.
    """
    checked = checked_metrics(metrics, "what the Trainable returns")
    if metric not in checked:
        returned = ", ".join(checked) or "nothing"
        raise ValueError(
            f"the Trainable returned no metric {metric!r}, which the study compares; it returned: {returned}"
        )
    if not math.isfinite(checked[metric]):
        raise Diverged(f"the Trainable returned {checked[metric]} as its {metric}")
    return checked
