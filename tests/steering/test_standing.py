"""What is known of every Trial: from its folder, from Slurm's queue and from what jobs say of themselves."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

from ablate.execution.cluster.queue import job_name
from ablate.standing import STATES, _seconds
from ablate.tracking.glance import glance


def test_a_study_that_nobody_has_begun_is_new_and_slurm_is_not_asked(world):
    """Without a home every Trial is new, nothing is made, and no command of Slurm's is called."""
    assert {item.state for item in world.stands().trials} == {"new"}
    assert not world.home.exists()
    assert not world.slurm.calls("squeue")


def test_outcomes_come_from_the_spool(world):
    """A finished Trial has its final metric, a failed one its cause and error, an interrupted one its last row."""
    one, two, three = (world.trial(name) for name in ("baseline", "width=two", "width=three"))
    world.finish(one, 0.75)
    world.fail(two, "diverged", "the loss is NaN")
    world.interrupt(three, [{"score": 0.25}, {"loss": 3.0}])
    stood = world.stands(one)
    assert (stood.state, stood.value, stood.attempts, stood.heartbeat) == ("finished", 0.75, 1, None)
    stood = world.stands(two)
    assert (stood.state, stood.cause, stood.error) == ("failed", "diverged", "the loss is NaN")
    stood = world.stands(three)
    assert (stood.state, stood.step, stood.value) == ("interrupted", 2, 0.25)


def test_a_held_lock_says_running_and_the_slot_is_named(world):
    """A local Trial runs while its lock is held; job, host and time left come from the job's status file."""
    trial = world.trial("baseline")
    with world.claim(trial, [{"score": 0.1}]):
        world.holds("slot0-1", trial)
        stood = world.stands(trial)
    assert (stood.state, stood.job, stood.node) == ("running", "slot0-1", os.uname().nodename)
    assert world.stands(trial).state == "interrupted"


def test_jobs_in_the_queue(world):
    """Pending is waiting or, once begun, requeued, with Slurm's reason; running is what the job says it holds."""
    waits, again, runs, behind = (
        world.trial("baseline"),
        world.trial("width=two"),
        world.trial("width=three"),
        world.trial("width=three", 1),
    )
    world.submit([waits], [again], [runs, behind])
    world.interrupt(again)
    world.interrupt(runs, [{"score": 0.5}])
    world.slurm.queue("100_0", world.name, "PENDING", reason="Resources", node="")
    world.slurm.queue("100_1", world.name, "PENDING", reason="BeginTime", node="")
    world.slurm.queue("100_2", world.name, "RUNNING", node="gpu7", left="1-02:03:04")
    world.holds("100_2", runs, host="another")
    assert (world.stands(waits).state, world.stands(waits).why) == ("waiting", "Resources")
    assert (world.stands(again).state, world.stands(again).why) == ("requeued", "BeginTime")
    stood = world.stands(runs)
    assert (stood.state, stood.job, stood.node, stood.limit_left) == ("running", "100_2", "gpu7", 93784.0)
    assert stood.heartbeat == pytest.approx(time.time(), abs=30)
    stood = world.stands(behind)
    assert (stood.state, stood.why) == ("waiting", "for its turn in its job")


def test_a_job_that_ended_without_a_result_is_stale(world):
    """What the accounting says of its end is told; without accounting it is stale all the same."""
    trial = world.trial("baseline")
    world.submit([trial])
    world.slurm.end("100_0", "NODE_FAIL")
    stood = world.stands(trial)
    assert (stood.state, stood.why) == ("stale", "its job has ended without a result: NODE_FAIL")
    (world.slurm.bin / "sacct").unlink()
    (world.slurm.bin / "sacct").write_text("#!/bin/sh\necho 'Slurm accounting storage is disabled' >&2; exit 1\n")
    (world.slurm.bin / "sacct").chmod(0o755)
    assert world.stands(trial).why == "its job has ended without a result"


