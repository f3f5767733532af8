"""Trials that a growing study was once asked for, and is asked for no longer: in no number, and not unnamed."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.growth import as_far_as_known, beyond
from ablate.report_sources import kept_here
from ablate.reporting.captions import terminal_caption, what_was_done
from ablate.reporting.comparison import comparison
from ablate.run import OK, RunOptions, report_study, run_study
from ablate.study.load import load_study
from ablate.study.study import Study
from ablate.tracking.record import Record
from ablate.tracking.spool import Spool

OWN = """\
def train(recipe, seed, report, folder):
    value = 50 + seed % 3 + recipe["b"] * (seed % 2) + recipe["a"] * 5 - recipe["c"] * (6 + seed % 2)
    report(1, {"score": value})
    return {"score": value}
"""
HEAD = """\
study: growing
question: Which parts matter?
trainable: beyond_own:train
metric: {name: score, direction: maximize}
base: {a: 0.0, b: 0.0, c: 0.0}
factors:
  a: {reference: "off", levels: {"on": {a: 1.0}}}
  b: {reference: "off", levels: {"on": {b: 1.0}}}
  c: {reference: "off", levels: {"on": {c: 1.0}}}
"""
SEQUENTIAL = HEAD + "seeds: {min: 3, max: 8, stop: decided}\n"
GREEDY = HEAD + "seeds: 2\ndesign: {ladder: {order: greedy}}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the Trainable, which is forgotten afterwards."""
    (tmp_path / "beyond_own.py").write_text(OWN)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("beyond_own", None)


def load(folder: Path, text: str, **options: object) -> Study:
    (folder / "study.yaml").write_text(text)
    return load_study(folder / "study.yaml", **options)  # type: ignore[arg-type]


class Past:
    """Records of all Trials that were ever asked for, as a formula of the Recipe gives them."""

    def __init__(self, **worth: float) -> None:
        self.worth, self.records = worth, dict[str, Record]()

    def of(self, study: Study) -> Mapping[str, Record]:
        """Train whatever the study has."""
        for trial in study.all_trials:
            value = 50 + trial.seed % 3 + sum(self.worth[name] * on for name, on in trial.recipe.items())
            value += trial.recipe["b"] * (trial.seed % 2)
            record = Record(trial.id, trial.seed, study.trainable, trial.recipe, "finished", 0.0, 1.0)
            self.records.setdefault(trial.id, _with(record, value))
        return {trial.id: self.records[trial.id] for trial in study.all_trials}

    def known(self, ids: Sequence[str]) -> dict[str, Record]:
        return {trial_id: self.records[trial_id] for trial_id in ids if trial_id in self.records}


def _with(record: Record, value: float) -> Record:
    return replace(record, metrics={"score": value})


def test_seeds_beyond_the_point_where_a_study_stops_are_named(folder: Path) -> None:
    """Judged with a wide margin, a study stops before the seeds that a narrow one had asked for: those are told, and
    together with the planned ones they are all that was trained.
    """
    past = Past(a=0.0, b=0.0, c=-6.0)
    narrow, _ = as_far_as_known(load(folder, SEQUENTIAL + "analysis: {margin: 0.1}\n"), past.of)
    assert beyond(narrow, past.known) == ()
    wide, records = as_far_as_known(load(folder, SEQUENTIAL + "analysis: {margin: 50}\n"), past.of)
    found = beyond(wide, past.known)
    assert {(t.variant, t.seed) for t in found} == {("b=on", seed) for seed in range(3, 8)}
    planned = {trial.id for trial in wide.trials}
    assert planned.isdisjoint(trial.id for trial in found)
    assert planned | {trial.id for trial in found} == set(past.records)
    assert not records.keys() & {trial.id for trial in found}


