"""Designs enumerate Variants: all of them, each once, the baseline first, none before it is asked for."""

from __future__ import annotations

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from ablate.study.designs import DESIGNS, factorial, listed, one_at_a_time, reference, size, union, variant_name
from ablate.study.study import BASELINE, Factor, Level

NAMES = st.text(st.sampled_from("abcxyz0189.-"), min_size=1, max_size=4)


@st.composite
def factors(draw: st.DrawFn, most: int = 4) -> dict[str, Factor]:
    """Up to four Factors of two to four Levels."""
    made = {}
    for name in draw(st.lists(NAMES, min_size=1, max_size=most, unique=True)):
        first, *others = draw(st.lists(NAMES, min_size=2, max_size=4, unique=True))
        made[name] = Factor(name, first, {level: Level(level, {}) for level in others})
    return made


def _keys(assignments: list[dict[str, str]]) -> list[tuple[str, ...]]:
    return [tuple(a.values()) for a in assignments]


@given(factors())
def test_one_at_a_time_has_every_level_alone(space: dict[str, Factor]) -> None:
    """1 + sum(levels - 1) Variants, each different from the baseline in one Factor at most."""
    found = list(one_at_a_time(space))
    assert found[0] == reference(space)
    assert len(set(_keys(found))) == len(found) == 1 + sum(len(f.levels) for f in space.values())
    changed = [sum(level != space[f].reference for f, level in a.items()) for a in found]
    assert changed == [0] + [1] * (len(found) - 1)


@given(factors())
def test_factorial_has_every_combination(space: dict[str, Factor]) -> None:
    """product(levels) Variants, each once, the baseline first."""
    found = list(factorial(space))
    assert found[0] == reference(space)
    assert len(set(_keys(found))) == len(found) == math.prod(1 + len(f.levels) for f in space.values())


@given(factors(), st.lists(st.sampled_from(sorted(DESIGNS)), min_size=1, max_size=3))
def test_a_union_has_what_its_designs_have_each_once(space: dict[str, Factor], names: list[str]) -> None:
    """Nothing is lost or doubled, and the baseline stays first."""
    found = _keys(list(union(names, space)))
    assert len(set(found)) == len(found)
    assert set(found) == {tuple(a.values()) for name in names for a in DESIGNS[name](space)}
    assert found[0] == tuple(reference(space).values())


@given(factors())
def test_names_tell_variants_apart(space: dict[str, Factor]) -> None:
    """Different Levels give different names, and only the baseline is called so."""
    names = [variant_name(a, space) for a in factorial(space)]
    assert len(set(names)) == len(names)
    assert [n == BASELINE for n in names] == [True] + [False] * (len(names) - 1)


@given(factors(), st.sampled_from(sorted(DESIGNS)))
def test_the_size_of_a_design_is_known_without_enumerating_it(space: dict[str, Factor], name: str) -> None:
    """It is the number of Variants that the enumeration gives."""
    assert size(name, space) == len(list(DESIGNS[name](space)))


def test_enumeration_is_lazy() -> None:
    """The first Variants of 2^200 come at once."""
    space = {f"f{i}": Factor(f"f{i}", "no", {"yes": Level("yes", {})}) for i in range(200)}
    first, second = itertools.islice(union(["factorial"], space), 2)
    assert variant_name(first, space) == BASELINE
    assert variant_name(second, space) == "f199=yes"


def test_a_factorial_of_two_to_the_sixteenth_is_whole() -> None:
    """65,536 Variants, each once."""
    space = {f"f{i}": Factor(f"f{i}", "no", {"yes": Level("yes", {})}) for i in range(16)}
    assert len({tuple(a.values()) for a in factorial(space)}) == 2**16


def test_a_listed_design_is_the_baseline_alone() -> None:
    """The study's own list is added elsewhere."""
    space = {"a": Factor("a", "x", {"y": Level("y", {})})}
    assert list(listed(space)) == [{"a": "x"}]
