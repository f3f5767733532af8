"""YAML 1.2 as plain values with their places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ablate.study.document import Document, parse_value, read_document
from ablate.study.errors import StudyError


def _read(tmp_path: Path, text: str) -> Document:
    path = tmp_path / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return read_document(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1.5E+3", 1500.0),
        (".5", 0.5),
        ("-2", -2),
        ("010", 10),
        ("0x1F", 31),
        ("0o17", 15),
        ("1_000", 1000),
        ("off", "off"),
        ("no", "no"),
        ("yes", "yes"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("2001-01-01", "2001-01-01"),
        ("12:30:45", "12:30:45"),
        ("'1e-3'", "1e-3"),
        ("!!str 10", "10"),
        ("[1, {a: off}]", [1, {"a": "off"}]),
    ],
)
def test_values_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    """Numbers are numbers, and `off`, dates and times are words."""
    read = parse_value(text)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    "text", [".inf", "-.inf", ".nan", "1e999", "9" * 30, "9" * 5000, "!!int x", "!!set {a}", "!mine 1"]
)
def test_values_that_json_or_a_recipe_cannot_hold_are_errors(text: str) -> None:
    """Infinities, NaN, giant integers and tags of any kind end in a StudyError."""
    with pytest.raises(StudyError):
        parse_value(text)


def test_places_are_those_of_keys_and_items(tmp_path: Path) -> None:
    """Line and column count from one and point at the key, or at the item of a list."""
    document = _read(tmp_path, "a: 1\nb:\n  c: {d: 2}\n  e:\n    - x\n    - y\n")
    assert document.places[("b", "c", "d")] == (3, 7)
    assert document.places[("b", "e", 1)] == (6, 7)
    assert str(document.problem("wrong", ("b", "c", "missing"))) == f"{tmp_path / 'study.yaml'}:3:3: wrong"


def test_keys_are_named_as_they_are_written(tmp_path: Path) -> None:
    """A number as a key is its own text, and a number as a value can be asked for its text."""
    document = _read(tmp_path, "levels: {10: a, 1e-5: b, 0.10: c}\nreference: 1e-5\n")
    assert list(document.tree["levels"]) == ["10", "1e-5", "0.10"]
    assert document.name_at(("reference",), document.tree["reference"]) == "1e-5"


def test_anchors_aliases_and_merge_keys_work(tmp_path: Path) -> None:
    """A merged mapping's own keys win, and a merged key's place is where its text stands."""
    document = _read(tmp_path, "x: &x\n  p: 1\n  q: 2\ny:\n  <<: *x\n  q: 3\nz: *x\nw: {<<: [{q: 5}, *x]}\n")
    assert document.tree["y"] == {"p": 1, "q": 3}
    assert document.tree["z"] == {"p": 1, "q": 2}
    assert document.tree["w"] == {"p": 1, "q": 5}
    assert document.places[("y", "p")] == (2, 3)
    assert document.places[("y", "q")] == (6, 3)


def test_an_anchor_may_be_defined_anew(tmp_path: Path) -> None:
    """An alias stands for the anchor before it, as YAML has it."""
    assert _read(tmp_path, "a: &x 1\nb: *x\nc: &x 2\nd: *x\n").tree == {"a": 1, "b": 1, "c": 2, "d": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a [*a]\n", "inside of what it stands for"),
        ("a: &a {<<: *a}\n", "inside of what it stands for"),
        ("x: &x {<<: &y {<<: *y}}\n", "inside of what it stands for"),
        ("<<: 3\n", "'<<' takes a mapping"),
        ("a: 1\n? [1]\n: 2\n", "a key must be a name, not a list"),
        ("a: *b\n", "undefined alias"),
        ("%YAML 1.1\n---\na: off\n", "write true or false, not 'off'"),
        ("a: " + "[" * 60 + "]" * 60, "nested deeper than"),
        ("a: " + "[" * 1000, "not YAML"),
    ],
)
def test_what_cannot_be_plain_values_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    """Loops, bombs and keys that are no names are told, not met as an exception of another kind."""
    with pytest.raises(StudyError, match=message):
        _read(tmp_path, text)


def test_aliases_cannot_unfold_without_bound(tmp_path: Path) -> None:
    """Seven lines that stand for ten million values are refused."""
    lines = ["a: &a [1]"] + [
        f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]" for a, b in zip("abcdefg", "bcdefgh", strict=True)
    ]
    with pytest.raises(StudyError, match="more values of this than a study can have"):
        _read(tmp_path, "\n".join(lines))


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    """Files from Windows editors begin with one."""
    assert _read(tmp_path, "\ufeffa: 1\n").tree == {"a": 1}
