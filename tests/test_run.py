"""A whole run with teachers: the real study, scheduler and Store, and a Trainable that only pretends to train."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ablate import run
from ablate.plan import make_plan, render_plan, to_train
from ablate.run import FAILED, MISTAKE, OK, RunOptions, plan_study, run_study
from ablate.study.load import load_study
from ablate.study.study import Study
from ablate.tracking.record import Record
from ablate.tracking.spool import Spool
from ablate.trainable import WEIGHTS

TINY = Path(__file__).parent / "end_to_end" / "tiny.yaml"
SECTIONS = """\
  taught:
    reference: off
    levels:
      hard: {distillation: {teacher: {checkpoint: 'study:wide'}}}
  judged:
    reference: weights
    levels:
      ema: {judge: ema}
teachers:
  wide: {seed: 5, base: {model.dim: 32}}
profiles:
"""
PRETEND = """\
import json
from pathlib import Path

from ablate.trainable import Diverged


def train(recipe, seed, report, folder):
    mode = Path(__file__).with_name("mode")
    is_teacher = recipe["model"]["dim"] == 32
    if is_teacher and mode.exists() and mode.read_text() == "diverge":
        raise Diverged("the loss became nan")
    if is_teacher and mode.exists() and mode.read_text() == "break":
        raise ValueError("broken")
    top1 = 50.0 + seed
    if recipe["distillation"] != "off":
        place = folder / "needs" / recipe["distillation"]["teacher"]["checkpoint"].removeprefix("trial:")
        assert json.loads((place / "recipe.json").read_text())["model"]["dim"] == 32
        top1 += float((place / "weights.pt").read_text())
    (folder / "artifacts" / "weights.pt").write_text("10" if is_teacher else "0")
    report(1, {"top1": top1, "ema_top1": top1 + 1})
    return {"top1": top1, "ema_top1": top1 + 1}
"""


#: Nobody listens there: what is delivered stays in the spool, and no time is spent on a database.
NOWHERE = "http://127.0.0.1:9"


class Place:
    """A working folder with the study."""

    def __init__(self, root: Path) -> None:
        self.root = root
        text = TINY.read_text(encoding="utf-8").replace("profiles:\n", SECTIONS)
        text = text.replace("  precision: float32\n", "  precision: float32\n  ema: {decay: 0.9}\n", 1)
        (root / "tiny.yaml").write_text(text, encoding="utf-8")
        (root / "pretend.py").write_text(PRETEND, encoding="utf-8")
        self.spool = Spool(root / "home")

    def study(self, **options: Any) -> Study:
        return replace(load_study(self.root / "tiny.yaml", **options), trainable="pretend:train")

    @property
    def database(self) -> str:
        return f"sqlite:///{self.root / 'mlflow.db'}"

    def options(self, **changes: Any) -> RunOptions:
        given = {"home": self.root / "home", "tracking_uri": NOWHERE, "executor": "debug", "quiet": True, **changes}
        return RunOptions(reports=self.root / "reports", **given)

    def mode(self, mode: str) -> None:
        (self.root / "mode").write_text(mode)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A fresh one; what loading does to the search path is undone."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "pretend", raising=False)
    return Place(tmp_path)


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take longer than all that is tested."""
    monkeypatch.setattr(run, "_report", lambda *_: None)


@pytest.fixture
def last_line(capsys: pytest.CaptureFixture[str]) -> Callable[[], tuple[str, str]]:
    """The last line that a run printed, and what it said on standard error."""

    def read() -> tuple[str, str]:
        captured = capsys.readouterr()
        return (captured.out.splitlines() or [""])[-1], captured.err

    return read


