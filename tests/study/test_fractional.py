"""Every fraction has the resolution that it claims and no alias that it does not tell, by brute force over its runs."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from ablate.study.fractional import GENERATORS, MOST_FACTORS, Fraction, smallest_fraction

ALL = [Fraction(runs.bit_length() - 1, made) for runs, of in GENERATORS.items() for made in of.values()]
ASKED = [(factors, resolution) for resolution in (3, 4, 5) for factors in range(3, MOST_FACTORS + 1)]


def _name(fraction: Fraction) -> str:
    return f"{len(fraction.columns)} in {fraction.size}"


def signs(fraction: Fraction) -> np.ndarray:
    """Its runs as +1 (reference) and -1, runs x Factors."""
    return 1 - 2 * np.array(list(fraction.runs()))


def contrast(signs: np.ndarray, effect: tuple[int, ...]) -> np.ndarray:
    return np.prod(signs[:, effect], axis=1)


@pytest.mark.parametrize("fraction", ALL, ids=_name)
def test_columns_are_balanced_and_orthogonal(fraction: Fraction) -> None:
    """Each Level stands in half of the runs, and with each Level of another Factor in a quarter; no run is twice."""
    runs = list(fraction.runs())
    assert len(set(runs)) == len(runs) == fraction.size
    assert not any(runs[0])
    x = signs(fraction)
    assert np.array_equal(x.T @ x, fraction.size * np.eye(x.shape[1]))


@pytest.mark.parametrize("fraction", ALL, ids=_name)
def test_the_resolution_is_that_of_the_runs(fraction: Fraction) -> None:
    """No product of fewer Factors than the resolution is constant over the runs, and one of as many is."""
    x = signs(fraction)
    shortest = next(
        length
        for length in range(1, x.shape[1] + 1)
        if any(abs(contrast(x, word).sum()) == len(x) for word in itertools.combinations(range(x.shape[1]), length))
    )
    assert fraction.resolution == shortest


@pytest.mark.parametrize("fraction", ALL, ids=_name)
def test_aliases_are_what_the_runs_cannot_tell_apart(fraction: Fraction) -> None:
    """Two effects are aliases if and only if their contrasts are equal up to sign."""
    x = signs(fraction)
    names = [f"f{i}" for i in range(x.shape[1])]
    numbers = range(x.shape[1])
    effects = [(i,) for i in numbers] + list(itertools.combinations(numbers, 2))
    alike = abs(np.array([contrast(x, e) for e in effects]) @ np.array([contrast(x, e) for e in effects]).T) == len(x)
    texts = [":".join(names[i] for i in effect) for effect in effects]
    expected = {
        text: {texts[other] for other in np.flatnonzero(row) if texts[other] != text}
        for text, row in zip(texts, alike, strict=True)
        if row.sum() > 1
    }
    assert {effect: set(others) for effect, others in fraction.aliases(names).items()} == expected


@pytest.mark.parametrize(("factors", "resolution"), ASKED)
def test_what_is_asked_for_is_given(factors: int, resolution: int) -> None:
    """At least the resolution asked for, in fewer runs than all; nothing only where no fraction has it."""
    fraction = smallest_fraction(factors, resolution)
    if factors < resolution:
        assert fraction is None
    else:
        assert fraction is not None
        assert fraction.resolution >= resolution
        assert len(fraction.columns) == factors
        assert fraction.size < 2**factors


def _independent(base: int, count: int, resolution: int) -> bool:
    """Whether GF(2)^base has so many vectors of which any resolution - 1 are independent, the base among them."""

    def spans(chosen: list[int]) -> set[int]:
        sums = {0}
        for size in range(1, resolution - 1):
            for some in itertools.combinations(chosen, size):
                sums.add(int(np.bitwise_xor.reduce(some)))
        return sums

    def extend(chosen: list[int], start: int) -> bool:
        if len(chosen) == count:
            return True
        taken = spans(chosen)
        return any(extend([*chosen, v], v + 1) for v in range(start, 2**base) if v not in taken)

    return extend([1 << i for i in range(base)], 3)


@pytest.mark.parametrize(("factors", "resolution"), [(k, r) for k, r in ASKED if r <= k <= 8])
def test_half_the_runs_would_not_do(factors: int, resolution: int) -> None:
    """No regular fraction of half the size has the resolution, as a search through all of them shows."""
    fraction = smallest_fraction(factors, resolution)
    assert fraction is not None
    assert not _independent(fraction.base - 1, factors, resolution)


def _lengths(base: int, generated: tuple[int, ...]) -> list[int]:
    counts = Counter(word.bit_count() for word in Fraction(base, generated).words())
    return [counts[length] for length in range(1, base + len(generated) + 1)]


@pytest.mark.parametrize("factors", range(5, 16))
def test_sixteen_runs_have_minimum_aberration(factors: int) -> None:
    """No other choice of columns has fewer words of the shortest length in which they differ."""
    pool = [column for column in range(1, 16) if column.bit_count() > 1]
    best = min(_lengths(4, chosen) for chosen in itertools.combinations(pool, factors - 4))
    assert _lengths(4, GENERATORS[16][factors]) == best


@pytest.mark.parametrize(
    ("factors", "runs", "words"),
    [(7, 16, {4: 7}), (9, 32, {4: 6, 5: 8, 8: 1}), (8, 64, {5: 2, 6: 1}), (11, 128, {5: 6, 6: 6, 7: 2, 8: 1})],
)
def test_word_lengths_are_those_of_the_catalogue(factors: int, runs: int, words: dict[int, int]) -> None:
    """Word length patterns of designs 7-3.1, 9-4.1 and 8-2.1 of Chen, Sun and Wu (1993); the last by search."""
    base = runs.bit_length() - 1
    found = {length: count for length, count in enumerate(_lengths(base, GENERATORS[runs][factors]), 1) if count}
    assert found == words