def test_one_question_each(world):
    """A look asks squeue once, and sacct once for all arrays, only where a job has ended without a conclusion."""
    trials = world.study.trials
    world.submit(trials[:2], array="100", key="a")
    world.submit([trials[2]], [trials[3]], array="200", key="b")
    for job in ("100_0", "200_0", "200_1"):
        world.slurm.queue(job, world.name)
    world.stands()
    assert (len(world.slurm.calls("squeue")), len(world.slurm.calls("sacct"))) == (1, 0)
    for job in ("100_0", "200_1"):
        world.slurm.end(job, "TIMEOUT")
    world.stands()
    assert (len(world.slurm.calls("squeue")), len(world.slurm.calls("sacct"))) == (2, 1)


def test_a_concluded_job_says_nothing_any_more(world):
    """After a driver's conclusion what was begun is interrupted, what was not is new, and Slurm is not asked."""
    begun, not_begun = world.trial("baseline"), world.trial("width=two")
    world.submit([begun], [not_begun]).conclude([0, 1])
    world.interrupt(begun)
    assert (world.stands(begun).state, world.stands(not_begun).state) == ("interrupted", "new")
    assert not world.slurm.calls("squeue")


def test_a_cancelled_job_is_no_failure(world):
    """The mark of `ablate cancel` tells a cancelled Trial from a stale one."""
    trial = world.trial("baseline")
    next(world.submit([trial]).jobs()).mark_cancelled()
    assert world.stands(trial).state == "cancelled"
    assert not world.slurm.calls("sacct")


def test_a_failure_from_before_its_job_is_being_tried_again(world):
    """A failed Trial whose newer job waits is requeued; one that failed in that job stands as failed."""
    trial = world.trial("baseline")
    world.fail(trial)
    world.slurm.queue("100_0", world.name, "PENDING", reason="Priority")
    world.submit([trial], submitted=time.time() + 100)
    assert world.stands(trial).state == "requeued"
    world.submit([trial], submitted=time.time() - 100)
    assert world.stands(trial).state == "failed"


def test_slurm_that_does_not_answer(world):
    """The spool's knowledge is shown: outcomes, jobs that speak, and for the others that nobody knows."""
    done, speaks, silent = (world.trial(name) for name in ("baseline", "width=two", "width=three"))
    world.submit([done], [speaks], [silent])
    world.finish(done)
    world.holds("100_1", speaks)
    world.holds("100_2", silent, age_s=600)
    world.slurm.down("Unable to contact slurm controller")
    found = world.stands()
    assert found.slurm == "Unable to contact slurm controller"
    states = {item.trial.id: item.state for item in found.trials}
    assert [states[t.id] for t in (done, speaks, silent)] == ["finished", "running", "unknown"]


def test_an_array_whose_id_was_not_noted_is_found_by_its_key(world):
    """A driver that was killed right after sbatch leaves jobs that are told from the queue's comments."""
    trial = world.trial("baseline")
    world.submit([trial], array=None, key="ablate-lost")
    world.slurm.queue("300_0", world.name, "PENDING", comment="ablate-lost", reason="Priority")
    stood = world.stands(trial)
    assert (stood.state, stood.job) == ("waiting", "300_0")


def test_another_machines_local_run_is_told_by_its_heartbeat(world):
    """Without a lock to see, a job of another host runs as long as it gives signs of life."""
    trial = world.trial("baseline")
    world.interrupt(trial)
    world.holds("slot0-1", trial, host="elsewhere")
    assert world.stands(trial).state == "running"
    world.holds("slot0-1", trial, host="elsewhere", age_s=600)
    assert world.stands(trial).state == "interrupted"


