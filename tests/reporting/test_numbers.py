from __future__ import annotations

import math
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
        (97.3142, 0.4, "97.31 ± 0.40"),
        (97.3142, 5.728, "97.3 ± 5.7"),
        (46.3, 12.71, "46 ± 13"),
        (-0.004, 0.12, "−0.00 ± 0.12"),
        (1234.5, 412.0, "1234 ± 412"),
        (1.23456e-8, 4e-10, "(1.235 ± 0.040)e-08"),
        (3.2e12, 4e11, "(3.20 ± 0.40)e+12"),
        (97.3142, NAN, "97.31"),
        (NAN, NAN, "—"),
    ],
)
def test_a_value_is_rounded_to_its_uncertainty(value: float, half: float, text: str) -> None:
    """Two digits of the uncertainty, the same decimals for the value, exponents only where needed."""
    assert numbers.with_half_width(value, half) == text


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (-0.42, -1.1, 0.26, "−0.42 [−1.10, +0.26]"),
        (-4.8, -10.04, 0.43, "−4.8 [−10.0, +0.4]"),
        (1.63, -1.97, 5.23, "+1.6 [−2.0, +5.2]"),
        (0.172, 0.004, 0.34, "+0.17 [+0.00, +0.34]"),
        (0.0, -1.0, 1.0, "0.0 [−1.0, +1.0]"),
        (0.42, NAN, NAN, "+0.4200"),
        (NAN, NAN, NAN, "—"),
        (2e-8, 1e-8, 3e-8, "+2.0 [+1.0, +3.0]e-08"),
    ],
)
def test_an_interval_is_signed_and_rounded_to_its_half_width(value: float, low: float, high: float, text: str) -> None:
    """Differences always carry their sign, a real minus; so does what is not zero but rounds to it."""
    assert numbers.with_interval(value, low, high) == text


@pytest.mark.parametrize(
    ("low", "high", "decimals", "text"),
    [
        (-0.312, 1.15, 2, "[−0.31, +1.15]"),
        (-0.312, 1.15, None, "[−0.31, +1.15]"),
        (1e-8, 3e-8, None, "[+1.0, +3.0]e-08"),
        (0.5, 0.5, None, "[+0.50, +0.50]"),
        (NAN, 1.0, 2, "—"),
        (-math.inf, 1.0, 2, "—"),
    ],
)
def test_an_interval_stands_by_itself(low: float, high: float, decimals: int | None, text: str) -> None:
    """Both ends are signed and rounded alike; a half-known interval is none."""
    assert numbers.ends(low, high, decimals) == text


@given(st.floats(-1e8, 1e8), st.floats(1e-6, 1e6))
def test_rounding_costs_little_of_the_uncertainty(value: float, half: float) -> None:
    """What is written differs from the value by at most 5 % of the half-width, wherever no exponent is used."""
    text = numbers.with_half_width(value, half)
    if "e" not in text:
        left, right = text.split(" ± ")
        slack = 0.05 * half + 1e-9 * abs(value)
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


@pytest.mark.parametrize(
    ("decimals", "texts"),
    [
        (1, ["97.3 ± 0.2", "97.3", "+0.2 ± 0.0", "+0.4 [−0.3, +1.2]", "+0.4", "—"]),
        (3, ["97.314 ± 0.243", "97.314", "+0.200 ± 0.010", "+0.420 [−0.310, +1.150]", "+0.420", "—"]),
    ],
)
def test_the_decimals_of_a_column_go_before_those_of_a_cell(decimals: int, texts: list[str]) -> None:
    """With or without an uncertainty, every cell has as many as it is told."""
    assert [
        numbers.with_half_width(97.3142, 0.2431, decimals),
        numbers.with_half_width(97.3142, NAN, decimals),
        numbers.with_half_width(0.2, 0.01, decimals, sign=True),
        numbers.with_interval(0.42, -0.31, 1.15001, decimals),
        numbers.with_interval(0.42, NAN, NAN, decimals),
        numbers.with_interval(NAN, NAN, NAN, decimals),
    ] == texts


def test_published_numbers_keep_their_digits() -> None:
    """75.0 is made neither into 75 nor into 75.00, and an exponent is left alone."""
    assert [numbers.as_given(v) for v in ("75.0", "-1.25", "1e-5", "≈ 83")] == ["75.0", "−1.25", "1e-5", "≈ 83"]
