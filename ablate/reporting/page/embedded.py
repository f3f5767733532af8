"""Data for the page's script, written so that no text in it can be anything but text."""

from __future__ import annotations

import json
import math
from typing import Any

from markupsafe import Markup

#: What could end a script element or begin another, and line ends that old scripts stumble over.
_UNSAFE = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def embedded(value: Any) -> Markup:
    """`value` as JSON for the inside of `<script type="application/json">`. Raises ValueError for NaN."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.translate(_UNSAFE))  # noqa: S704 - no `<` is left in it


def short(value: float, digits: int = 6) -> float | None:
    """`value` to so many significant digits; None where it is not finite, which JSON cannot write."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None
