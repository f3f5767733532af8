from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.reporting import numbers

NAN = float("nan")
magnitudes = st.floats(1e-12, 1e12)


def read(text: str) -> float:
    return float(text.replace(numbers.MINUS, "-"))


@pytest.mark.parametrize(
    ("value", "half", "text"),
    [
        (97.3142, 0.2431, "97.31 ± 0.24"),
        (97.3142, 0.4, "97.3 ± 0.4"),
        (97.3142, 0.97, "97.3 ± 1.0"),
        (46.3, 12.71, "46 ± 13"),
        (-0.004, 0.12, "0.00 ± 0.12"),
        (1234.5, 412.0, "1234 ± 412"),
        (1.23456e-8, 4e-10, "(1.23 ± 0.04)e-08"),
        (3.2e12, 4e11, "(3.2 ± 0.4)e+12"),
        (97.3142, NAN, "97.31"),
        (NAN, NAN, "—"),
    ],
)
def test_a_value_is_rounded_to_its_uncertainty(value: float, half: float, text: str) -> None:
    """One or two digits of the uncertainty, the same decimals for the value, exponents only where needed."""
    assert numbers.with_half_width(value, half) == text


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (-0.42, -1.1, 0.26, "−0.4 [−1.1, +0.3]"),
        (-44.0, -48.3, -39.9, "−44 [−48, −40]"),
        (0.42, NAN, NAN, "+0.4200"),
        (NAN, NAN, NAN, "—"),
        (2e-8, 1e-8, 3e-8, "+2.0 [+1.0, +3.0]e-08"),
    ],
)
def test_an_interval_is_signed_and_rounded_to_its_half_width(value: float, low: float, high: float, text: str) -> None:
    """Differences always carry their sign, a real minus."""
    assert numbers.with_interval(value, low, high) == text


@given(st.floats(-1e8, 1e8), st.floats(1e-6, 1e6))
def test_rounding_costs_little_of_the_uncertainty(value: float, half: float) -> None:
    """What is written differs from the value by at most 15 % of the half-width, wherever no exponent is used."""
    text = numbers.with_half_width(value, half)
    if "e" not in text:
        left, right = text.split(" ± ")
        slack = 0.15 * half + 1e-9 * abs(value)
        assert abs(read(left) - value) <= slack
        assert abs(read(right) - half) <= slack


@given(st.floats(-1e15, 1e15), magnitudes)
def test_both_sides_of_the_sign_have_the_same_decimals(value: float, half: float) -> None:
    """So that digits line up, and nothing pretends to be known better than the other."""
    found = re.findall(r"\d+(?:\.(\d+))?", numbers.with_half_width(value, half).split("e")[0])
    assert len({len(decimals) for decimals in found}) == 1


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.0004, "< 0.001"), (0.0123, "0.012"), (0.0996, "0.10"), (0.349, "0.35"), (1.0, "1.00"), (NAN, "—")],
)
def test_p_values(p: float, text: str) -> None:
    """Two digits, a bound below 0.001, a dash without a test."""
    assert numbers.p_value(p) == text


@pytest.mark.parametrize(
    ("n", "text"), [(812, "812"), (1234, "1.23k"), (147_840, "147.8k"), (21_974_632, "21.97M"), (NAN, "—")]
)
def test_counts(n: float, text: str) -> None:
    """Parameters in thousands and millions."""
    assert numbers.count(n) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (7.26, "7.3 s"),
        (9.96, "10 s"),
        (59.6, "1 min 0 s"),
        (125, "2 min 5 s"),
        (3599.9, "1 h 0 min"),
        (11_520, "3 h 12 min"),
        (NAN, "—"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    """In the two units a reader would use, without a 60 in either."""
    assert numbers.duration(seconds) == text


def test_published_numbers_keep_their_digits() -> None:
    """76.5 is not made into 76.50."""
    assert [numbers.as_given(v) for v in (76.5, 80.0, -1.25, NAN)] == ["76.5", "80", "−1.25", "—"]