def test_time_left_is_the_pace_of_this_attempt(world):
    """The built-in trainer's epochs give a time left; here ten of thirty took a known time."""
    from dataclasses import replace

    from ablate.standing import standing
    from ablate.study.study import VISION

    trial = replace(world.trial("baseline"), recipe={"schedule": {"epochs": 30}, "judge": "weights"})
    study = replace(world.study, trainable=VISION, trials=(trial,))
    with world.claim(trial, [{"score": 0.1}] * 10):
        world.holds("slot0-1", trial)
        (stood,) = standing(study, world.home).trials
    assert (stood.step, stood.steps) == (10, 30)
    assert stood.seconds_left == pytest.approx(200, abs=20)  # the status says that it began 100 s ago


def test_a_look_changes_nothing(world):
    """Damaged and torn files stay where they are: names, contents and times of the whole tree are as before."""
    finished, failed, torn, bad, waits = world.study.trials[:5]
    world.finish(finished)
    world.fail(failed)
    world.interrupt(torn)
    with (world.home / "trials" / torn.id / "journal").open("ab") as file:
        file.write(b'{"step": 9, "metr')
    world.finish(bad)
    (world.home / "trials" / bad.id / "result.json").write_text('{"format": 1, "status": "fin')
    submission = world.submit([waits])
    (submission.run / "submissions" / "ablate-torn.json").write_text("{")
    world.holds("100_0").write_text("{")
    world.holds("slot0-1").write_text('{"trial": ')

    def tree():
        paths = sorted(world.home.rglob("*"))
        return {p: (p.stat().st_mtime_ns, p.is_dir() or p.read_bytes()) for p in [world.home, *paths]}

    before = tree()
    world.home.chmod(0o555)
    try:
        states = {item.trial.id: item.state for item in world.stands().trials}
    finally:
        world.home.chmod(0o755)
    assert tree() == before
    assert (states[finished.id], states[failed.id], states[torn.id]) == ("finished", "failed", "interrupted")
    assert set(states.values()) <= set(STATES)


def test_looking_while_others_write(world):
    """A Trial that is trained meanwhile is only ever new, running, interrupted or finished, and nothing is raised."""
    trial = world.trial("baseline")

    def work():
        for _ in range(10):
            with world.claim(trial, [{"score": 0.1}] * 3) as claim:
                claim.interrupted()
        world.finish(trial)

    thread = threading.Thread(target=work)
    thread.start()
    seen = set()
    while thread.is_alive():
        seen.add(world.stands(trial).state)
    thread.join()
    assert seen <= {"new", "running", "interrupted", "finished"}
    assert world.stands(trial).state == "finished"


def test_a_glance_agrees_with_the_record(world):
    """Reading only the head of a result gives what reading all of it gives."""
    trial = world.trial("baseline")
    world.finish(trial, float("inf"))
    record, seen = world.spool.record(trial.id), glance(world.home, trial.id)
    assert (seen.status, seen.metrics, seen.attempts) == (record.status, record.metrics, record.attempts)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0:30", 30), ("12:34", 754), ("1:02:03", 3723), ("2-03:04:05", 183845), ("UNLIMITED", None), ("INVALID", None)],
)
def test_slurms_times(text, seconds):
    """Days, hours and minutes are told apart as squeue writes them."""
    assert _seconds(text) == seconds


def test_no_two_studies_share_a_job_name():
    """Slugs that differ only in what a name cannot hold, or behind its end, have names of their own."""
    slugs = ["a/b", "a-b", "a_b", "a b", "x" * 80 + "1", "x" * 80 + "2", "ünï/x", "unï/x"]
    names = [job_name(slug) for slug in slugs]
    assert len(set(names)) == len(slugs)
    assert all(len(name) <= 80 and name.isascii() and "," not in name and "/" not in name for name in names)
    assert job_name("plain.study_1") == "ablate-plain.study_1"


def test_neither_torch_nor_mlflow_nor_submitit_is_loaded():
    """A look at a study is quick, since it needs none of the heavy packages."""
    code = (
        "import sys, ablate.standing, ablate.standing_table, ablate.steering, ablate.trial_logs, ablate.cli_steering\n"
        "heavy = {'torch', 'mlflow', 'timm', 'pandas', 'submitit'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
