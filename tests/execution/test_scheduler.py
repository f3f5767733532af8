"""The scheduler over the local executor: bounded, fair, and proof against death at any moment."""

from __future__ import annotations

import io
import json
import os
import signal
import time
from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console

from ablate.execution.display import PlainDisplay
from ablate.execution.scheduler import ExecutionError
from ablate.execution.stopping import Stop


def test_trains_every_trial_once_in_no_more_processes_than_slots(workplace):
    """Two slots take five Trials from one list, never more than two at a time, in one process per slot."""
    summary = workplace.run([workplace.trial(f"t{i}", steps=4, sleep=0.05) for i in range(5)])

    assert sorted(summary.trained) == workplace.names("begin") == workplace.names("end") == [f"t{i}" for i in range(5)]
    assert summary.complete
    begins, ends = workplace.lines("begin"), workplace.lines("end")
    changes = sorted([(float(line[3]), 1) for line in begins] + [(float(line[3]), -1) for line in ends])
    running, most = 0, 0
    for _, change in changes:
        running += change
        most = max(most, running)
    assert most == 2
    assert len({line[4] for line in begins}) == 2


def test_one_slot_keeps_the_order_of_the_study(workplace):
    """With one slot Trials run in the order in which they were given."""
    workplace.run([workplace.trial(name) for name in "cab"], slots=1)

    times = {line[0]: float(line[3]) for line in workplace.lines("begin")}
    assert all(times[first] < times[then] for first, then in pairwise("cab"))


def test_starts_no_more_jobs_than_there_are_trials(workplace):
    """One Trial and four slots make one job."""
    workplace.run([workplace.trial("only")], slots=4)

    assert len(list((workplace.root / "run" / "jobs").iterdir())) == 1


def test_a_second_run_trains_nothing(workplace, drive):
    """What is finished is reused, and no job is started for it."""
    trials = [workplace.trial("a"), workplace.trial("b")]
    workplace.run(trials)
    summary = workplace.run(trials, name="again")

    assert sorted(summary.reused) == ["a", "b"]
    assert not summary.trained
    assert not (workplace.root / "again" / "jobs").exists() or not list((workplace.root / "again" / "jobs").iterdir())
    assert workplace.names("begin") == ["a", "b"]


def test_the_display_counts_what_was_finished_before(workplace):
    """A driver that is given all Trials of a study says how many of them are finished already, and counts them."""
    trials = [workplace.trial(name) for name in "abc"]
    workplace.run(trials[:2])
    out = io.StringIO()
    workplace.run(trials, name="again", slots=1, observer=PlainDisplay(Console(file=out), "score"))

    first, second = out.getvalue().splitlines()
    assert first == "3 Trials, 2 of them finished before; training in 1 slot"
    assert second.startswith("[3/3] trained c seed 0: score 0.2 in ")


def test_failures_stop_nobody_else_and_are_tried_again_by_the_next_run(workplace):
    """Each way of failing leaves its cause; the others are trained; a later run tries the failed ones once more."""
    trials = [
        workplace.trial("raises", mode="raise"),
        workplace.trial("exits", mode="exit"),
        workplace.trial("diverges", mode="diverge"),
        workplace.trial("forgets", mode="no_metric"),
        workplace.trial("gives_up", mode="stop"),
        workplace.trial("good"),
    ]
    summary = workplace.run(trials)

    assert summary.trained == ("good",)
    assert sorted(summary.failed) == ["diverges", "exits", "forgets", "gives_up", "raises"]
    records = workplace.spool.records(summary.failed)
    assert {name: record.cause for name, record in records.items()} == {
        "raises": "error",
        "exits": "error",
        "diverges": "diverged",
        "forgets": "error",
        "gives_up": "error",
    }
    assert records["raises"].error == "ValueError: the first line"
    assert "and a second one" in records["raises"].log_tail
    assert records["raises"].environment["threads"] == "1"
    assert records["diverges"].error == "loss is NaN at step 1"
    assert "no metric 'score'" in records["forgets"].error
    assert "it returned: loss" in records["forgets"].error
    assert "no stop was requested" in records["gives_up"].error

    again = workplace.run(trials, name="again")
    assert sorted(again.failed) == sorted(summary.failed)
    assert again.reused == ("good",)
    assert workplace.names("begin").count("raises") == 2


