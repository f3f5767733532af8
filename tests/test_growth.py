"""Studies that grow by their results, trained by a Trainable whose outcome is a formula."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.growth import as_far_as_known, grown, settled
from ablate.reporting.kept import Kept
from ablate.run import FAILED, OK, RunOptions, plan_study, report_study, run_study
from ablate.study.load import load_study
from ablate.study.study import Study
from ablate.tracking.record import Record
from ablate.tracking.spool import Spool

OWN = """\
import random


def train(recipe, seed, report, folder):
    generator = random.Random(f"{seed}")
    luck = generator.gauss(0, 1)
    noise = random.Random(f"{seed}-{sorted(recipe['parts'].items())}").gauss(0, recipe["noise"])
    value = 50 + luck + noise + sum(recipe["worth"][name] for name, on in recipe["parts"].items() if on)
    report(1, {"score": value})
    return {"score": value}
"""
HEAD = """\
study: growing
question: Which parts matter?
trainable: growing_own:train
metric: {name: score, direction: maximize}
base:
  noise: 0.5
  parts: {a: false, b: false, c: false}
  worth: {a: 5.0, b: 0.0, c: -6.0}
factors:
  a: {reference: "off", levels: {"on": {parts.a: true}}}
  b: {reference: "off", levels: {"on": {parts.b: true}}}
  c: {reference: "off", levels: {"on": {parts.c: true}}}
