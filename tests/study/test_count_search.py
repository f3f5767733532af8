from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.study.count_search import closest


@given(
    works=st.sets(st.integers(1, 400), min_size=1),
    wanted=st.integers(0, 200_000),
    falls=st.booleans(),
    flat=st.integers(1, 7),
    data=st.data(),
)
def test_the_search_finds_the_nearest_count(
    works: set[int], wanted: int, falls: bool, flat: int, data: st.DataObject
) -> None:
    """Of all values that work, within reach, none has a nearer count, whether counts rise or fall, or stand still."""
    start = data.draw(st.sampled_from(sorted(works)))
    count = {v: (160_000 - (v // flat) ** 2) if falls else (v // flat) ** 2 + 3 for v in works}
    asked: list[int] = []

    def count_at(value: int) -> int | None:
        asked.append(value)
        return count.get(value)

    found, parameters = closest(start, count[start], wanted, count_at)
    assert count[found] == parameters
    near = [v for v in works if v <= 64 * start and not _beyond_a_gap(works, start, v)]
    assert abs(parameters - wanted) == min(abs(count[v] - wanted) for v in near)
    assert all(1 <= v <= 64 * start for v in asked)


def _beyond_a_gap(works: set[int], start: int, value: int) -> bool:
    between = sorted(v for v in works if min(start, value) <= v <= max(start, value))
    return any(b - a > 256 for a, b in itertools.pairwise(between))


def test_the_search_asks_few() -> None:
    """From a width of 384 to one of 1,000 it builds fewer than 40 models, of a multiple of 12 each."""
    counted: list[int] = []

    def count_at(value: int) -> int | None:
        if value % 12:
            return None
        counted.append(value)
        return value**2

    found, _ = closest(384, 384**2, 1000**2, count_at)
    assert found == 996
    assert len(counted) < 40
    assert found**2 == pytest.approx(1000**2, rel=0.01)
