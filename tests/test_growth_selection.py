"""What a command chooses by `--only` of a study whose ladder is found by the results."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ablate.growth import as_far_as_known
from ablate.loading import load
from ablate.run import OK, RunOptions, run_study
from ablate.study.errors import StudyError
from ablate.study.study import Study

OWN = """\
def train(recipe, seed, report, folder):
    return {"score": 50.0 + seed + 5 * recipe["a"] + 3 * recipe["b"] - 6 * recipe["c"]}
"""
TEXT = """\
study: climbing
question: In which order?
trainable: climbing_own:train
metric: {name: score, direction: maximize}
seeds: 2
design: {ladder: {order: greedy}}
base: {a: 0, b: 0, c: 0}
factors:
  a: {reference: "off", levels: {"on": {a: 1}}}
  b: {reference: "off", levels: {"on": {b: 1}}}
  c: {reference: "off", levels: {"on": {c: 1}}}
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The study, whose Trainable is forgotten afterwards."""
    (tmp_path / "climbing_own.py").write_text(OWN)
    (tmp_path / "study.yaml").write_text(TEXT)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    yield tmp_path / "study.yaml"
    sys.modules.pop("climbing_own", None)


def names(study: Study) -> list[str]:
    return [variant.name for variant in study.variants]


def test_a_rung_that_results_have_not_chosen_is_told(path: Path) -> None:
    """It could come, so it is no unknown name, but there is nothing of it yet; an unknown one is told as ever."""
    home = path.parent / "home"
    with pytest.raises(StudyError, match=r"--only a=on,b=on: a greedy ladder could reach this rung, but no result"):
        load(path, home, only=["a=on,b=on"])
    with pytest.raises(StudyError, match=r"--only a=on,d=on: there is no such Variant; allowed: baseline, a=on, .*did"):
        load(path, home, only=["a=on,d=on"])


def test_rungs_that_results_have_chosen_can_be_selected(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After a run `--only` takes rungs of any height by name or pattern, shares their Trials, and does not grow.

    A pattern chooses less where these results are not; the selection's name says so in both places.
    """
    home = path.parent / "home"
    options = RunOptions(home, path.parent / "reports", slots=2, check=False, quiet=True)
    assert run_study(load(path, home), options) == OK
    assert names(load(path, home, only=["a=on,b=on"])) == ["baseline", "a=on,b=on"]
    assert names(load(path, home, only=["a=on,*"])) == ["baseline", "a=on,b=on", "a=on,b=on,c=on", "a=on,c=on"]
    told = {load(path, place, only=["a=on*"]).selection for place in (home, path.parent / "elsewhere")}
    assert told == {"--only a=on*; rungs as far as results here have led"}
    part = load(path, home, only=["a=on,b=on"])
    assert part.selection == "--only a=on,b=on"
    assert as_far_as_known(part, lambda _: {})[0] is part
    capsys.readouterr()
    assert run_study(part, options) == OK
    assert capsys.readouterr().out.splitlines()[-1] == "trained 0, reused 4, failed 0"
    with pytest.raises(StudyError, match="--only b=on,c=on: a greedy ladder could reach this rung"):
        load(path, home, only=["b=on,c=on"])
