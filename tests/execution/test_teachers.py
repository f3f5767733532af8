"""Trials that need others: they come after them, are handed what they learn from, and fail with them."""

from __future__ import annotations

import os
import signal

import pytest

from ablate.execution.handover import hand_over
from ablate.execution.ledger import Ledger


@pytest.fixture
def run(workplace):
    """One invocation of the driver over Trials that learn from one another."""

    def train(trials, **options):
        return workplace.run(trials, trainable="taught:train", **options)

    return train


def moments(workplace, event):
    """Name of each Trial -> when it left the mark."""
    return {line[0]: float(line[-2]) for line in workplace.lines(event)}


@pytest.mark.parametrize("executor", ["local", "debug"])
def test_a_trial_begins_after_its_teacher_has_ended_and_learns_from_it(workplace, run, executor):
    """In whatever order they are listed: a chain of three, each scoring one more than the Trial it was handed."""
    trials = [
        workplace.trial("pupil", needs=["assistant"]),
        workplace.trial("assistant", needs=["teacher"]),
        workplace.trial("teacher", sleep=0.1),
    ]
    summary = run(trials, executor=executor)

    assert sorted(summary.trained) == ["assistant", "pupil", "teacher"]
    begins, ends = moments(workplace, "begin"), moments(workplace, "end")
    assert ends["teacher"] < begins["assistant"]
    assert ends["assistant"] < begins["pupil"]
    scores = {name: workplace.spool.record(name).metrics["score"] for name in begins}
    assert scores == {"teacher": 0.0, "assistant": 1.0, "pupil": 2.0}


def test_slots_train_what_is_free_while_a_teacher_trains(workplace, run):
    """Two slots: while one has the teacher, the other works through the Trials that need none, and then both teach."""
    free = [workplace.trial(f"free{i}", sleep=0.02) for i in range(3)]
    # Long enough for a second process to begin before the first one has done them all.
    taught = [workplace.trial(f"taught{i}", steps=15, sleep=0.1, needs=["teacher"]) for i in range(4)]
    summary = run([workplace.trial("teacher", steps=20, sleep=0.1), *taught, *free])

    assert len(summary.trained) == 8
    begins, ends = moments(workplace, "begin"), moments(workplace, "end")
    assert all(ends[trial.id] < ends["teacher"] < begins[other.id] for trial in free for other in taught)
    assert len({line[-1] for line in workplace.lines("begin") if line[0].startswith("taught")}) == 2


def test_a_trial_is_free_once_its_teacher_has_finished(workplace, run):
    """Nothing is free while the one that others wait for is in somebody's hands: so no slot starts a job in vain."""
    trials = [workplace.trial("teacher"), workplace.trial("pupil", needs=["teacher"])]
    ledger = Ledger(trials, workplace.spool)
    assert [trial.id for trial in ledger.free()] == ["teacher"]
    with workplace.spool.claim(trials[0], "taught:train", ""):
        assert ledger.free() == []
        assert ledger.untaught() == []
    run(trials[:1])
    assert ledger.free() == trials[:1]  # nobody has told the ledger yet
    ledger.settle(workplace.spool.record("teacher"))
    assert ledger.free() == trials[1:]
    assert Ledger(trials, workplace.spool).free() == trials[1:]


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("raise", "its teacher, Trial teacher, failed: ValueError: not today"),
        ("diverge", "its teacher, Trial teacher, failed: diverged: loss is NaN at step 1"),
        ("die", "its teacher, Trial teacher, failed: lost: its process died"),
    ],
)
def test_a_trial_fails_with_its_teacher_and_without_being_trained(workplace, run, drive, mode, reason):
    """Whatever happened to the teacher, its pupils and theirs say so, and Trials that need none are trained."""
    workplace.marks.with_suffix(".broken").touch()
    trials = [
        workplace.trial("teacher", mode=mode),
        workplace.trial("pupil", needs=["teacher"]),
        workplace.trial("grandpupil", needs=["pupil"]),
        workplace.trial("free"),
    ]
    listener = drive.Listener()
    summary = run(trials, observer=listener)

    assert summary.trained == ("free",)
    assert sorted(summary.failed) == ["grandpupil", "pupil", "teacher"]
    assert set(workplace.names("begin")) == {"teacher", "free"}
    pupil, grandpupil = workplace.spool.record("pupil"), workplace.spool.record("grandpupil")
    assert (pupil.status, pupil.cause) == ("failed", "teacher")
    assert pupil.error.startswith(reason)
    assert grandpupil.error.startswith("its teacher, Trial pupil, failed: teacher: its teacher, Trial teacher, failed")
    assert sorted(listener.outcomes) == sorted(
        [("teacher", "failed"), ("pupil", "failed"), ("grandpupil", "failed"), ("free", "finished")]
    )


def test_the_next_run_tries_a_failed_teacher_and_its_pupils_again(workplace, run):
    """Once the teacher finishes, those that had failed with it are trained, and count the attempt that was none."""
    trials = [workplace.trial("teacher", mode="raise"), workplace.trial("pupil", needs=["teacher"])]
    workplace.marks.with_suffix(".broken").touch()
    run(trials)
    run(trials, name="again")
    assert workplace.spool.record("pupil").attempts == 2
    workplace.marks.with_suffix(".broken").unlink()
    summary = run(trials, name="at last")

    assert sorted(summary.trained) == ["pupil", "teacher"]
    pupil = workplace.spool.record("pupil")
    assert (pupil.status, pupil.attempts, pupil.metrics) == ("finished", 3, {"score": 1.0})


