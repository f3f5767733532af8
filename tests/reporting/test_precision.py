from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.reporting.comparison import comparison
from ablate.reporting.numbers import with_interval
from ablate.reporting.precision import column_decimals, difference_decimals, mean_decimals
from ablate.study.study import Metric

NAN = float("nan")


@pytest.mark.parametrize(
    ("halves", "bounds", "least", "decimals"),
    [
        ([0.31, 0.58, 0.58, 2.1, 4.5], [], 1, 2),
        ([3.0, 7.0, NAN], [], 1, 1),
        ([3.0, 7.0, NAN], [], 0, 1),
        ([41.0, 70.0, 500.0], [], 0, 0),
        ([41.0, 70.0, 500.0], [], 1, 1),
        ([0.0031, 0.0058, 0.0058], [], 0, 4),
        ([3.0, 7.0, 0.04], [], 1, 2),
        ([3.0, 7.0, 0.06], [], 1, 1),
        ([3.0, 7.0], [-0.04, 5.0], 1, 2),
        ([3.0, 7.0], [0.0, 5.0], 1, 1),
        ([3.0, 7.0], [0.0004, 5.0], 1, 2),
        ([NAN], [], 1, 2),
        ([3e-8], [], 0, None),
        ([3.0, 2e9], [], 0, None),
    ],
)
def test_a_column_shows_two_digits_of_its_middle_uncertainty(
    halves: list[float], bounds: list[float], least: int, decimals: int | None
) -> None:
    """At least `least`, one more where something would be written as zero, none where an exponent is needed."""
    assert column_decimals([97.3, NAN], halves, bounds, least) == decimals


@given(st.lists(st.tuples(st.floats(-50, 50), st.floats(0.01, 30)), min_size=1, max_size=15))
def test_a_column_of_percentages_never_mixes_decimals_or_hides_a_sign(rows: list[tuple[float, float]]) -> None:
    """All numbers of all cells have equally many decimals, and a bound reads as on the side of zero where it lies."""
    ends = [(value - half, value + half) for value, half in rows]
    decimals = column_decimals([v for v, _ in rows], [h for _, h in rows], [e for pair in ends for e in pair], 1)
    cells = [with_interval(value, *pair, decimals) for (value, _), pair in zip(rows, ends, strict=True)]
    found = [re.findall(r"[+−]?\d+\.\d+", cell) for cell in cells]
    assert {len(number.partition(".")[2]) for numbers in found for number in numbers} == {decimals}
    for (_, *written), pair in zip(found, ends, strict=True):
        assert [text[0] in "+−" and (text[0] == "+") == (end > 0) for text, end in zip(written, pair, strict=True)] == [
            end != 0 for end in pair
        ]


def test_differences_of_single_seeds_have_the_decimals_of_the_means(fake: SimpleNamespace) -> None:
    """Without an interval a difference is not written more finely than the numbers that it comes from."""
    study = fake.study(("baseline", "a"), seeds=(0,))
    compared = comparison(study, fake.records(study, {"baseline": [97.25], "a": [97.375]}))
    assert (mean_decimals(compared), difference_decimals(compared)) == (2, 2)


def test_a_tenth_is_the_least_for_percentages_alone(fake: SimpleNamespace) -> None:
    """With the same spread, another unit may have whole numbers."""
    values = {"baseline": [100.0, 300.0, 500.0], "a": [200.0, 400.0, 700.0]}
    for unit, decimals in (("%", 1), ("ms", 0)):
        study = fake.study(("baseline", "a"), metric=Metric("top1", "maximize", unit))
        assert mean_decimals(comparison(study, fake.records(study, values))) == decimals
