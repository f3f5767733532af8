"""Studies that grow, when Trials are tried again, files are lost, or what comes next is refused."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from ablate import run
from ablate.refusals import Refused
from ablate.results import results_of
from ablate.run import FAILED, OK, RunOptions, plan_study, report_study, run_study
from ablate.study.load import load_study
from ablate.study.study import Study
from ablate.tracking.spool import Spool

OWN = """\
import os
from pathlib import Path

import numpy as np


def train(recipe, seed, report, folder):
    if recipe["b"] and seed == 1 and os.path.exists("broken"):
        raise RuntimeError("the file server is away")
    hard = np.random.default_rng(5).random(200)  # of each image
    easier = np.random.default_rng(9).permutation(hard)
    luck = np.random.default_rng([seed, 1]).normal(0, 0.3)
    noise = np.random.default_rng([seed, int(recipe["a"]), int(recipe["b"])]).normal(0, 0.8)
    share = (60 + luck + noise + 20 * recipe["b"]) / 100
    correct = (easier if recipe["a"] else hard) < share
    folder = Path(folder, "artifacts")
    folder.mkdir(exist_ok=True)
    images = np.arange(200)
    np.savez(folder / "per_example.npz", index=images, label=images * 0, prediction=(~correct).astype(int))
    value = 100 * float(correct.mean())
    report(1, {"top1": value})
    return {"top1": value}
"""
HEAD = """\
study: growing
question: Which parts matter?
trainable: again_own:train
metric: {name: top1, direction: maximize, unit: "%"}
base: {a: 0.0, b: 0.0}
factors:
  a: {reference: "off", levels: {"on": {a: 1.0}}}
  b: {reference: "off", levels: {"on": {b: 1.0}}}
"""
SEEDS = HEAD + "seeds: {min: 3, max: 6, stop: decided}\n"
OVER_IMAGES = SEEDS + "analysis: {over: seeds_and_images}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the Trainable, which is forgotten afterwards."""
    (tmp_path / "again_own.py").write_text(OWN)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("again_own", None)


def load(folder: Path, text: str) -> Study:
    (folder / "study.yaml").write_text(text)
    return load_study(folder / "study.yaml")


def options(folder: Path, **fields: object) -> RunOptions:
    return RunOptions(folder / "home", folder / "reports", slots=2, quiet=True, **{"check": False} | fields)  # type: ignore[arg-type]


def counts(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out.splitlines()[-1]


def planned(study: Study, home: Path, **asked: object) -> dict[str, int]:
    found = results_of(study, home, Path("reports"), **asked)  # type: ignore[arg-type]
    return dict(zip(found.variants()["variant"], found.variants()["planned"], strict=True))


def test_a_failure_that_is_tried_again_asks_for_nothing_before(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A seed crashed, and the study took more seeds for it. When the cause is gone, the same command trains that seed
    and no other, and shows the study that report and plan show, with the further Trials named.
    """
    study = load(folder, SEEDS)
    (folder / "broken").touch()
    assert run_study(study, options(folder)) == FAILED
    before = counts(capsys)
    assert before.endswith("failed 1")
    (folder / "broken").unlink()
    assert run_study(study, options(folder)) == OK
    after = counts(capsys)
    assert after.startswith("trained 1, ")
    assert report_study(study, options(folder)) == OK
    assert counts(capsys) == f"trained 0, reused {1 + int(after.split('reused ')[1].split(',')[0])}, failed 0"
    assert plan_study(study, options(folder)).left == ()
    assert "in no number" in (folder / "reports/growing/default/report.md").read_text()


def test_what_comes_next_can_be_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A rung that does not do what it says is refused, and what was trained before has its report and its counts."""
    asked = []

    def refuse_the_second(study: Study, *_: object) -> None:
        asked.append(len(study.variants))
        if len(asked) > 1:
            raise Refused("a Level does not do what it says")

    monkeypatch.setattr(run, "_refuse_what_levels_do_not_say", refuse_the_second)
    study = load(folder, HEAD + "seeds: 2\ndesign: {ladder: {order: greedy}}\n")
    assert run_study(study, options(folder, check=True)) == FAILED
    assert asked == [3, 4]
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1] == "trained 6, reused 0, failed 0"
    assert "what the results ask for next is not trained: a Level does not" in printed.err
    assert (folder / "reports/growing/default/report.md").is_file()


@pytest.mark.slow
def test_outcomes_by_image_that_are_lost_come_from_the_store_or_ask_for_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Over images, a Trial's file that is gone is fetched again. Where nobody has it, its Variant has no verdict, and
    gets no more seeds, which could not give it one.
    """
    study = load(folder, OVER_IMAGES)
    assert run_study(study, options(folder)) == OK
    home = folder / "home"
    whole = planned(study, home)
    assert whole["a=on"] > whole["b=on"] == 3
    lost = Spool(home).artifact(next(t.id for t in study.trials if t.variant == "b=on"), "per_example.npz")
    assert lost is not None
    lost.unlink()
    nobody = f"sqlite:///{folder}/none.db"
    assert planned(study, home, tracking_uri=nobody) == whole
    found = results_of(study, home, Path("reports"), nobody).effects().set_index("variant")
    assert found.loc["b=on", "verdict"] == "not enough evidence"
    assert planned(study, home) == whole
    assert lost.is_file()


@pytest.mark.slow
def test_a_report_without_the_spool_has_all_its_trials(folder: Path) -> None:
    """Verdicts over images have asked for seeds; a clone that has the report and not the files still counts them."""
    study = load(folder, OVER_IMAGES)
    assert run_study(study, options(folder)) == OK
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        clone = planned(study, folder / "elsewhere", tracking_uri=f"sqlite:///{folder}/none.db")
    assert clone == planned(study, folder / "home")
    assert [str(w.message) for w in said] == []
