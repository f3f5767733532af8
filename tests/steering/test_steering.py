"""Cancelling jobs, choosing what is trained again, and the verbs that do both."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import typer
from typer.testing import CliRunner

from ablate import cli_steering, steering
from ablate import run as ablate_run
from ablate.execution.cluster.queue import SlurmError

app = typer.Typer()
for verb in (cli_steering.status, cli_steering.logs, cli_steering.cancel, cli_steering.retry):
    app.command()(verb)


@pytest.fixture
def ablate(world):
    """Runs a verb; what it printed, after its exit code was checked."""

    def call(verb, *arguments, code=0):
        done = CliRunner().invoke(app, [verb, *map(str, arguments), "--home", str(world.home)])
        assert done.exit_code == code, done.output
        return done.output

    return call


def queued(world):
    """Three jobs: one runs the baseline, one waits with two Variants, and one of another study runs beside them."""
    trials = world.trial("baseline"), world.trial("width=two"), world.trial("width=three")
    submission = world.submit(trials[:1], trials[1:])
    world.slurm.queue("100_0", world.name)
    world.slurm.queue("100_1", world.name, "PENDING")
    world.slurm.queue("900_0", "somebody-elses")
    return submission


def test_all_of_a_study_is_cancelled_and_nothing_else(world, ablate):
    """Running and pending jobs of this study go, marked as cancelled before; what ended is said with its step."""
    submission = queued(world)
    world.interrupt(world.trial("baseline"))
    out = ablate("cancel", world.file)
    assert world.slurm.calls("scancel") == [["--quiet", "100_0", "100_1"]]
    assert all(job.cancelled for job in submission.jobs())
    assert "cancelling 2 jobs: 1 running, 1 waiting" in out
    assert "baseline seed 0 (job 100_0): cancelled at step 1" in out
    assert {item.state for item in world.stands().trials} == {"cancelled", "new"}


def test_only_some_variants(world, ablate):
    """A job goes as a whole, and whom that hits besides is said; other jobs stay."""
    queued(world)
    out = ablate("cancel", world.file, "--only", "*two")
    assert world.slurm.calls("scancel") == [["--quiet", "100_1"]]
    assert "job 100_1 was to train others, too: width=three seed 0" in out
    assert "the next `ablate run` submits them again" in out


def test_jobs_of_another_home_are_left_alone(world, ablate):
    """The same study may be trained from another home; its jobs have the same name and are not ours to end."""
    world.slurm.queue("500_0", world.name)
    assert "no job of watched/default runs or waits" in ablate("cancel", world.file)
    assert not world.slurm.calls("scancel")


def test_slurm_away_and_a_wrong_pattern(world, ablate):
    """A mistake of the user's is exit code 2; Slurm's refusal is told in its words, with exit code 1."""
    queued(world)
    assert "did you mean 'width=two'" in ablate("cancel", world.file, "--only", "width=tow", code=2)
    world.slurm.down("Unable to contact slurm controller")
    assert "Unable to contact slurm controller" in ablate("cancel", world.file, code=1)


def test_jobs_that_do_not_end_in_time(world):
    """What is still in the queue after the patience is over is named."""
    queued(world)
    ended = steering.cancel(world.home, world.study.slug)
    world.slurm.queue("100_0", world.name, "COMPLETING")
    assert steering.wait_until_ended(world.study.slug, ended, 0.0) == ["job 100_0"]
    assert steering.patience() == 3 + 15


def test_a_local_driver_is_asked_to_stop(world):
    """The stop file of a living driver's run appears, and none in the folder of one that has gone."""
    world.holds("slot0-1", world.trial("baseline"), run="gone-1")
    world.holds("slot0-1", world.trial("baseline"), run="alive-2")
    with world.driver("alive-2") as run:
        ended = steering.cancel(world.home, world.study.slug)
        assert [driver.path for driver in ended.drivers] == [run.path]
        assert run.stop_file.exists()
        assert steering.wait_until_ended(world.study.slug, ended, 0.0) == [f"the run in {run.path}"]
    assert steering.wait_until_ended(world.study.slug, ended, 0.0) == []
    assert not (run.path.parent / "gone-1" / "stop").exists()


