"""The catalogue of parts against the classes themselves."""

from __future__ import annotations

import importlib
import inspect
import typing

import pytest
from torch import nn

from ablate.parts import KINDS, options_of

ENTRIES = [(kind, name, target) for kind, names in KINDS.items() for name, target in names.items()]


def _class(target: str) -> type:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize(("kind", "name", "target"), ENTRIES)
def test_every_entry_is_a_module(kind: str, name: str, target: str) -> None:
    """Every name of the catalogue leads to a torch module that says in its docstring what it is."""
    cls = _class(target)
    assert issubclass(cls, nn.Module)
    assert vars(cls).get("__doc__")


@pytest.mark.parametrize(("kind", "name", "target"), ENTRIES)
def test_options_read_from_source_are_those_of_the_class(kind: str, name: str, target: str) -> None:
    """What the catalogue reads from the source are the keyword-only parameters, types and defaults."""
    cls = _class(target)
    keyword_only = {p.name: p for p in inspect.signature(cls).parameters.values() if p.kind is p.KEYWORD_ONLY}
    hints = typing.get_type_hints(cls.__init__)
    found = options_of(target)
    assert list(found) == list(keyword_only)
    for option in found.values():
        parameter = keyword_only[option.name]
        assert option.annotation == hints[option.name]
        assert option.required == (parameter.default is parameter.empty)
        if not option.required:
            assert option.default == parameter.default