"""
SEQUENTIAL = HEAD + "seeds: {min: 3, max: 8, stop: decided}\nanalysis: {margin: 1.5}\n"
GREEDY = HEAD + "seeds: 2\ndesign: {ladder: {order: greedy}}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the Trainable, which is forgotten afterwards."""
    (tmp_path / "growing_own.py").write_text(OWN)
    path = list(sys.path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.path[:] = path
    sys.modules.pop("growing_own", None)


def load(folder: Path, text: str, **options: object) -> Study:
    (folder / "study.yaml").write_text(text)
    return load_study(folder / "study.yaml", **options)  # type: ignore[arg-type]


def outcome(study: Study, trial_id: str) -> Record:
    """What training a Trial gives, without training it."""
    from growing_own import train

    trial = next(trial for trial in study.all_trials if trial.id == trial_id)
    metrics = train(trial.recipe, trial.seed, lambda *_: None, None)
    return Record(trial_id, trial.seed, study.trainable, trial.recipe, "finished", 0.0, 1.0, metrics=metrics)


def outcomes(study: Study) -> dict[str, Record]:
    return {trial.id: outcome(study, trial.id) for trial in study.all_trials}


def seeds_of(study: Study) -> dict[str, int]:
    return {v.name: sum(trial.variant == v.name for trial in study.trials) for v in study.variants}


def test_a_study_begins_with_the_fewest_seeds(folder: Path) -> None:
    """Every Variant has `min` seeds until something is known."""
    study = load(folder, SEQUENTIAL)
    assert set(seeds_of(study).values()) == {3}
    assert study.seeds == (0, 1, 2)


def test_nothing_is_added_before_all_is_settled(folder: Path) -> None:
    """One Trial without an outcome, and the study stays as it is."""
    study = load(folder, SEQUENTIAL)
    records = outcomes(study)
    records.pop(study.trials[-1].id)
    assert not settled(study, records)
    assert grown(study, records) is None


def test_seeds_are_added_only_where_a_verdict_is_open(folder: Path) -> None:
    """Parts worth 5 and -6 points are decided before the one that is worth nothing, whose margin takes more seeds; the
    baseline has as many as any.
    """
    study, records = as_far_as_known(load(folder, SEQUENTIAL), outcomes)
    from ablate.reporting.comparison import comparison
    from ablate.reporting.methods import trials_saved

    compared = comparison(study, records)
    verdicts = compared.summary.set_index("variant")["verdict"]
    assert verdicts["a=on"] == "helps"
    assert verdicts["c=on"] == "hurts"
    found = seeds_of(study)
    assert found["baseline"] == max(found.values())
    assert min(found.values()) < 8
    decided = [name for name, verdict in verdicts.items() if verdict != "not enough evidence" and name != "baseline"]
    spared = sum(8 - found[name] for name in decided)
    assert trials_saved(compared) == spared + (8 - found["baseline"] if len(decided) == 3 else 0)
    assert grown(study, records) is None


def test_growing_in_one_go_or_in_steps_is_the_same(folder: Path) -> None:
    """What is asked for depends on study and Records alone: begun again with all Records it ends the same."""
    end, records = as_far_as_known(load(folder, SEQUENTIAL), outcomes)
    again, _ = as_far_as_known(load(folder, SEQUENTIAL), lambda now: {t.id: records[t.id] for t in now.all_trials})
    assert again.trials == end.trials


def test_seeds_of_the_command_line_fix_their_number(folder: Path) -> None:
    """`--seeds 2` is two seeds and no more."""
    study = load(folder, SEQUENTIAL, seeds=2)
    assert set(seeds_of(study).values()) == {2}
    assert grown(study, outcomes(study)) is None


def test_one_that_never_has_a_result_gets_no_more_seeds(folder: Path) -> None:
    """A Variant all of whose Trials fail would fail with another seed as well."""

    def failing(study: Study) -> dict[str, Record]:
        records = outcomes(study)
        for trial in study.trials:
            if trial.variant == "b=on":
                records[trial.id] = replace(records[trial.id], status="failed", cause="error", metrics={})
        return records

    study, _ = as_far_as_known(load(folder, SEQUENTIAL), failing)
    assert seeds_of(study)["b=on"] == 3


def test_a_greedy_ladder_takes_the_best_step_first(folder: Path) -> None:
    """Worth 5, 0 and -6: the order found is a, b, c; every candidate has been trained, and no more than those."""
    study, _ = as_far_as_known(load(folder, GREEDY), outcomes)
    [block] = study.blocks
    assert block.steps == ("a=on", "b=on", "c=on")
    assert [len(name.split(",")) for name in block.variants[1:]] == [1, 2, 3]
    assert len(study.variants) == 1 + 3 + 2 + 1
    assert grown(study, outcomes(study)) is None


def test_a_run_trains_until_nothing_is_asked_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One command trains, adds seeds, trains those; the same command again trains nothing; plan and report agree."""
    options = RunOptions(folder / "home", folder / "reports", slots=2, check=False, quiet=True)
    study = load(folder, SEQUENTIAL)
    assert run_study(study, options) == OK
    first = capsys.readouterr().out.splitlines()[-1]
    spool = Spool(folder / "home")
    end, _ = as_far_as_known(study, lambda now: spool.records(trial.id for trial in now.all_trials))
    assert first == f"trained {len(end.trials)}, reused 0, failed 0"
    assert len(end.trials) > len(study.trials)
    assert run_study(study, options) == OK
    assert capsys.readouterr().out.splitlines()[-1] == f"trained 0, reused {len(end.trials)}, failed 0"
    assert report_study(study, options) == OK
    assert plan_study(study, options).left == ()
    table = (folder / "reports" / "growing" / "default" / "trials.csv").read_text()
    assert len(table.splitlines()) == 1 + len(end.trials)


def test_a_crash_does_not_choose_the_rung(folder: Path) -> None:
    """A step that is worse on every seed is not taken because its unlucky seed has failed."""

    def crashed(study: Study) -> dict[str, Record]:
        records = outcomes(study)
        for trial in study.trials:
            value = {"baseline": 0.0, "a=on": 1.0, "b=on": -2.0, "c=on": -3.0}.get(trial.variant, -9.0)
            luck = -50.0 if trial.seed == 0 else 50.0
            record = replace(records[trial.id], metrics={"score": value + luck})
            if trial.variant == "b=on" and trial.seed == 0:
                record = replace(record, status="failed", cause="error", metrics={})
            records[trial.id] = record
        return records

    study = load(folder, GREEDY)
    larger = grown(study, crashed(study))
    assert larger is not None
    assert larger.growth.rungs == {0: ("a=on",)}


def test_seeds_that_grow_can_be_judged_over_images(folder: Path) -> None:
    """Without outcomes by image it grows by what seeds alone say."""
    study = load(folder, SEQUENTIAL.replace("margin: 1.5", "margin: 1.5, over: seeds_and_images"))
    assert study.sequential is not None
    plain = load(folder, SEQUENTIAL)
    larger, expected = grown(study, outcomes(study), Kept()), grown(plain, outcomes(plain))
    assert larger is not None
    assert expected is not None
    assert larger.growth == expected.growth
    fixed = load(folder, SEQUENTIAL.replace("margin: 1.5", "margin: 1.5, over: seeds_and_images"), seeds=4)
    assert fixed.sequential is None


def test_an_edit_in_mid_run_is_for_the_next_command(folder: Path) -> None:
    """Study and training code are read once: a file that is half saved, or code that has changed, does not reach a
    study that grows.
    """
    study = load(folder, SEQUENTIAL)
    records = outcomes(study)
    (folder / "study.yaml").write_text("study: [")
    (folder / "growing_own.py").write_text(OWN + "\n\nx = 1\n")
    larger = grown(study, records)
    assert larger is not None
    assert {trial.id for trial in study.trials} < {trial.id for trial in larger.trials}


FAILING = OWN.replace("    report(1", "    if recipe['parts']['b']:\n        raise ValueError('broken')\n    report(1")


def test_what_failed_is_tried_once_a_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """However often the study grows, a Trial that failed is not trained again before the next command."""
    (folder / "growing_own.py").write_text(FAILING)
    options = RunOptions(folder / "home", folder / "reports", slots=2, check=False, quiet=True)
    study = load(folder, SEQUENTIAL)
    assert run_study(study, options) == FAILED
    assert capsys.readouterr().out.splitlines()[-1].endswith("failed 3")
    spool = Spool(folder / "home")
    end, records = as_far_as_known(study, lambda now: spool.records(trial.id for trial in now.all_trials))
    assert len(end.trials) > len(study.trials)
    assert {r.attempts for r in records.values() if r.status == "failed"} == {1}


def test_stopped_between_two_rounds_is_not_done(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stop that comes when all Trials so far have ended is told, and the exit code says that more is to come."""
    from ablate import executing

    train = executing.Execution.train

    def stopped(self: executing.Execution, *arguments: object) -> object:
        done = train(self, *arguments)  # type: ignore[arg-type]
        self.stop.request()
        return done

    monkeypatch.setattr(executing.Execution, "train", stopped)
    options = RunOptions(folder / "home", folder / "reports", slots=2, check=False)
    study = load(folder, SEQUENTIAL)
    assert run_study(study, options) == FAILED
    printed = capsys.readouterr().out
    assert "the results ask for more" in printed
    assert printed.splitlines()[-1] == f"trained {len(study.trials)}, reused 0, failed 0"
