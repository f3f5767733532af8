"""The Python API: a study's results as DataFrames, from the spool or from a report that came with a clone."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ablate
from ablate.study.errors import StudyError
from ablate.study.load import load_study
from ablate.tracking.attempt import ARTIFACTS
from ablate.tracking.outcome import WORK
from ablate.tracking.record import Record, Row
from ablate.tracking.spool import Spool

ROOT = Path(__file__).resolve().parent.parent
STUDY = """
study: widgets
question: Which part matters?
trainable: trainer:train
metric: {name: score, direction: maximize}
seeds: 3
base: {width: 8, lr: 0.1}
factors:
  width: {reference: narrow, levels: {wide: {width: 16}}}
  lr: {reference: low, levels: {high: {lr: 1.0}}}
"""
#: Variant -> score by seed.
SCORES = {"baseline": (50, 51, 53), "width=wide": (60, 60.5, 63.2), "lr=high": (49, 51.5, 52)}


@pytest.fixture
def place(workplace):
    """A working folder with a study in `studies`."""
    (workplace / "studies").mkdir()
    (workplace / "studies/widgets.yaml").write_text(STUDY, encoding="utf-8")
    (workplace / "studies/trainer.py").write_text("def train(trial):\n    return {}\n", encoding="utf-8")
    return workplace


def finish(place, **only):
    """Put results of the study's Trials into the spool; the Records."""
    study = load_study(place / "studies/widgets.yaml")
    spool, records = Spool(place / ".ablate"), {}
    for trial in study.trials:
        score = float(SCORES[trial.variant][trial.seed])
        records[trial.id] = Record(
            trial_id=trial.id,
            seed=trial.seed,
            trainable=study.trainable,
            recipe=trial.recipe,
            status="finished",
            started=1.0,
            ended=3.0,
            seconds=2.0,
            metrics={"score": score, "parameters": 7.0},
            history=(Row(1, {"score": score - 1}, 2.0), Row(2, {"score": score}, 3.0)),
        )
        spool.save(records[trial.id])
    return study, records


@pytest.fixture
def finished(place):
    """The folder, with all of the study's Trials finished in the spool."""
    finish(place)
    return place


def write_report(study, records, place):
    """The report that would have been committed."""
    from ablate.reporting.report import write_report as write

    write(study, records, place / "reports" / study.slug, formats={"csv"})


def test_effects_are_the_numbers_of_the_report(finished):
    """Each Variant's difference, interval and verdict are in a row of their own, without the baseline's."""
    effects = ablate.load_results("widgets").effects().set_index("variant")
    assert list(effects.index) == ["width=wide", "lr=high"]
    pairs = np.subtract(SCORES["width=wide"], SCORES["baseline"])
    assert effects.loc["width=wide", "difference"] == pytest.approx(pairs.mean(), rel=1e-12)
    assert (
        effects.loc["width=wide", "low"] < effects.loc["width=wide", "difference"] < effects.loc["width=wide", "high"]
    )
    assert list(effects["pairs"]) == [3, 3]
    assert set(effects["verdict"]) <= {"helps", "hurts", "not enough evidence", "no difference"}


@pytest.mark.parametrize(
    ("method", "rows"),
    [("trials", 9), ("curves", 18), ("variants", 3), ("effects", 2), ("published", 0), ("by_class", 0), ("power", 19)]
    + [(name, 0) for name in ("main_effects", "interactions", "ladder", "shapley")]
    + [("table", 3)],
)
def test_every_question_is_answered_by_a_frame(finished, method, rows):
    """Each method gives a DataFrame of its own, empty where the study has nothing to say."""
    results = ablate.load_results("widgets")
    found = getattr(results, method)()
    assert isinstance(found, pd.DataFrame)
    assert len(found) == rows
    if rows:
        before = found.copy()
        found["changed"] = 1
        pd.testing.assert_frame_equal(getattr(results, method)(), before)


def test_power_says_what_more_seeds_would_see(finished):
    """The smallest difference that is seen falls with every seed."""
    power = ablate.load_results("widgets").power()
    assert list(power["seeds"]) == list(range(2, 21))
    assert power["difference"].is_monotonic_decreasing


def test_images_are_read_where_trials_kept_them(finished):
    """With files by image in the spool there are differences by class, and images on which two Variants disagree."""
    spool = Spool(Path(".ablate"))
    label = np.repeat([0, 1], 5)
    for trial in load_study(Path("studies/widgets.yaml")).trials:
        wrong = trial.variant == "width=wide"
        prediction = np.where(np.arange(10) < 2 * wrong, 1 - label, label)
        folder = spool.home(trial.id) / WORK / ARTIFACTS
        folder.mkdir(parents=True, exist_ok=True)
        loss = np.zeros(10, np.float32)
        np.savez(
            folder / "per_example.npz",
            index=np.arange(10),
            label=label,
            prediction=prediction,
            correct=prediction == label,
            loss=loss,
        )
    results = ablate.load_results("widgets")
    found = results.by_class().set_index(["variant", "class"])
    assert found.loc[("width=wide", 0), "difference"] == pytest.approx(-40, abs=1e-9)
    assert found.loc[("width=wide", 1), "difference"] == 0
    assert set(results.disagreements("width=wide")["index"]) == {0, 1}
    assert results.disagreements("lr=high").empty


