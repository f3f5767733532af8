"""Whatever a study file holds, loading ends in a Study or in a StudyError of clear lines."""

from __future__ import annotations

import copy
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from ablate.study.document import read_document
from ablate.study.errors import StudyError
from ablate.study.load import load_study
from ablate.study.overrides import differences
from ablate.study.study import Study

SOURCE = Path(__file__).parents[2] / "studies" / "simplevit.yaml"
NUMBERS = SOURCE.with_name("published.csv").read_bytes()
TREE = read_document(SOURCE).tree
PROFILES: list[str | None] = [None, *TREE["profiles"]]
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])

Keys = tuple[Any, ...]


def _paths(node: Any, at: Keys = ()) -> list[Keys]:
    """The keys to every node below the root."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path for key, value in items for path in ((*at, key), *_paths(value, (*at, key)))]


PATHS = _paths(TREE)
WORDS = sorted({str(key) for path in PATHS for key in path})
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 5),
    st.sampled_from([10**9, 2**70, 1e-3, -0.5, 1e308]),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=6),
    st.sampled_from(["off", "a.b", "x:y", "os:path", "..:a", ":", "", "module", "imagefolder:nowhere", *WORDS]),
    st.lists(st.one_of(st.integers(0, 2), st.sampled_from(WORDS), st.none()), max_size=3),
    st.dictionaries(
        st.sampled_from([*WORDS, "name", ".", "a..b"]), st.one_of(st.integers(), st.sampled_from(WORDS)), max_size=3
    ),
)


@st.composite
def mutants(draw: st.DrawFn) -> dict[str, Any]:
    """The SimpleViT study with one to three nodes deleted, renamed, replaced or put elsewhere."""
    tree: dict[str, Any] = copy.deepcopy(TREE)
    for path in draw(st.lists(st.sampled_from(PATHS), min_size=1, max_size=3)):
        owner: Any = tree
        try:
            for key in path[:-1]:
                owner = owner[key]
            value = owner[path[-1]]
        except (KeyError, IndexError, TypeError):
            continue  # an earlier mutation took it away
        change = draw(st.sampled_from(["delete", "rename", "replace", "replace", "graft"]))
        if change == "delete":
            del owner[path[-1]]
        elif change == "rename" and isinstance(owner, dict):
            owner[draw(st.sampled_from([*WORDS, f"{path[-1]}x", str(path[-1])[1:]]))] = owner.pop(path[-1])
        elif change == "graft":
            owner[path[-1]] = copy.deepcopy(TREE.get(draw(st.sampled_from(sorted(TREE)))))
        elif isinstance(owner, dict | list):
            owner[path[-1]] = draw(st.one_of(VALUES, st.just([value])))
    return tree


def _load(content: bytes, profile: str | None) -> Study | None:
    """The Study, or None after a StudyError whose lines are clear."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", list(sys.path))
        folder = Path(name)
        folder.joinpath("published.csv").write_bytes(NUMBERS)
        path = folder / "study.yaml"
        path.write_bytes(content)
        try:
            return load_study(path, profile)
        except StudyError as error:
            refusal = error
    lines = str(refusal).splitlines()
    assert 1 <= len(lines) == len(refusal.problems)
    assert all(line.startswith(str(path)) and len(line) < 2000 for line in lines)
    return None


@QUICK
@given(mutants(), st.sampled_from(PROFILES))
def test_a_mutated_study_loads_or_is_refused(tree: dict[str, Any], profile: str | None) -> None:
    """Only StudyError comes out; what loads is sound: ids unique, the baseline first, changes as Recipes differ."""
    path = Path(tempfile.gettempdir())
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "tree.yaml")
        YAML(typ="safe", pure=True).dump(tree, path)
        content = path.read_bytes()
    study = _load(content, profile)
    if study is not None:
        assert study.variants[0].is_baseline
        assert len({t.id for t in study.trials}) == len(study.trials)
        for variant in study.variants[1:]:
            assert variant.changes == differences(study.baseline.recipe, variant.recipe) != {}


@QUICK
@given(st.data())
def test_a_damaged_file_loads_or_is_refused(data: st.DataObject) -> None:
    """Bytes cut out, put in and doubled anywhere in the text."""
    text = SOURCE.read_bytes()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        gone = data.draw(st.integers(0, 12))
        new = data.draw(
            st.one_of(st.binary(max_size=3), st.sampled_from([b"*a", b"&a ", b"<<: ", b"\t", b"- ", b"? ", b"!x "]))
        )
        text = text[:at] + new + text[at + gone :]
    _load(text, None)
