"""Designs enumerate points: all of them, each once, the baseline first, none before it is asked for."""

from __future__ import annotations

import itertools
import math
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.study.axes import Axes, Axis, Point
from ablate.study.designs import variant_name
from ablate.study.enumerations import Changes, Crossing, Enumeration, Given, Runs
from ablate.study.fractional import smallest_fraction
from ablate.study.rules import Rule, Rules
from ablate.study.space import Space
from ablate.study.study import BASELINE, Factor, Level

NAMES = st.text(st.sampled_from("abcxyz0189.-"), min_size=1, max_size=4)
NO_RULES = Rules(())


def axes_of(factors: dict[str, Factor]) -> Axes:
    """Each Factor an axis of its own."""
    columns = [((f.name,), tuple((level,) for level in (f.reference, *f.levels))) for f in factors.values()]
    return Axes(tuple(Axis(names, levels) for names, levels in columns), factors)


def binary(count: int) -> Axes:
    """So many axes of two places."""
    return axes_of({f"f{i}": Factor(f"f{i}", "no", {"yes": Level("yes", {})}) for i in range(count)})


@st.composite
def grids(draw: st.DrawFn) -> Axes:
    """Up to four axes of two to four places, each of one Factor."""
    factors = {}
    for name in draw(st.lists(NAMES, min_size=1, max_size=4, unique=True)):
        first, *others = draw(st.lists(NAMES, min_size=2, max_size=4, unique=True))
        factors[name] = Factor(name, first, {level: Level(level, {}) for level in others})
    return axes_of(factors)


@st.composite
def designs(draw: st.DrawFn, axes: Axes) -> Enumeration:
    """One of any kind over some of the axes."""
    numbers = range(len(axes.all))
    chosen = tuple(draw(st.lists(st.sampled_from(numbers), min_size=1, unique=True)))
    made: list[Enumeration] = [
        *(Changes(axes.sizes, chosen, most) for most in (1, 2, 3)),
        Crossing(axes.sizes, chosen),
        Given(draw(st.lists(st.sampled_from(every_point(axes)), unique=True))),
    ]
    fraction = smallest_fraction(len(chosen), 3)
    if fraction is not None:
        places = tuple(draw(st.integers(1, axes.sizes[axis] - 1)) for axis in chosen)
        made.append(Runs(axes.sizes, chosen, places, fraction))
    return draw(st.sampled_from(made))


@st.composite
def rules(draw: st.DrawFn, axes: Axes) -> Rules:
    """Up to three constraints, none of which takes out the baseline."""
    places = st.dictionaries(
        st.sampled_from(range(len(axes.all))), st.frozensets(st.integers(0, 3), min_size=1), min_size=1
    )
    wheres = places.map(lambda chosen: tuple(chosen.items()))
    made = draw(st.lists(st.builds(Rule, wheres, st.none() | wheres, st.just("rule"), st.just(())), max_size=3))
    return Rules(tuple(rule for rule in made if not rule.forbids(axes.origin)))


def every_point(axes: Axes) -> list[Point]:
    return list(itertools.product(*map(range, axes.sizes)))


def changed(point: Point) -> int:
    return sum(map(bool, point))


@given(grids())
def test_one_at_a_time_has_every_level_alone(axes: Axes) -> None:
    """1 + sum(levels - 1) points, each different from the baseline on one axis at most."""
    found = list(Changes(axes.sizes, tuple(range(len(axes.all))), 1))
    assert found[0] == axes.origin
    assert len(set(found)) == len(found) == 1 + sum(size - 1 for size in axes.sizes)
    assert [changed(point) for point in found] == [0] + [1] * (len(found) - 1)


@given(grids())
def test_pairs_have_each_level_alone_and_each_two_together(axes: Axes) -> None:
    """One at a time first, then the product of the Levels of each two Factors."""
    found = list(Changes(axes.sizes, tuple(range(len(axes.all))), 2))
    others = [size - 1 for size in axes.sizes]
    counts = Counter(map(changed, found))
    assert len(set(found)) == len(found)
    assert (counts[0], counts[1]) == (1, sum(others))
    assert counts[2] == sum(a * b for a, b in itertools.combinations(others, 2))
    assert [changed(point) for point in found] == sorted(changed(point) for point in found)


