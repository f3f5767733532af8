"""What every executor must do. A new one joins by its name, and passes."""

from __future__ import annotations

import shutil
import time

import pytest
from submitit.core.utils import FailedJobError, UncompletedJobError

from ablate.execution.executors import EXECUTORS, make_executor
from ablate.execution.executors.local import last_words
from ablate.execution.run_folder import RunFolder
from ablate.execution.slots import Slot
from ablate.execution.status import read_status


@pytest.fixture(params=sorted(EXECUTORS))
def name(request):
    """Each executor in turn."""
    return request.param


@pytest.fixture
def run(workplace):
    """A run folder whose driver is this test."""
    with RunFolder(workplace.root / "run").driving() as folder:
        yield folder


@pytest.fixture
def finish(workplace, run, name):
    """Submits a Pack and waits for the job's end."""

    def submit(trials, **options):
        pack = workplace.pack(trials, run=run.path, **options)
        job = make_executor(name, run.jobs).submit(pack)
        end = time.monotonic() + 30
        while not job.done():
            assert time.monotonic() < end, "the job did not end"
            time.sleep(0.02)
        return pack, job

    return submit


def test_a_job_trains_its_pack(workplace, finish):
    """All Trials of the Pack have a finished Record when the job has ended, which is no death."""
    pack, job = finish([workplace.trial("a"), workplace.trial("b", seed=3)])

    assert job.done()
    assert job.error() is None
    records = workplace.spool.records(["a", "b"])
    assert {name: record.metrics for name, record in records.items()} == {"a": {"score": 0.2}, "b": {"score": 3.2}}
    status = read_status(pack.status_file)
    assert (status.trial, status.trained, status.failed) == (None, ("a", "b"), ())


def test_a_failing_trial_is_no_dead_job(workplace, finish):
    """Failures of Trials are in their Records; the job goes on and ends well."""
    _, job = finish([workplace.trial("bad", mode="raise"), workplace.trial("good")])

    assert job.error() is None
    assert workplace.spool.record("bad").cause == "error"
    assert workplace.spool.record("good").status == "finished"


def test_a_job_that_cannot_begin_says_why(workplace, finish):
    """A Trainable that is not there is the job's death, with the reason in one line and the log below."""
    pack, job = finish([workplace.trial("a")], trainable="toy:missing")

    assert "module 'toy' has no function 'missing'" in job.error()
    assert "\n" not in job.error()
    assert "Traceback" in job.log_tail()
    assert read_status(pack.status_file).fruitless


def test_a_job_asked_to_stop_has_not_died(workplace, run, finish):
    """With the stop file there, nothing is begun, and that is no death."""
    run.stop_file.touch()
    _, job = finish([workplace.trial("a")])

    assert job.error() is None
    assert workplace.spool.record("a") is None


def test_a_job_without_its_driver_stops_unless_it_was_left_on_purpose(workplace, name, until):
    """Where nobody holds the driver's lock, an attached job begins nothing and a detached one trains."""
    run = RunFolder(workplace.root / "left")
    executor = make_executor(name, run.jobs)
    for trial, attached in (("a", True), ("b", False)):
        pack = workplace.pack([workplace.trial(trial)], run=run.path, attached=attached, job=trial)
        until(executor.submit(pack).done)

    assert workplace.spool.record("a") is None
    assert workplace.spool.record("b").status == "finished"


def test_killing_an_ended_job_changes_nothing(workplace, finish):
    """`kill` after the end is harmless."""
    _, job = finish([workplace.trial("a")])
    job.kill()

    assert job.done()
    assert job.error() is None


def test_a_trainable_can_spoil_neither_recipe_nor_folder_of_the_next(workplace, finish, monkeypatch):
    """Each Trial gets a recipe of its own, and starts in the working folder whatever the one before it did."""
    monkeypatch.chdir(workplace.root)
    trials = [workplace.trial(name, nested={"value": 1}) for name in "ab"]
    shared = trials[0].recipe["nested"]
    trials[1].recipe["nested"] = shared
    finish(trials, trainable="toy:environment")

    assert [workplace.spool.record(name).metrics["score"] for name in "ab"] == [2.0, 2.0]
    assert [line[2] for line in workplace.lines("in")] == [str(workplace.root)] * 2


def test_local_jobs_get_their_slots_share(workplace, run, until):
    """A local job sees its slot's threads and GPU before anything is imported, in a session of its own."""
    pack = workplace.pack(
        [workplace.trial("a", nested={"value": 0})],
        run=run.path,
        trainable="toy:environment",
        slot=Slot("slot0", threads=3, gpu="5"),
    )
    until(make_executor("local", run.jobs).submit(pack).done)

    assert workplace.marks.with_suffix(".env").read_text() == "3 5 True"


def test_a_killed_local_job_names_the_signal(workplace, run, until):
    """The death of a process is told by the name of its signal."""
    job = make_executor("local", run.jobs).submit(
        workplace.pack([workplace.trial("a", steps=600, sleep=0.05)], run=run.path)
    )
    until(lambda: workplace.lines("begin"))
    assert job.error() is None
    job.kill()
    until(job.done)

    assert job.error() == "killed by SIGKILL"


def test_the_reason_of_a_death_is_the_last_line_of_its_trace():
    """What the worker raised tells more than the log, and submitit's own lines tell nothing."""
    rule = "-" * 22
    failed = FailedJobError(
        f"Job failed with trace:\n{rule}\nTraceback\n  ...\nKeyError: 'x'\n\n{rule}\nSee job.stderr(0)"
    )
    log = "last words\nsubmitit ERROR (2026-01-01) - Submitted job triggered an exception\n"

    assert last_words(failed, log) == "KeyError: 'x'"
    assert last_words(UncompletedJobError("has not produced any output"), log) == "last words"
    assert last_words(UncompletedJobError("has not produced any output"), log.partition("\n")[2]) == "no output"


@pytest.mark.parametrize(
    ("trainable", "reason"), [("toy:missing", "exit status 1: no output"), ("toy:train", "result")]
)
def test_a_local_job_whose_folder_is_deleted_has_a_reason_all_the_same(workplace, run, until, trainable, reason):
    """Whoever deletes the folder of a run costs it the log and the results, but does not break the driver."""
    job = make_executor("local", run.jobs).submit(
        workplace.pack([workplace.trial("a")], run=run.path, trainable=trainable)
    )
    until(job.done)
    shutil.rmtree(run.jobs)

    assert reason in job.error()
    assert job.log_tail() == ""


def test_an_unknown_executor_lists_the_choices(tmp_path):
    """A misspelt name is answered with the names there are."""
    with pytest.raises(ValueError, match="no executor named 'lokal'; allowed: local, debug"):
        make_executor("lokal", tmp_path)