def test_a_driver_that_watches_slurm_is_not_stopped(world):
    """Its jobs are ended one by one: a stop file would end those of other Variants, too."""
    queued(world)
    with world.driver() as run:
        assert steering.cancel(world.home, world.study.slug).drivers == ()
        assert not run.stop_file.exists()


def test_cancel_raises_slurms_words(world):
    """Without an answer nothing is known to be cancelled, and that is an error."""
    queued(world)
    world.slurm.down("no")
    with pytest.raises(SlurmError, match="no"):
        steering.cancel(world.home, world.study.slug)


def outcomes(world):
    """One Trial of each kind; by what became of it."""
    names = ("diverged", "error", "interrupted", "cancelled", "finished", "waiting")
    of = dict(zip(names, world.study.trials, strict=True))
    world.submit([of["cancelled"]], [of["waiting"]])
    next(job for job in world.submit([of["cancelled"]], [of["waiting"]]).jobs() if job.index == 0).mark_cancelled()
    world.slurm.queue("100_1", world.name, "PENDING")
    world.fail(of["diverged"], "diverged", "the loss is NaN")
    world.fail(of["error"])
    world.interrupt(of["interrupted"])
    world.finish(of["finished"])
    return of


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {"diverged", "error", "interrupted", "cancelled"}),
        (["--failed"], {"diverged", "error"}),
        (["--failed", "--only", "baseline"], {"diverged"}),
    ],
)
def test_what_is_trained_again(world, ablate, monkeypatch, arguments, expected):
    """Failures of any cause, and by default what was interrupted or cancelled; never what waits or has finished."""
    of, given = outcomes(world), []
    monkeypatch.setattr(ablate_run, "run_study", lambda study, options: given.append(options.retry) or 0)
    out = ablate("retry", world.file, *arguments)
    assert given == [{of[name].id for name in expected}]
    assert "baseline seed 0: failed at step 1, diverged: the loss is NaN" in out
    assert f"{len(expected)} to train again" in out


def test_nothing_to_train_again(world, ablate, monkeypatch):
    """Without anything to take up, nothing is run."""
    monkeypatch.setattr(ablate_run, "run_study", None)
    assert "nothing of watched/default is to be trained again" in ablate("retry", world.file)


def test_teachers_come_with_their_pupils(world):
    """A pupil is taken up with the teacher that failed before it, but not with one that has finished."""
    teacher, pupil = world.trial("baseline"), replace(world.trial("width=two"), needs=(world.trial("baseline").id,))
    from ablate.standing import StudyStanding, TrialStanding

    chosen = TrialStanding(pupil, "failed", cause="teacher")
    for state, ids in (("failed", {teacher.id, pupil.id}), ("finished", {pupil.id})):
        standing = StudyStanding((TrialStanding(teacher, state), chosen), 0.0)
        assert steering.with_teachers([chosen], standing) == ids


def test_status(world, ablate):
    """The table and the JSON document tell of the same Trials; watching ends when nothing runs or waits."""
    outcomes(world)
    parsed = json.loads(ablate("status", world.file, "--json"))
    assert parsed["counts"]["failed"] == 2
    assert {t["id"] for t in parsed["trials"]} == {t.id for t in world.study.trials}
    assert "6 Trials: 2 failed" in ablate("status", world.file)
    world.slurm.end("100_1", "COMPLETED")
    assert "1 stale" in ablate("status", world.file, "--watch")


def test_logs(world, ablate):
    """Both streams with headings; without any log what the spool knows, the failure's own tail included."""
    of = outcomes(world)
    assert "the traceback" not in ablate("logs", of["error"].id)
    world.fail(of["error"], log_tail="the traceback")
    out = ablate("logs", of["error"].id)
    assert "failed after 2 attempts: error: ValueError: no" in out
    assert "the traceback" in out
    file = world.log("100_0", "one\ntwo\nthree\n")
    out = ablate("logs", "100_0", "--lines", 2)
    assert f"==> {file} <==\ntwo\nthree\n" in out
    assert "one" not in out.splitlines()
    assert "two" in ablate("logs", "width=two:0" if of["cancelled"].variant == "width=two" else of["cancelled"].id)


def test_status_makes_no_home(world, ablate):
    """Looking at a study that nobody has begun leaves the folder as it was."""
    ablate("status", world.file)
    assert not world.home.exists()
