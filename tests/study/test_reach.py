"""Whether a greedy ladder can get to a point, against all that it gets to when it is climbed in every way."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.study import reach as study_reach
from ablate.study.axes import Point
from ablate.study.reach import Reach
from ablate.study.rules import Rule, Rules

SIZES = (2, 2, 3, 2)
AXES = range(len(SIZES))
#: What a step does: up to two axes, each to any of its places, the reference too.
STEPS = st.lists(
    st.dictionaries(st.sampled_from(AXES), st.integers(0, 2), min_size=1, max_size=2).map(
        lambda places: tuple((axis, place % SIZES[axis]) for axis, place in places.items())
    ),
    min_size=1,
    max_size=6,
)
WHERE = st.dictionaries(st.sampled_from(AXES), st.frozensets(st.integers(0, 2), min_size=1), min_size=1, max_size=2)
RULE = st.tuples(WHERE, st.none() | WHERE).map(
    lambda both: Rule(tuple(both[0].items()), both[1] and tuple(both[1].items()), "", ())
)


def climbed(reach: Reach) -> set[Point]:
    """Everything that it gets to, by trying each step after each other as the words say it."""
    every = frozenset(range(len(reach.steps)))

    def at(made: frozenset[int]) -> Point:
        places = dict(enumerate(reach.origin))
        for number in sorted(made):
            places |= dict(reach.steps[number])
        return tuple(places.values())

    found, todo, seen = set[Point](), [every if reach.backward else frozenset[int]()], set[frozenset[int]]()
    while todo:
        made = todo.pop()
        seen.add(made)
        for step in made if reach.backward else every - made:
            further = made ^ {step}
            if at(further) != at(made) and reach.rules.allow(at(further)):
                found.add(at(further))
                todo += [] if further in seen else [further]
    return found


@settings(max_examples=300, deadline=None)
@given(steps=STEPS, rules=st.lists(RULE, max_size=3), backward=st.booleans())
def test_what_is_included_is_what_can_be_climbed(
    steps: list[study_reach.Places], rules: list[Rule], backward: bool
) -> None:
    """Steps that share axes, hide each other or lead back to a reference, constraints of both kinds, up and down."""
    reach = Reach(tuple(steps), (0,) * len(SIZES), Rules(tuple(rules)), backward)
    foot = reach.point((1 << len(steps)) - 1 if backward else 0)
    expected = climbed(reach)
    assert set(reach.rungs()) == expected
    for point in itertools.product(*map(range, SIZES)):
        if point != foot:
            assert reach.includes(point) == (point in expected)


@given(steps=STEPS, backward=st.booleans(), above=st.integers(0, 6))
def test_rungs_come_once_and_by_their_steps(steps: list[study_reach.Places], backward: bool, above: int) -> None:
    """Those of more than some steps are the rest of the list."""
    reach = Reach(tuple(steps), (0,) * len(SIZES), Rules(()), backward)
    every = list(reach.rungs())
    assert len(set(every)) == len(every)
    rest = list(reach.rungs(above=above))
    assert every[len(every) - len(rest) :] == rest


def forbidden_below(count: int) -> Reach:
    """A ladder whose last step every other one needs, and which can be taken after them alone: none ever can."""
    last = count - 1
    needs = [Rule(((axis, frozenset({1})),), ((last, frozenset({1})),), "", ()) for axis in range(last)]
    needs += [Rule(((last, frozenset({1})),), ((axis, frozenset({1})),), "", ()) for axis in range(last)]
    return Reach(tuple(((axis, 1),) for axis in range(count)), (0,) * count, Rules(tuple(needs)), backward=False)


def test_no_order_is_found_where_steps_need_each_other() -> None:
    """Every step is there and the point itself is allowed, but no rung below it is."""
    reach = forbidden_below(20)
    assert reach.rules.allow((1,) * 20)
    assert not reach.includes((1,) * 20)
    assert list(reach.rungs()) == []


def test_beyond_the_bound_a_name_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last step needs two others, which need it where they are together: to know that takes every set of steps."""
    one = frozenset({1})
    rules = Rules((Rule(((0, one), (5, one)), ((6, one),), "", ()), Rule(((6, one),), ((0, one),), "", ())))
    tied = tuple(Rule(((axis, one), (6, one), (0, frozenset({0}))), None, "", ()) for axis in range(1, 5))
    never = Rule(((6, one),), ((5, one),), "", ())
    steps = tuple(((axis, 1),) for axis in range(7))
    reach = Reach(steps, (0,) * 7, Rules((*rules.all, *tied, never)), backward=False)
    assert not reach.includes((1,) * 7)
    monkeypatch.setattr(study_reach, "MOST_SETS", 8)
    assert reach.includes((1,) * 7)


def test_free_steps_are_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of thirty steps, two of which a constraint forbids together, three sets are tried and not a thousand million."""
    monkeypatch.setattr(study_reach, "MOST_SETS", 4)
    one = frozenset({1})
    steps = tuple(((axis, 1),) for axis in range(30))
    reach = Reach(steps, (0,) * 30, Rules((Rule(((0, one), (1, one)), None, "", ()),)), backward=False)
    assert reach.includes((0, *(1,) * 29))
    assert not reach.includes((1,) * 30)
