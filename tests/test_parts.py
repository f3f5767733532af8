"""The catalogue of parts reads options from sources that it does not import."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import pytest

from ablate.parts import KINDS, PartError, SourceError, options_of, source_tree, target_of

SOURCE = '''\
"""A module that may not be imported."""
raise SystemExit("imported")


class Base:
    def __init__(self, dim, *, width: int, rate: float = 0.5, kind: Literal["a", "b"] = "a", maybe: int | None = None,
                 quoted: "bool" = True, other: Tensor = None, untyped=-1, odd: int.real = 3, bare: int[str] = 4):
        pass


class Child(Base):
    """Without a constructor of its own."""


class Plain:
    pass


class Computed:
    def __init__(self, *, width: int = 2 * 3):
        pass


class Round(Trip):
    pass


class Trip(Round):
    pass
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module on the path."""
    (tmp_path / "parts_to_read.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    return "parts_to_read"


def test_options_are_the_keyword_only_parameters(module: str) -> None:
    """Types made of plain types and Literal are known, others are left to the class; a base's constructor counts."""
    found = options_of(f"{module}:Child")
    annotations = {name: option.annotation for name, option in found.items()}
    assert annotations == {
        "width": int,
        "rate": float,
        "kind": Literal["a", "b"],
        "maybe": int | None,
        "quoted": bool,
        "other": Any,
        "untyped": Any,
        "odd": Any,
        "bare": Any,
    }
    assert [name for name, option in found.items() if option.required] == ["width"]
    assert (found["rate"].default, found["untyped"].default) == (0.5, -1)
    assert module not in sys.modules


def test_a_class_without_a_constructor_has_no_options(module: str) -> None:
    """Nor have two classes that are each other's base."""
    assert options_of(f"{module}:Plain") == {}
    assert options_of(f"{module}:Round") == {}


def test_a_default_must_be_a_literal(module: str) -> None:
    """What would have to be computed cannot be known without running the user's code."""
    with pytest.raises(PartError, match=r"the default of option 'width' .* must be a literal"):
        options_of(f"{module}:Computed")


def test_a_class_that_does_not_exist_is_told_with_those_that_do(module: str) -> None:
    """And with the nearest name."""
    with pytest.raises(PartError, match=r"defines no class 'Chidl'; it defines Base, Child, .*; did you mean 'Child'"):
        options_of(f"{module}:Chidl")


def test_an_edited_source_is_read_anew(module: str, tmp_path: Path) -> None:
    """A user edits a part between two readings in one process, and both are right."""
    assert "width" in options_of(f"{module}:Base")
    (tmp_path / f"{module}.py").write_text(SOURCE.replace("width: int,", "height: int,"))
    assert next(iter(options_of(f"{module}:Base"))) == "height"


@pytest.mark.parametrize("name", ["no_such_module", "no.such.module", "", ".relative", "sys", "a..b", "os.path.join"])
def test_a_module_without_a_source_is_an_error_of_its_own(name: str) -> None:
    """Missing, malformed, built in: SourceError, whatever Python's finders raise."""
    with pytest.raises(SourceError):
        source_tree(name)


def test_a_name_is_of_the_catalogue_or_a_path() -> None:
    """Names lead to our classes, paths stand for themselves, others are told with the choices."""
    assert target_of("head", "linear") == KINDS["head"]["linear"]
    assert target_of("head", "mine:Head") == "mine:Head"
    with pytest.raises(
        PartError, match=r"there is no head named 'linaer'; allowed: linear, mlp, .* did you mean 'linear'"
    ):
        target_of("head", "linaer")


def test_a_class_has_the_options_of_a_base_in_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that extends one of ours, and has no constructor of its own, takes what ours takes."""
    monkeypatch.syspath_prepend(tmp_path)
    source = "from ablate.models.stems.patches import LinearPatches\nclass Mine(LinearPatches): pass\n"
    (tmp_path / "extends_ours.py").write_text(source, encoding="utf-8")
    assert options_of("extends_ours:Mine") == options_of("ablate.models.stems.patches:LinearPatches")


@pytest.mark.parametrize("name", ["name", "preset"])
def test_an_option_cannot_be_called_as_the_part_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """In a study that key says which part or preset is meant."""
    monkeypatch.syspath_prepend(tmp_path)
    source = f"class Mine:\n    def __init__(self, dim, *, {name}: int = 1): ...\n"
    (tmp_path / f"reserved_{name}.py").write_text(source, encoding="utf-8")
    with pytest.raises(PartError, match=f"cannot have an option '{name}'"):
        options_of(f"reserved_{name}:Mine")
