"""A job's time limit as people and Slurm write it, in minutes."""

from __future__ import annotations

import math
import re

#: The longest limit that is taken for one, in minutes: a year.
LONGEST_MIN = 366 * 24 * 60
_UNITS_MIN = {"d": 24 * 60.0, "h": 60.0, "m": 1.0, "min": 1.0, "s": 1 / 60}
_PIECE = r"(\d+(?:\.\d+)?)\s*(d|h|min|m|s)"
_WRITE = "write '4h', '90m', '1d12h', '1-12:00:00', '04:00:00' or a number of minutes"


def minutes(value: object) -> int:
    """Whole minutes, rounded up, of ``4h``, ``90m``, ``1d12h``, or any of Slurm's own forms.

    Slurm's forms are minutes, minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes and
    days-hours:minutes:seconds; a bare number is minutes (https://slurm.schedmd.com/sbatch.html#OPT_time).
    Raises ValueError for anything else, for no time at all and for more than a year.
    """
    found = _minutes(value)
    if found is None:
        raise ValueError(f"{value!r} is no time; {_WRITE}")
    if not 0 < found <= LONGEST_MIN:
        raise ValueError(f"{value!r} is {'longer than a year' if found > 0 else 'no time at all'}; {_WRITE}")
    return math.ceil(round(found, 6))


def in_words(whole_minutes: int) -> str:
    """``4 h``, ``90 min``, ``1 d 12 h``: for messages."""
    days, rest = divmod(whole_minutes, 24 * 60)
    hours, left = divmod(rest, 60)
    if not days and hours < 2:
        return f"{whole_minutes} min"
    return " ".join(f"{n} {unit}" for n, unit in ((days, "d"), (hours, "h"), (left, "min")) if n)


def _minutes(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    text = str(value).strip().lower()
    if re.fullmatch(f"(?:{_PIECE}\\s*)+", text):
        return sum(float(number) * _UNITS_MIN[unit] for number, unit in re.findall(_PIECE, text))
    return _slurm(text)


def _slurm(text: str) -> float | None:
    """Slurm's own forms; None for what is none of them."""
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text)
    if match is None:
        return None
    days, *given = match.groups()
    numbers = [int(number) for number in given if number is not None]
    if days is None and len(numbers) < 3:  # minutes, or minutes:seconds
        return numbers[0] + sum(numbers[1:]) / 60
    hours, left, seconds = (*numbers, 0, 0)[:3]
    return int(days or 0) * 24 * 60 + hours * 60 + left + seconds / 60
