"""The verdicts on a difference, and on a measured mean beside a published number."""

from __future__ import annotations

#: On a Variant: the difference is beyond chance, and which way; it is smaller than what matters; or nobody knows yet.
HELPS, HURTS, SAME, UNSURE = "helps", "hurts", "no difference", "not enough evidence"
VERDICTS = (HELPS, HURTS, SAME, UNSURE)
#: On a measured mean beside a published number: it lies within the margin; beyond it, and which way; or nobody knows.
AGREES, BETTER, WORSE = "agrees", "better", "worse"


def verdict_text(verdict: str, margin: float | None, unit: str = "") -> str:
    """A verdict in words: `no difference within ±0.5`; the others as they are."""
    if verdict not in (SAME, AGREES) or margin is None:
        return verdict
    return f"{verdict} within ±{margin:g}{f' {unit}' if unit and unit != '%' else ''}"
