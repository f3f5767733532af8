"""Overrides change the fields they name and nothing else."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.study.overrides import MISSING, OverrideError, apply, differences, flatten, overlap, settings

KEYS = st.text(st.sampled_from("abcd"), min_size=1, max_size=2)
SCALARS = st.one_of(st.integers(-3, 3), st.booleans(), st.sampled_from(["off", "x"]), st.none(), st.floats(-2, 2))
TREES = st.recursive(
    st.dictionaries(KEYS, SCALARS, min_size=1, max_size=3),
    lambda inner: st.dictionaries(KEYS, st.one_of(inner, SCALARS), min_size=1, max_size=3),
    max_leaves=10,
)


@st.composite
def trees_and_overrides(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """A tree, and new values for some of its leaves, by dotted name."""
    tree = draw(TREES)
    leaves = [field for field, _ in flatten(tree)]
    chosen = draw(st.lists(st.sampled_from(leaves), unique=True, max_size=4))
    return tree, {field: draw(SCALARS) for field in chosen}


def _nested(overrides: dict[str, Any]) -> dict[str, Any]:
    """The same overrides, written as nested mappings."""
    tree: dict[str, Any] = {}
    for field, value in overrides.items():
        *owners, last = field.split(".")
        node = tree
        for key in owners:
            node = node.setdefault(key, {})
        node[last] = value
    return tree


@given(trees_and_overrides())
def test_only_the_named_leaves_change(case: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Every leaf that is named has its new value, every other its old one, and the tree given stays as it was."""
    tree, overrides = case
    before = copy.deepcopy(tree)
    after = dict(flatten(apply(tree, overrides, parts=False)))
    assert after == dict(flatten(tree)) | overrides
    assert tree == before


@given(trees_and_overrides())
def test_applying_twice_is_applying_once(case: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Overrides say what a field is, not how it changes."""
    tree, overrides = case
    once = apply(tree, overrides, parts=False)
    assert apply(once, overrides, parts=False) == once


@given(trees_and_overrides())
def test_nested_and_dotted_are_one(case: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Both ways of writing set the same fields to the same values."""
    tree, overrides = case
    assert apply(tree, _nested(overrides), parts=False) == apply(tree, overrides, parts=False)
    assert sorted(settings(_nested(overrides), parts=False), key=str) == sorted(overrides.items(), key=str)


@given(trees_and_overrides())
def test_differences_lead_from_one_to_the_other(case: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """What differs, applied to what was before, gives what is after; and equal trees have no differences."""
    tree, overrides = case
    after = apply(tree, overrides, parts=False)
    changes = differences(tree, after)
    assert apply(tree, {field: new for field, (_, new) in changes.items()}, parts=False) == after
    assert apply(after, {field: old for field, (old, _) in changes.items()}, parts=False) == tree
    assert set(changes) <= set(overrides)
    assert differences(after, after) == {}


@given(TREES, st.text(st.sampled_from("wxyz"), min_size=1, max_size=3))
def test_nothing_is_created(tree: dict[str, Any], name: str) -> None:
    """A field that does not exist is an error, at the top and in every section."""
    with pytest.raises(OverrideError):
        apply(tree, {name: 1}, parts=False)
    for field, _ in flatten(tree):
        with pytest.raises(OverrideError):
            apply(tree, {f"{field}.{name}": 1}, parts=False)


def _vision() -> dict[str, Any]:
    position = {"name": "sincos2d", "temperature": 1e4}
    return {"model": {"position": position, "dim": 8}, "augment": {"randaug": {"layers": 2, "level": 5.0}}}


@pytest.mark.parametrize(
    "overrides",
    [
        {"model.position": "learned"},
        {"model": {"position": "learned"}},
    ],
)
def test_a_part_by_name_replaces_the_whole_part(overrides: dict[str, Any]) -> None:
    """No option of the part before is left behind."""
    assert apply(_vision(), overrides, parts=True)["model"]["position"] == "learned"


@pytest.mark.parametrize(
    "overrides",
    [
        {"model.position": {"name": "learned"}},
        {"model.position.name": "learned"},
        {"model": {"position": {"name": "learned"}}},
        {"model": {"position.name": "learned"}},
    ],
)
def test_naming_a_part_drops_the_options_before(overrides: dict[str, Any]) -> None:
    """However the name is written, options of another part do not follow it."""
    assert apply(_vision(), overrides, parts=True)["model"]["position"] == {"name": "learned"}
    assert [field for field, _ in settings(overrides, parts=True)] == ["model.position"]


def test_an_option_alone_keeps_the_part() -> None:
    """A mapping without a name changes the options that it names."""
    for overrides in ({"model.position": {"temperature": 1.0}}, {"model.position.temperature": 1.0}):
        changed = apply(_vision(), overrides, parts=True)
        assert changed["model"]["position"] == {"name": "sincos2d", "temperature": 1.0}


def test_a_switched_off_section_differs_as_a_whole() -> None:
    """The mapping stands against `off`, not field by field."""
    after = apply(_vision(), {"augment.randaug": "off"}, parts=True)
    assert differences(_vision(), after) == {"augment.randaug": ({"layers": 2, "level": 5.0}, "off")}


def test_parts_differ_by_name_and_by_the_options_that_are_no_defaults() -> None:
    """Another part is told as one would write it; the same part with another option by that option."""
    changed = {"name": "sincos2d", "temperature": 7.0}
    other = {"model": {"position": {"name": "learned"}}}
    assert differences(other, {"model": {"position": changed}}) == {"model.position": ("learned", changed)}
    plain = {"model": {"position": {"name": "sincos2d", "temperature": 10_000.0}}}
    assert differences(other, plain) == {"model.position": ("learned", "sincos2d")}
    assert differences(plain, {"model": {"position": changed}}) == {"model.position.temperature": (10_000.0, 7.0)}


def test_a_users_mapping_may_look_like_a_model() -> None:
    """Names that the vision trainer has a meaning for have none in a Recipe of the user's own."""
    before = {"model": {"stem": {"width": 1}, "head": {"name": "a", "size": 1}}}
    after = {"model": {"stem": {"width": 2}, "head": {"name": "b", "size": 2}}}
    assert differences(before, after) == {
        "model.stem.width": (1, 2),
        "model.head": ({"name": "a", "size": 1}, {"name": "b", "size": 2}),
    }


def test_one_and_true_and_one_point_zero_differ() -> None:
    """Equality of Python's numbers is not equality of values."""
    assert differences({"a": 1, "b": 1}, {"a": True, "b": 1.0}) == {"a": (1, True), "b": (1, 1.0)}


def test_a_field_that_one_side_lacks_is_told() -> None:
    """Fields of a section that was null before stand against a dash."""
    assert differences({"a": {"x": 1}}, {"a": {"x": 1, "y": 2}}) == {"a.y": (MISSING, 2)}


def test_overlap_is_containment_by_whole_names() -> None:
    """`a.b` contains `a.b.c` and not `a.bc`."""
    assert overlap("a.b", "a.b")
    assert overlap("a", "a.b")
    assert overlap("a.b.c", "a.b")
    assert not overlap("a.b", "a.bc")
