"""How a number is written: rounded to its uncertainty, with a real minus sign, in units a reader knows."""

from __future__ import annotations

import math

MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EM DASH}"
#: Beyond so many decimals, or from this size on, a number is written with an exponent.
MOST_DECIMALS, LARGEST = 6, 1e9


def two_digits(size: float) -> int:
    """Decimals that show two significant digits of `size` > 0; negative for hundreds and more."""
    return 1 - math.floor(math.log10(size))


def is_written_as_zero(value: float, decimals: int) -> bool:
    """Whether rounding leaves nothing of a `value` that is not zero."""
    return value != 0 and float(f"{value:.{max(decimals, 0)}f}") == 0


def number(value: float, decimals: int, sign: bool = False) -> str:
    """`value` with a fixed number of decimals; `sign` writes a plus too.

    Zero itself has no sign; what is only rounded to zero keeps its own, so that `[+0.0, +0.3]` excludes zero.
    """
    text = f"{abs(value):.{max(decimals, 0)}f}"
    if value == 0:
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
    if decimals <= MOST_DECIMALS and abs(value) < LARGEST:
        return number(value, decimals, sign)
    return f"{number(value / 10.0**exponent, 3, sign)}e{exponent:+03d}"


def as_given(text: str) -> str:
    """A number of others in their own digits, with a real minus sign: `75.0` stays `75.0`."""
    return text.replace("-", MINUS, 1) if text.startswith("-") else text


def with_half_width(value: float, half: float, decimals: int | None = None, sign: bool = False) -> str:
    """`97.31 ± 0.24`; the value alone where the half-width is unknown; a dash where there is no value.

    `decimals` are the column's; without them the cell shows two digits of its own half-width, and has an
    exponent where plain notation would be unreadable.
    """
    if not math.isfinite(value):
        return NOTHING
    known = math.isfinite(half) and half > 0
    if decimals is not None:
        text = number(value, decimals, sign)
        return f"{text} ± {number(half, decimals)}" if known else text
    if not known:
        return plain(value, sign)
    power, decimals = _exponent(half, value, half)
    text = f"{number(value / 10.0**power, decimals, sign)} ± {number(half / 10.0**power, decimals)}"
    return f"({text})e{power:+03d}" if power else text


def with_interval(value: float, low: float, high: float, decimals: int | None = None) -> str:
    """`+0.42 [−0.31, +1.15]`, all signed; the value alone without an interval; `decimals` as above."""
    if not math.isfinite(value):
        return NOTHING
    half = (high - low) / 2
    known, power = math.isfinite(half) and half > 0, 0
    if decimals is None:
        if not known:
            return plain(value, sign=True)
        power, decimals = _exponent(half, value, low, high)
    centre, *ends = (number(v / 10.0**power, decimals, sign=True) for v in (value, low, high))
    if not known:
        return centre
    return f"{centre} [{', '.join(ends)}]" + (f"e{power:+03d}" if power else "")


def ends(low: float, high: float, decimals: int | None = None) -> str:
    """`[−0.31, +1.15]`, an interval by itself; a dash where it is not known; `decimals` as above."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return NOTHING
    power = 0
    if decimals is None:
        power, decimals = _exponent((high - low) / 2, low, high) if high > low else (0, two_digits(abs(low) or 1.0))
    shown = ", ".join(number(v / 10.0**power, decimals, sign=True) for v in (low, high))
    return f"[{shown}]" + (f"e{power:+03d}" if power else "")


def _exponent(half: float, *shown: float) -> tuple[int, int]:
    """Power of ten to take out, 0 where plain notation is readable, and the decimals that then remain."""
    decimals, largest = two_digits(half), max(map(abs, shown))
    if decimals <= MOST_DECIMALS and largest < LARGEST:
        return 0, decimals
    power = math.floor(math.log10(largest))
    return power, decimals + power


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