def test_each_training_is_made_counted_and_delivered_once(place: Place, last_line: Any) -> None:
    """Five Variants with two seeds are ten results from eight Trials, and one teacher; a second run reuses all."""
    study, options = place.study(), place.options(tracking_uri=place.database)
    assert (len(study.trials), len(study.all_trials)) == (10, 9)
    assert run_study(study, options) == OK
    assert last_line()[0] == "trained 9, reused 0, failed 0"
    pupils = [trial for trial in study.trials if trial.variant == "taught=hard"]
    assert [place.spool.record(t.id).metrics["top1"] for t in pupils] == [60.0, 61.0]

    folder = place.root / "reports" / "tiny" / "default"
    done = (folder / "report.md").read_text(encoding="utf-8")
    assert f"The teacher wide (Trial {study.teachers[0].id}, seed 5) was trained first, to top-1 accuracy 55 %" in done
    assert "10 results from 8 Trials in all" in done
    rows = (folder / "trials.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 11
    assert [line for line in rows if line.split(",")[1] == "judged=ema" and ",51.0," in line]

    from mlflow import MlflowClient

    client = MlflowClient(options.tracking_uri)
    experiment = client.get_experiment_by_name("tiny/default")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    kinds = [run.data.tags["ablate.kind"] for run in runs]
    assert {kind: kinds.count(kind) for kind in kinds} == {"trial": 8, "teacher": 1, "variant": 5, "report": 1}
    also = [run.data.tags["ablate.variant"] for run in runs if run.data.tags.get("ablate.also") == "judged=ema"]
    assert also == ["baseline", "baseline"]

    assert run_study(study, options) == OK
    assert last_line()[0] == "trained 0, reused 9, failed 0"


def test_a_plan_counts_trainings_and_says_who_needs_whom(place: Place) -> None:
    """In the table, in its last lines, and for programs."""
    study = load_study(place.root / "tiny.yaml")
    planned = plan_study(study, place.options())
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(render_plan(planned))
    shown = console.export_text()
    assert "5 Variants x 2 seeds = 10 results from 8 Trials, and 1 teacher: 0 finished, 9 to train" in shown
    rows = {line.split()[0]: line for line in shown.splitlines() if line.strip()}
    assert "model.dim: 16 → 32" in rows["teacher:wide"]
    assert "teacher:wide" in rows["taught=hard"].split()[1:]
    plan = json.loads(json.dumps(planned.as_json(full=False)))
    [teacher] = plan["teachers"]
    assert (teacher["variant"], teacher["seed"], teacher["state"]) == ("teacher:wide", 5, "new")
    assert teacher["changes"]["model.dim"] == {"from": 16, "to": 32}
    needs = {trial["variant"]: trial["needs"] for trial in plan["trials"]}
    assert needs == {
        "baseline": [],
        "position=none": [],
        "readout=cls": [],
        "taught=hard": [teacher["id"]],
        "judged=ema": [],
    }
    each = {t["id"]: t["estimated_seconds"] for t in [*plan["teachers"], *plan["trials"]]}
    assert plan["estimate"]["seconds"] == pytest.approx(sum(each.values()) / plan["estimate"]["slots"])


@pytest.mark.parametrize("mode", ["break", "diverge"])
@pytest.mark.usefixtures("no_report")
def test_pupils_fail_with_their_teacher_and_are_tried_again(place: Place, last_line: Any, mode: str) -> None:
    """After an exception by the next run; after a divergence, which would come again, only when it is asked for."""
    study, options = place.study(only=["taught*"]), place.options()
    place.mode(mode)
    assert run_study(study, options) == FAILED
    assert last_line()[0] == "trained 2, reused 0, failed 3"
    pupil = next(trial for trial in study.trials if trial.needs)
    assert place.spool.record(pupil.id).error.startswith(f"its teacher, Trial {study.teachers[0].id}, failed: ")

    place.mode("works")
    if mode == "diverge":
        assert run_study(study, options) == FAILED
        assert last_line()[0] == "trained 0, reused 2, failed 3"
        options = replace(options, retry_failed=True)
    assert run_study(study, options) == OK
    assert last_line()[0] == "trained 3, reused 2, failed 0"


@pytest.mark.usefixtures("no_report")
def test_a_new_pupil_of_a_teacher_that_diverged_fails_without_waiting(place: Place, last_line: Any) -> None:
    """Another seed is asked for: nothing is trained for it, and the divergence is not repeated."""
    place.mode("diverge")
    run_study(place.study(only=["taught*"], seeds=1), place.options())
    assert last_line()[0] == "trained 1, reused 0, failed 2"
    more = place.study(only=["taught*"])
    assert run_study(more, place.options()) == FAILED
    assert last_line()[0] == "trained 1, reused 1, failed 3"
    assert place.spool.record(more.teachers[0].id).attempts == 1


@pytest.mark.usefixtures("no_report")
def test_what_was_lost_of_a_teacher_is_fetched(place: Place, last_line: Any) -> None:
    """On another machine the Store has it; and where the weights alone were deleted, it has these."""
    options = place.options(tracking_uri=place.database)
    run_study(place.study(only=["taught*"], seeds=1), options)
    elsewhere = replace(options, home=place.root / "elsewhere")
    last_line()
    assert run_study(place.study(only=["taught*"]), elsewhere) == OK
    assert last_line()[0] == "trained 2, reused 3, failed 0"

    study = place.study(only=["taught*"])
    place.spool.artifact(study.teachers[0].id, WEIGHTS).unlink()
    newcomer = replace(study, trials=(*study.trials[:2], replace(study.trials[3], id="0" * 16)), seeds=(0,))
    assert run_study(newcomer, options) == OK
    assert place.spool.record("0" * 16).metrics["top1"] == 61.0


@pytest.mark.usefixtures("no_report")
def test_a_borrowed_teacher_must_have_finished(place: Place, last_line: Any) -> None:
    """One that is in neither place is refused before anything trains; after its own study has run it is taken."""
    own, options = place.study(seeds=1, only=["taught*"]), place.options(tracking_uri=place.database)
    teacher = own.teachers[0].id
    text = (place.root / "tiny.yaml").read_text(encoding="utf-8")
    borrower = text.replace("study:wide", f"trial:{teacher}").replace("study: tiny", "study: borrower")
    (place.root / "borrower.yaml").write_text(borrower.partition("teachers:\n")[0], encoding="utf-8")
    study = replace(load_study(place.root / "borrower.yaml", seeds=1, only=["taught*"]), trainable="pretend:train")
    assert study.borrowed == (teacher,)
    assert run_study(study, options) == MISTAKE
    assert f"the teacher trial:{teacher} is none of this study's own Trials" in " ".join(last_line()[1].split())
    assert not (place.root / "home" / "trials").exists()

    assert run_study(own, options) == OK
    assert run_study(study, replace(options, home=place.root / "elsewhere")) == OK
    taught = next(trial for trial in study.trials if trial.needs)
    assert Spool(place.root / "elsewhere").record(taught.id).metrics["top1"] == 60.0


@pytest.mark.usefixtures("no_report")
def test_weights_that_nobody_has_are_refused(place: Place, last_line: Any) -> None:
    """Before training, with what to do; and so is a file that is not on this machine."""
    options = place.options()
    run_study(place.study(only=["taught*"], seeds=1), options)
    study = place.study(only=["taught*"])
    place.spool.artifact(study.teachers[0].id, WEIGHTS).unlink()
    last_line()
    empty = replace(options, tracking_uri=f"sqlite:///{place.root / 'empty.db'}")
    assert run_study(study, empty) == MISTAKE
    said = " ".join(last_line()[1].split())
    assert f"the teacher trial:{study.teachers[0].id} has finished, but neither" in said
    assert f"has its {WEIGHTS}; delete {place.spool.home(study.teachers[0].id)} to train it again" in said

    text = (place.root / "tiny.yaml").read_text(encoding="utf-8")
    text = text.replace("'study:wide'", "'file:gone.pt', model: ViT-Ti/16")
    (place.root / "tiny.yaml").write_text(text, encoding="utf-8")
    assert run_study(place.study(), options) == MISTAKE
    assert "the teacher's weights gone.pt are not on this machine; a relative path starts at" in last_line()[1]
    assert "the teacher's weights (file:gone.pt)" in str(
        render_plan(make_plan(load_study(place.root / "tiny.yaml"), {}, [], 1)).renderables[1]
    )


def test_a_divergence_stands_for_pupils_as_long_as_it_stands_for_their_teacher(place: Place) -> None:
    """A teacher that has finished elsewhere meanwhile frees its pupils."""
    study = load_study(place.root / "tiny.yaml", only=["taught*"], seeds=1)
    teacher, pupil = study.teachers[0], next(trial for trial in study.trials if trial.needs)

    def record(trial_id: str, status: Any, cause: Any = None) -> Record:
        return Record(trial_id, 0, study.trainable, {}, status, 0.0, cause=cause)

    def left(*records: Record, retry: bool = False) -> list[str]:
        chosen = to_train(study, {r.trial_id: r for r in records}, retry_diverged=retry)
        return [t.variant for t in chosen if t.variant != "baseline"]

    untaught = record(pupil.id, "failed", "teacher")
    assert left(record(teacher.id, "failed", "diverged"), untaught) == []
    assert left(record(teacher.id, "failed", "diverged"), untaught, retry=True) == ["teacher:wide", "taught=hard"]
    assert left(record(teacher.id, "failed", "diverged")) == ["taught=hard"]
    assert left(record(teacher.id, "failed", "error"), untaught) == ["teacher:wide", "taught=hard"]
    assert left(record(teacher.id, "finished"), untaught) == ["taught=hard"]
    assert left(record(teacher.id, "finished"), record(pupil.id, "failed", "diverged")) == []
