"""Failing Trials: the others finish, the table says why, and the next run knows what is worth another try."""

from __future__ import annotations

import pytest

MOODY = """
import pathlib
from ablate.trainable import Diverged


def train(recipe, seed, report, folder):
    mode = recipe["mode"]
    if mode == "breaks" and not pathlib.Path(__file__).with_name("mended").exists():
        raise ValueError("no part fits the other")
    report(1, {"score": 1.0 + seed})
    if mode == "diverges":
        raise Diverged("the loss became nan at step 2")
    return {"score": float("nan") if mode == "returns_nan" else 2.0 + seed}
"""
STUDY = """
study: moody
question: What becomes of the others?
trainable: moody:train
metric: {name: score, direction: maximize}
seeds: 2
base: {mode: works}
factors:
  mode:
    reference: works
    levels:
      breaks: {mode: breaks}
      diverges: {mode: diverges}
      returns_nan: {mode: returns_nan}
"""


@pytest.fixture(scope="module")
def moody(make_place):
    """The study after its first run, which ended with failures, and how that ended."""
    place = make_place(moody__py=MOODY, study__yaml=STUDY)
    return place, place.ablate("run", "study.yaml", "--slots", 2, code=1)


def attempts(place):
    """Attempts of each mode's Trials."""
    modes = {}
    for record in place.records().values():
        modes.setdefault(record.recipe["mode"], []).append(record.attempts)
    return modes


def test_failures_stay_visible_and_stop_nobody(moody):
    """The run exits with 1, the others are trained, and terminal and report show each failure with its cause."""
    place, done = moody
    assert done.counts == (2, 0, 6)
    assert "FAILED mode=breaks seed 0: ValueError: no part fits the other" in done.out
    assert "FAILED mode=diverges seed 1: diverged: the loss became nan at step 2" in done.out
    assert "FAILED mode=returns_nan seed 0: diverged: the Trainable returned nan as its score" in done.out
    rows = {row["variant"]: row for row in place.comparison("moody/default")}
    assert {name: (row["n"], row["planned"]) for name, row in rows.items()} == {
        "baseline": ("2", "2"),
        "mode=breaks": ("0", "2"),
        "mode=diverges": ("0", "2"),
        "mode=returns_nan": ("0", "2"),
    }
    assert rows["mode=breaks"]["mean"] == ""
    files = place.report_bytes("moody/default")
    for name in ("tables/failures.csv", "tables/failures.md", "report.md", "report.html"):
        text = files[name].decode()
        assert "no part fits the other" in text, name
        assert "the loss became nan at step 2" in text, name


def test_plan_counts_failures(moody):
    """`ablate plan` shows the failed Trials as failed, of whichever cause."""
    place, _ = moody
    states = [(t["variant"], t["state"]) for t in place.plan("study.yaml")["trials"]]
    assert sorted(set(states)) == [
        ("baseline", "finished"),
        ("mode=breaks", "failed"),
        ("mode=diverges", "failed"),
        ("mode=returns_nan", "failed"),
    ]


def test_failed_trials_are_failed_runs_in_mlflow(moody):
    """MLflow's child runs carry the status and the cause."""
    place, _ = moody
    runs = [r for r in place.runs("moody/default") if r.data.tags["ablate.kind"] == "trial"]
    causes = sorted((r.info.status, r.data.tags.get("ablate.cause", "")) for r in runs)
    assert causes == [("FAILED", "diverged")] * 4 + [("FAILED", "error")] * 2 + [("FINISHED", "")] * 2


def test_errors_are_tried_again_and_divergences_are_results(moody):
    """A second run retries what broke, and leaves alone what diverged, until --retry-failed asks for that, too."""
    place, _ = moody
    assert place.ablate("run", "study.yaml", "--quiet", code=1).counts == (0, 2, 6)
    assert attempts(place) == {"works": [1, 1], "breaks": [2, 2], "diverges": [1, 1], "returns_nan": [1, 1]}
    place.write("mended", "")
    assert place.ablate("run", "study.yaml", "--quiet", "--retry-failed", code=1).counts == (2, 2, 4)
    assert attempts(place) == {"works": [1, 1], "breaks": [3, 3], "diverges": [2, 2], "returns_nan": [2, 2]}
    failures = place.report_bytes("moody/default")["tables/failures.csv"].decode()
    assert "no part fits" not in failures
    assert "the loss became nan" in failures