def test_a_killed_worker_is_replaced_and_its_trial_goes_on(workplace, drive):
    """A SIGKILL costs the process, not the Trial: it resumes at its checkpoint and finishes once."""
    listener = drive.Listener()
    summary = workplace.run([workplace.trial("k", steps=3, mode="kill_once"), workplace.trial("o")], observer=listener)

    assert sorted(summary.trained) == ["k", "o"]
    assert [line[2] for line in workplace.lines("begin") if line[0] == "k"] == ["0", "1"]
    assert workplace.names("end") == ["k", "o"]
    assert workplace.spool.record("k").attempts == 2
    assert any("SIGKILL" in message and "k seed 0" in message for message in listener.messages)


def test_a_trial_that_kills_its_process_at_the_same_step_again_is_lost(workplace):
    """Two deaths are enough: the Trial fails as lost, with what its process said last; the others are trained."""
    summary = workplace.run([workplace.trial("k", steps=9, mode="kill_at", at=2), workplace.trial("o")], slots=1)

    assert summary.trained == ("o",)
    assert summary.failed == ("k",)
    record = workplace.spool.record("k")
    assert record.cause == "lost"
    assert record.error == "its process died 2 times without getting any further: killed by SIGKILL"
    assert "these are its last words" in record.log_tail
    assert workplace.names("begin").count("k") == 2


def test_a_trial_that_gets_further_between_deaths_is_not_given_up(workplace):
    """Deaths count only as long as the Trial makes no progress: three of them, a step apart, cost it nothing."""
    summary = workplace.run([workplace.trial("k", steps=3, mode="kill_always")], slots=1)

    assert summary.trained == ("k",)
    assert [line[2] for line in workplace.lines("begin")] == ["0", "1", "2", "3"]
    assert [row.step for row in workplace.spool.record("k").history] == [1, 2, 3]


def test_says_why_when_no_job_reaches_a_trial(workplace):
    """A Trainable that cannot be imported is an error of the run, with Python's own message."""
    with pytest.raises(ExecutionError, match="No module named 'nowhere'"):
        workplace.run([workplace.trial("a")], trainable="nowhere:train", slots=1)


def test_one_request_to_stop_interrupts_and_the_next_run_resumes(workplace, until):
    """Asked once, workers checkpoint; the next run goes on where they were, and every step counts once."""
    trials = [workplace.trial(name, steps=20, sleep=0.05) for name in "abc"]
    stop, _, join = workplace.run_in_thread(trials)
    until(lambda: len(workplace.lines("begin")) == 2)
    stop.request()
    summary = join()

    assert sorted(summary.interrupted) == ["a", "b"]
    assert summary.waiting == ("c",)
    assert workplace.spool.record("a").status == "interrupted"
    at = {line[0]: line[2] for line in workplace.lines("stopped")}
    again = workplace.run(trials, name="again")
    assert sorted(again.trained) == ["a", "b", "c"]
    assert {line[0]: line[2] for line in workplace.lines("begin")[2:]} == {**at, "c": "0"}
    assert [row.step for row in workplace.spool.record("a").history] == list(range(1, 21))


def test_a_trainable_that_never_asks_is_stopped_at_its_next_report(workplace, until):
    """`report` raises Stopped for a Trainable that does not look at `stop_requested`."""
    stop, _, join = workplace.run_in_thread([workplace.trial("a", steps=600, sleep=0.05, mode="blind")])
    until(lambda: workplace.spool.last_row("a") is not None)
    stop.request()

    assert join().interrupted == ("a",)


def test_a_second_request_kills_jobs_with_all_their_children(workplace, until):
    """Asked twice, even a Trainable that never listens is gone, and so is what it started."""
    stop, _, join = workplace.run_in_thread([workplace.trial("a")], trainable="toy:deaf")
    until(lambda: workplace.lines("child"))
    stop.request()
    time.sleep(0.5)
    assert workplace.spool.record("a").status == "running"
    asked = time.monotonic()
    stop.request()

    assert join().interrupted == ("a",)
    assert time.monotonic() - asked < 5
    child = int(workplace.lines("child")[0][2])
    until(lambda: not runs(child))