@given(grids())
def test_factorial_has_every_combination(axes: Axes) -> None:
    """product(levels) points, each once, the baseline first."""
    found = list(Crossing(axes.sizes, tuple(range(len(axes.all)))))
    assert found[0] == axes.origin
    assert len(set(found)) == len(found) == math.prod(axes.sizes)


@given(st.data(), grids())
def test_a_design_knows_its_size_and_its_points_without_going_through_them(data: st.DataObject, axes: Axes) -> None:
    """`size` counts what the enumeration gives, and `in` tells it from all others."""
    design = data.draw(designs(axes))
    found = list(design)
    assert len(set(found)) == len(found) == design.size
    assert {point for point in every_point(axes) if point in design} == set(found)
    assert (*axes.origin, 0) not in design
    assert (*axes.origin[1:], 9) not in design


@settings(max_examples=60)
@given(st.data(), grids())
def test_a_space_is_the_union_of_its_designs_less_what_constraints_forbid(data: st.DataObject, axes: Axes) -> None:
    """Nothing is lost, doubled or trained against a constraint, and the baseline stays first."""
    asked = data.draw(st.lists(designs(axes), min_size=1, max_size=3))
    constraints = data.draw(rules(axes))
    space = Space(axes, asked, constraints)
    found = list(space)
    assert found[0] == axes.origin
    assert len(set(found)) == len(found) == space.size
    assert all(constraints.broken_by(point) is None for point in found)
    allowed = {p for design in asked for p in design if not any(rule.forbids(p) for rule in constraints.all)}
    assert set(found) == allowed | {axes.origin}
    assert {point for point in every_point(axes) if point in space} == set(found)


@settings(max_examples=50)
@given(st.data(), grids())
def test_the_least_company_of_a_level_is_allowed(data: st.DataObject, axes: Axes) -> None:
    """Alone where that is allowed, else in the point of the space with the fewest changes that has it."""
    space = Space(axes, [Crossing(axes.sizes, tuple(range(len(axes.all))))], data.draw(rules(axes)))
    for axis, size in enumerate(axes.sizes):
        for place in range(1, size):
            having = [changed(point) for point in space if point[axis] == place]
            nearest = space.nearest(axis, place)
            assert (nearest is None) == (not having)
            assert nearest is None or (nearest in space and changed(nearest) == min(having))


@given(grids())
def test_names_tell_points_apart(axes: Axes) -> None:
    """Different Levels give different names, and only the baseline is called so."""
    points = every_point(axes)
    names = [axes.name(point) for point in points]
    assert len(set(names)) == len(names)
    assert [name == BASELINE for name in names] == [True] + [False] * (len(names) - 1)
    assert names == [variant_name(axes.levels(point), axes.factors) for point in points]
    assert [axes.at(axes.levels(point)) for point in points] == points


def test_enumeration_is_lazy() -> None:
    """The first points of 2^200 come at once, and their number is known."""
    axes = binary(200)
    whole = Crossing(axes.sizes, tuple(range(200)))
    space = Space(axes, [whole], NO_RULES)
    assert [axes.name(point) for point in itertools.islice(space, 3)] == [BASELINE, "f199=yes", "f198=yes"]
    assert space.size == space.bound == 2**200
    assert (1,) * 200 in space


def test_a_factorial_of_two_to_the_sixteenth_is_counted_with_constraints() -> None:
    """Of 65,536 points a forbidden pair takes a quarter, and a requirement another quarter of the rest."""
    axes = binary(16)
    pair = Rule(((0, frozenset({1})), (1, frozenset({1}))), None, "", ())
    needs = Rule(((2, frozenset({1})),), ((3, frozenset({1})),), "", ())
    space = Space(axes, [Crossing(axes.sizes, tuple(range(16)))], Rules((pair, needs)))
    assert space.size == 2**16 * 9 // 16
