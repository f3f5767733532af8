"""How a number is written: rounded to its uncertainty, with a real minus sign, in units a reader knows."""

from __future__ import annotations

import math

MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EM DASH}"
#: Beyond so many decimals a number is written with an exponent.
MOST_DECIMALS = 6


def decimals_of(uncertainty: float) -> int | None:
    """Decimals to which a value of this uncertainty is written; None where it says nothing (0, NaN, inf).

    The rule of the Particle Data Group (Review of Particle Physics, 2024, 5.3): two significant digits of the
    uncertainty where it begins with 1.00 to 3.54, otherwise one. Negative for tens and hundreds.
    """
    if not math.isfinite(uncertainty) or uncertainty <= 0:
        return None
    exponent = math.floor(math.log10(uncertainty))
    leading = uncertainty / 10.0**exponent
    return (1 if leading < 3.55 else 0) - exponent


def number(value: float, decimals: int, sign: bool = False) -> str:
    """`value` with a fixed number of decimals; `sign` writes a plus too. Zero has no sign."""
    text = f"{abs(value):.{max(decimals, 0)}f}"
    if not any(digit in text for digit in "123456789"):
        return text
    return (MINUS if value < 0 else "+" if sign else "") + text


def plain(value: float, sign: bool = False) -> str:
    """`value` to four significant digits, for numbers whose uncertainty is not known; a dash for NaN."""
    if not math.isfinite(value):
        return NOTHING
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    decimals = max(3 - exponent, 0)
    if decimals <= MOST_DECIMALS and exponent < 9:
        return number(value, decimals, sign)
    return f"{number(value / 10.0**exponent, 3, sign)}e{exponent:+03d}"


def as_given(value: float) -> str:
    """`value` with the digits it was given with, for numbers of others; a dash for NaN."""
    return f"{value:.10g}".replace("-", MINUS, 1) if math.isfinite(value) else NOTHING


def _shared_exponent(values: tuple[float, ...], decimals: int) -> int:
    """Power of ten to take out where plain notation would be unreadable; otherwise 0."""
    largest = max(abs(v) for v in values)
    if largest == 0 or (decimals <= MOST_DECIMALS and largest < 1e9):
        return 0
    return math.floor(math.log10(largest))


def with_half_width(value: float, half: float) -> str:
    """`97.31 ± 0.24`; the value alone where the half-width is unknown; a dash where there is no value."""
    decimals = decimals_of(half)
    if not math.isfinite(value) or decimals is None:
        return plain(value)
    power = _shared_exponent((value, half), decimals)
    decimals, scale = decimals + power, 10.0**power
    text = f"{number(value / scale, decimals)} ± {number(half / scale, decimals)}"
    return f"({text})e{power:+03d}" if power else text


def with_interval(value: float, low: float, high: float) -> str:
    """`+0.42 [−0.31, +1.15]`, all signed, rounded to the half-width; the value alone without an interval."""
    decimals = decimals_of((high - low) / 2)
    if not math.isfinite(value) or decimals is None:
        return plain(value, sign=True)
    power = _shared_exponent((value, low, high), decimals)
    decimals, scale = decimals + power, 10.0**power
    centre, left, right = (number(v / scale, decimals, sign=True) for v in (value, low, high))
    return f"{centre} [{left}, {right}]" + (f"e{power:+03d}" if power else "")


def p_value(p: float) -> str:
    """Two significant digits, `< 0.001` below that, a dash where there is no test."""
    if not math.isfinite(p):
        return NOTHING
    if p < 0.001:
        return "< 0.001"
    return f"{p:.3f}" if p < 0.0995 else f"{p:.2f}"


def count(value: float) -> str:
    """`21.97M`, `147.8k`, `812`: a number of parameters."""
    if not math.isfinite(value):
        return NOTHING
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.{2 if abs(value) < 100 * size else 1}f}{suffix}"
    return f"{value:.0f}"


def duration(seconds: float) -> str:
    """`7.3 s`, `2 min 5 s`, `3 h 12 min`."""
    if not math.isfinite(seconds):
        return NOTHING
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min"