def test_only_what_has_finished_is_beyond(folder: Path) -> None:
    """A Trial that failed, or was never begun, has no number to be missed."""
    past = Past(a=5.0, b=0.0, c=-6.0)
    study = load(folder, SEQUENTIAL)
    assert study.possible is not None
    one, other, *_ = [trial for trial in study.possible() if trial.seed == 7]
    finished = Record(one.id, 7, study.trainable, one.recipe, "finished", 0.0, 1.0, metrics={"score": 1.0})
    past.records = {one.id: finished, other.id: replace(finished, trial_id=other.id, status="failed", cause="error")}
    assert beyond(study, past.known) == (one,)


def test_a_rung_that_a_ladder_no_longer_takes_is_named(folder: Path) -> None:
    """Results that made b the first step have changed: what was tried on top of b alone is beyond, by its name."""
    past = Past(a=1.0, b=5.0, c=-6.0)
    as_far_as_known(load(folder, GREEDY), past.of)
    for trial in load(folder, GREEDY).trials:
        if trial.variant == "a=on":
            past.records[trial.id] = _with(past.records[trial.id], 90.0)
    study, _ = as_far_as_known(load(folder, GREEDY), past.of)
    assert study.blocks[0].steps[0] == "a=on"
    assert {(t.variant, t.seed) for t in beyond(study, past.known)} == {("b=on,c=on", 0), ("b=on,c=on", 1)}


@pytest.mark.parametrize(
    ("text", "options"), [(HEAD + "seeds: 2\n", {}), (SEQUENTIAL, {"seeds": 3}), (GREEDY, {"only": ["a=on"]})]
)
def test_a_study_that_does_not_grow_looks_for_nothing(folder: Path, text: str, options: dict[str, object]) -> None:
    """With as many seeds as were asked for, and rungs that were chosen by hand, nothing is read."""
    study = load(folder, text, **options)
    assert beyond(study, lambda ids: pytest.fail(f"read {ids}")) == ()


def test_the_report_and_the_terminal_name_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After an edit of the margin both say which finished Trials are in no number; before it neither does."""
    options = RunOptions(folder / "home", folder / "reports", slots=2, check=False)
    first = load(folder, SEQUENTIAL + "analysis: {margin: 0.1}\n")
    assert run_study(first, options) == OK
    page = folder / "reports" / "growing" / "default" / "report.md"
    assert "in no number" not in page.read_text() + capsys.readouterr().out
    edited = load(folder, SEQUENTIAL + "analysis: {margin: 50}\n")
    assert report_study(edited, options) == OK
    spool = Spool(folder / "home")
    grown, records = as_far_as_known(edited, lambda now: spool.records(trial.id for trial in now.all_trials))
    left_out = kept_here(grown, folder / "home").beyond()
    assert left_out
    told = f"{len(left_out)} finished Trials ("
    assert f"in all, at profile default: {len(grown.trials)} finished, 0 failed. {told}" in page.read_text()
    printed = " ".join(capsys.readouterr().out.split())
    assert told in printed
    assert "in no number" in printed
    compared = comparison(grown, records, kept_here(grown, folder / "home"))
    assert compared.beyond == left_out
    assert "in no number" not in terminal_caption(comparison(grown, records), ())


def test_the_sentence_names_variants_and_seeds(folder: Path) -> None:
    """One Trial in the singular, several with all their seeds, and no more than six Variants by name."""
    study = load(folder, SEQUENTIAL)
    assert study.possible is not None
    past = Past(a=5.0, b=0.0, c=-6.0)
    plain = comparison(study, past.of(study))
    [one] = [t for t in study.possible() if (t.variant, t.seed) == ("b=on", 7)]
    of_b = tuple(t for t in study.possible() if t.variant == "b=on" and t.seed > 5)
    told = what_was_done(replace(plain, beyond=(one,)))
    assert (
        "1 finished Trial (b=on, seed 7) lies beyond the point to which the results lead this study, and is in" in told
    )
    assert "2 finished Trials (b=on, seeds 6, 7) lie beyond" in what_was_done(replace(plain, beyond=of_b))
    many = tuple(replace(one, variant=f"v{number}") for number in range(8))
    assert "v5, seed 7; and of 2 more Variants) lie beyond" in what_was_done(replace(plain, beyond=many))