def test_a_committed_report_speaks_where_there_is_no_spool(place):
    """Without spool and Store, `trials.csv` and `history.csv` give the same numbers."""
    study, records = finish(place)
    write_report(study, records, place)
    before = ablate.load_results("widgets")
    shutil.rmtree(".ablate")
    after = ablate.load_results("widgets")
    assert "reports" in after.source
    pd.testing.assert_frame_equal(before.effects(), after.effects())
    pd.testing.assert_frame_equal(before.curves(), after.curves())
    pd.testing.assert_frame_equal(before.trials(), after.trials())


def test_a_report_of_an_older_state_is_told(place):
    """Trials of the report that are not the study's any more are counted in a warning; those that are, are read."""
    study, records = finish(place)
    write_report(study, records, place)
    shutil.rmtree(".ablate")
    text = STUDY.replace("lr: 1.0", "lr: 2.0")
    (place / "studies/widgets.yaml").write_text(text, encoding="utf-8")
    with pytest.warns(UserWarning, match="has 6 of the 9 Trials of widgets/default, and 3 of another state"):
        results = ablate.load_results("widgets")
    assert list(results.variants()["n"]) == [3, 3, 0]
    text = STUDY.replace("{width: 8, lr: 0.1}", "{width: 9, lr: 0.2}")
    (place / "studies/widgets.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(StudyError, match=r"the 9 Trials in .* are of another state"):
        ablate.load_results("widgets")


@pytest.mark.parametrize("damage", ["status", "seconds", "rows"])
def test_a_damaged_report_is_an_error_that_names_the_file(place, damage):
    """A table that no report has written is refused with its name, and is not half read."""
    study, records = finish(place)
    write_report(study, records, place)
    shutil.rmtree(".ablate")
    path = place / "reports" / study.slug / "trials.csv"
    rows = list(csv.reader(path.read_text().splitlines()))
    if damage == "rows":
        rows[1] = rows[1][:3]
    else:
        rows[1][rows[0].index(damage)] = "nonsense"
    path.write_text("\n".join(",".join(row) for row in rows) + "\n")
    with pytest.raises(ValueError, match=r"trials\.csv"):
        ablate.load_results("widgets")


def test_what_was_never_trained_is_an_error(place):
    """Without any result the error says how to get some."""
    with pytest.raises(StudyError, match="nothing of widgets/default has been trained here yet: `ablate run"):
        ablate.load_results("widgets")


def test_an_unknown_name_lists_the_studies(place):
    """A name that is none lists those there are, and the nearest."""
    with pytest.raises(StudyError, match="there is no study 'widget'; allowed: widgets; did you mean 'widgets'"):
        ablate.load_results("widget")
    with pytest.raises(StudyError, match=r"nowhere\.yaml"):
        ablate.load_results("nowhere.yaml")


def test_a_path_and_options_select(finished):
    """A study is found by its path as well, and `only` and `seeds` select as on the command line."""
    results = ablate.load_results(Path("studies/widgets.yaml"), only=["lr=*"], seeds=2)
    assert list(results.variants()["variant"]) == ["baseline", "lr=high"]
    assert list(results.variants()["n"]) == [2, 2]


def test_an_unknown_variant_is_an_error_with_the_nearest(finished):
    """Images of a Variant that does not exist are no empty table."""
    with pytest.raises(ValueError, match="did you mean 'lr=high'"):
        ablate.load_results("widgets").disagreements("lr=hihg")


def test_a_notebook_shows_the_table_with_all_texts_escaped(place):
    """The HTML of a notebook is the comparison's table; a name with markup stays text."""
    text = STUDY.replace("study: widgets", 'study: "<b>w"')
    (place / "studies/widgets.yaml").write_text(text, encoding="utf-8")
    finish(place)
    shown = ablate.load_results("widgets")._repr_html_()
    assert "<td" in shown
    assert "lr=high" in shown
    assert "<b>w" not in shown
    assert "&lt;b&gt;w" in shown


def test_latex_is_the_reports_table(finished):
    """`to_latex` gives a table environment with every Variant."""
    text = ablate.load_results("widgets").to_latex()
    assert r"\begin{tabular}" in text
    assert "lr=high" in text


def test_importing_ablate_imports_nothing_heavy():
    """`import ablate` loads neither pandas nor torch, and loading results loads no torch."""
    code = (
        "import sys, ablate\n"
        "assert not {'pandas', 'numpy', 'torch', 'mlflow', 'typer'} & set(sys.modules)\n"
        "assert {'load_results', 'Results'} <= set(dir(ablate))\n"
        "results = ablate.load_results('simplevit', home='/nonexistent/spool', tracking_uri='sqlite:////nonexistent/m')\n"
        "assert len(results.effects())\n"
        "assert not {'torch', 'mlflow', 'matplotlib'} & set(sys.modules), sorted(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_unknown_attribute_is_an_attribute_error():
    """The lazy door gives away nothing that is not there."""
    with pytest.raises(AttributeError, match="load_result'"):
        _ = ablate.load_result