def test_an_error_of_the_driver_leaves_no_job_behind(workplace, drive, until):
    """When an observer fails, workers are asked to checkpoint before the error reaches the caller."""

    class Broken(drive.Listener):
        def updated(self, progress):
            if workplace.lines("begin"):
                raise RuntimeError("broken display")

    with pytest.raises(RuntimeError, match="broken display"):
        workplace.run([workplace.trial("a", steps=600, sleep=0.05)], observer=Broken())
    assert len(workplace.lines("stopped")) == 1
    assert not workplace.spool.held("a")


def test_workers_outlive_a_killed_driver_by_a_moment_and_the_next_one_finishes(workplace, start_driver, until):
    """SIGKILL of the driver: its workers checkpoint within seconds, a new driver resumes, each Trial ends once."""
    options = [{"name": name, "steps": 40, "sleep": 0.05} for name in "abcd"]
    driver = start_driver(options, "first")
    until(lambda: len(workplace.lines("begin")) == 2)
    driver.kill()
    driver.wait()
    killed = time.time()
    until(lambda: len(workplace.lines("stopped")) == 2, seconds=10)
    assert max(float(line[3]) for line in workplace.lines("stopped")) - killed < 3  # 0.3 s when machines are idle

    answer, _ = start_driver(options, "second").communicate(timeout=60)
    assert sorted(json.loads(answer)["trained"]) == list("abcd")
    assert workplace.names("end") == list("abcd")


def test_a_new_driver_waits_for_orphans_and_takes_over(workplace, start_driver, until):
    """A driver that starts while orphans still run trains nothing twice: it waits until their locks are free."""
    options = [{"name": name, "steps": 3, "sleep": 1.0, "mode": "blind"} for name in "ab"]
    driver = start_driver(options, "first")
    until(lambda: len(workplace.lines("begin")) == 2)
    driver.kill()
    driver.wait()
    answer, _ = start_driver(options, "second").communicate(timeout=60)

    assert sorted(json.loads(answer)["trained"]) == ["a", "b"]
    assert workplace.names("end") == ["a", "b"]
    pids = {(line[0], line[4]) for line in workplace.lines("begin")}
    assert len(pids) == 4


def test_two_drivers_share_the_trials(workplace):
    """Two drivers over the same Trials train each of them once between them, and both see all finished."""
    trials = [workplace.trial(f"t{i}", steps=4, sleep=0.05) for i in range(8)]
    _, _, join_first = workplace.run_in_thread(trials, name="first")
    _, _, join_second = workplace.run_in_thread(trials, name="second")
    first, second = join_first(), join_second()

    assert workplace.names("begin") == workplace.names("end") == [f"t{i}" for i in range(8)]
    assert sorted(first.trained + second.trained) == [f"t{i}" for i in range(8)]
    assert sorted(first.reused) == sorted(second.trained)
    assert sorted(second.reused) == sorted(first.trained)


def test_ctrl_c_reaches_the_driver_alone(workplace, start_driver, until):
    """SIGINT to the terminal's process group stops the driver's workers by request, not by signal."""
    driver = start_driver([{"name": "a", "steps": 600, "sleep": 0.05}], "first")
    until(lambda: workplace.lines("begin"))
    os.killpg(driver.pid, signal.SIGINT)
    answer, _ = driver.communicate(timeout=30)

    assert json.loads(answer)["interrupted"] == ["a"]
    assert len(workplace.lines("stopped")) == 1


def test_a_request_before_the_start_trains_nothing(workplace):
    """A stop that comes before the first job prevents it."""
    stop = Stop(workplace.root / "run" / "stop")
    stop.request()

    assert workplace.run([workplace.trial("a")], stop=stop).waiting == ("a",)
    assert not workplace.lines("begin")


def test_tells_its_observer_what_happens(workplace, drive):
    """The observer sees running Trials with their latest row, every outcome, and the summary."""
    listener = drive.Listener()
    summary = workplace.run([workplace.trial("a", steps=15, sleep=0.1), workplace.trial("b")], observer=listener)

    assert sorted(listener.outcomes) == [("a", "finished"), ("b", "finished")]
    assert listener.summary == summary
    seen = [item for progress in listener.progress for item in progress.running if item.trial.id == "a" and item.row]
    assert seen
    assert seen[-1].row.metrics["score"] == pytest.approx(seen[-1].row.step / 10)
    assert listener.progress[0].waiting == 2


def runs(pid: int) -> bool:
    """Whether a process exists that is not merely waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