def test_a_pupil_of_a_failure_that_stands_fails_at_once(workplace, run):
    """A teacher that an earlier run has seen diverge, and that this one is not given, is not waited for."""
    run([workplace.trial("teacher", mode="diverge")])
    summary = run([workplace.trial("pupil", needs=["teacher"])], name="again")

    assert summary.failed == ("pupil",)
    assert "diverged: loss is NaN" in workplace.spool.record("pupil").error


def test_a_pupil_of_a_trial_that_nobody_trains_fails_at_once(workplace, run):
    """A Trial that was never begun and is not among those of the run is told as such, and not waited for."""
    assert run([workplace.trial("pupil", needs=["0123456789abcdef"])]).failed == ("pupil",)
    error = workplace.spool.record("pupil").error
    assert error == "its teacher, Trial 0123456789abcdef, has not finished, and is not trained here"


def test_a_teacher_that_has_finished_before_is_not_trained_again(workplace, run):
    """Whether or not the run is given it."""
    teacher = workplace.trial("teacher")
    run([teacher])
    with_it = run([teacher, workplace.trial("one", needs=["teacher"])], name="with it")
    run([workplace.trial("two", needs=["teacher"])], name="without it")

    assert with_it.reused == ("teacher",)
    assert workplace.names("begin") == ["one", "teacher", "two"]


@pytest.mark.parametrize("interrupted", ["teacher", "pupil"])
def test_a_stopped_run_goes_on_where_it_was(workplace, run, until, interrupted):
    """Stopped while the teacher trains, or while its pupil does: the next run trains each of them to its end once."""
    slow = {interrupted: 0.1}
    trials = [
        workplace.trial("teacher", steps=10, sleep=slow.get("teacher", 0.01)),
        workplace.trial("pupil", steps=10, sleep=slow.get("pupil", 0.01), needs=["teacher"]),
    ]
    stop, _, join = workplace.run_in_thread(trials, trainable="taught:train")
    until(lambda: workplace.spool.last_row(interrupted) is not None)
    stop.request()
    summary = join()
    assert summary.interrupted == (interrupted,)
    assert summary.waiting == (("pupil",) if interrupted == "teacher" else ())
    again = run(trials, name="again")

    assert "pupil" in again.trained
    assert workplace.names("end") == ["pupil", "teacher"]
    assert workplace.spool.record("pupil").metrics == {"score": 1.0}


def test_a_killed_worker_loses_neither_the_teacher_nor_its_pupil(workplace, until):
    """The process dies while a pupil trains: the pupil goes on in another, with the same teacher."""
    trials = [workplace.trial("teacher"), workplace.trial("pupil", steps=30, sleep=0.1, needs=["teacher"])]
    _, _, join = workplace.run_in_thread(trials, trainable="taught:train", slots=1)
    until(lambda: workplace.spool.last_row("pupil") is not None)
    os.kill(int(workplace.lines("begin")[-1][-1]), signal.SIGKILL)
    summary = join()

    assert sorted(summary.trained) == ["pupil", "teacher"]
    assert workplace.names("end") == ["pupil", "teacher"]
    assert workplace.names("begin") == ["pupil", "pupil", "teacher"]


def test_two_drivers_share_a_teacher(workplace):
    """Both wait for the one that trains it, neither calls the other's work a failure, and each Trial ends once."""
    trials = [
        workplace.trial("teacher", steps=10, sleep=0.1),
        *(workplace.trial(f"p{i}", needs=["teacher"]) for i in range(3)),
    ]
    joins = [workplace.run_in_thread(trials, name=name, trainable="taught:train")[2] for name in ("first", "second")]
    summaries = [join() for join in joins]

    assert workplace.names("end") == ["p0", "p1", "p2", "teacher"]
    assert all(summary.complete and not summary.failed for summary in summaries)


def test_what_is_handed_over_takes_no_space_and_is_gone_when_the_trial_has_ended(workplace, run):
    """The weights are a link while the Trial trains; of a finished one only its own artifacts are kept."""
    run([workplace.trial("teacher"), workplace.trial("pupil", needs=["teacher"])])
    work = workplace.spool.home("pupil") / "work"
    assert [path.name for path in work.iterdir()] == ["artifacts"]

    hand_over(workplace.trial("other", needs=["teacher"]), workplace.spool, workplace.root)
    handed = workplace.root / "needs" / "teacher" / "weights.pt"
    assert handed.samefile(workplace.spool.artifact("teacher", "weights.pt"))


def test_weights_that_are_gone_are_a_failure_that_says_so(workplace, run):
    """The pupil fails with a plain reason; nothing is trained from no teacher at all."""
    run([workplace.trial("teacher")])
    workplace.spool.artifact("teacher", "weights.pt").unlink()
    run([workplace.trial("pupil", needs=["teacher"])], name="again")

    record = workplace.spool.record("pupil")
    assert record.error == "FileNotFoundError: its teacher, Trial teacher, has left no weights.pt"
