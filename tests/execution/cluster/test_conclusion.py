"""Every state in Slurm's accounting, held against what the job itself has said before it ended."""

from __future__ import annotations

import pytest

from ablate.execution.cluster.conclusion import conclude
from ablate.execution.cluster.job import MAX_DEATHS
from ablate.execution.cluster.queue import Ended
from ablate.execution.cluster.submission import Submission
from ablate.execution.status import JobStatus, write_status
from ablate.study.study import Trial
from ablate.tracking.spool import Spool

A, B = "a", "b"
ACCIDENTS = ("PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "TIMEOUT", "REVOKED", "REQUEUED")
DEATHS = ("FAILED", "COMPLETED", "DEADLINE", "OUT_OF_MEMORY", "")
IN_HAND = JobStatus(trial=A, host="gpu1")
BETWEEN = JobStatus(trained=("z",), host="gpu1")
IDLE = JobStatus(host="gpu1")


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "spool")


@pytest.fixture
def judge(tmp_path, spool):
    """Concludes a job of two Trials that has said this, of which the accounting says that."""
    run = tmp_path / "run"
    (job,) = Submission(run=run, key="k", packs=((A, B),), submitted=1.0, array="7").save().jobs()

    def call(state, status, *, code="1:0", log="", cancelled=False, unsettled=(A, B)):
        if status is not None:
            write_status(job.status_file, status)
        if log:
            (run / "jobs").mkdir(exist_ok=True)
            (run / "jobs" / "7_0_0_log.err").write_text(log)
        if cancelled:
            job.mark_cancelled()
        return conclude(job, Ended(state, code, "gpu1") if state is not None else None, unsettled, spool)

    return call


def die(spool, trial_id, times):
    """Attempts without an end, as dead processes leave them."""
    for _ in range(times):
        with spool.claim(Trial(trial_id, trial_id, 0, {}), "toy:train", "") as claim:
            _ = claim.folder


@pytest.mark.parametrize("state", ACCIDENTS)
@pytest.mark.parametrize("status", [None, IDLE, IN_HAND, BETWEEN])
def test_an_accident_of_the_cluster_is_nobody_s_failure(judge, state, status):
    """Whatever the job had said, and whatever is in the log, its Trials are tried again."""
    found = judge(state, status, log="srun: error: gpu1: task 0: Killed")
    assert (found.again, found.failed, found.dropped) == ((A, B), {}, ())
    assert found.why == f"{state}, exit status 1 on gpu1"


@pytest.mark.parametrize("state", [*ACCIDENTS, *DEATHS, "CANCELLED", None])
@pytest.mark.parametrize("status", [None, IDLE, IN_HAND, BETWEEN])
def test_what_was_cancelled_waits_for_the_next_run(judge, state, status):
    """With the mark of `ablate cancel`, whatever the accounting says: neither failed nor tried again."""
    found = judge(state, status, cancelled=True)
    assert (found.again, found.failed, found.dropped) == ((), {}, (A, B))


@pytest.mark.parametrize("status", [None, IDLE, IN_HAND, BETWEEN])
def test_scancel_is_a_cancellation_without_a_mark(judge, status):
    """Somebody who used Slurm's own command meant it."""
    assert judge("CANCELLED", status, code="0:15").dropped == (A, B)


@pytest.mark.parametrize("state", ["FAILED", "COMPLETED", "", None, "DEADLINE"])
def test_a_death_with_a_trial_in_hand_is_tried_again_at_first(judge, spool, state):
    """COMPLETED without a result is a death, too."""
    die(spool, A, 1)
    found = judge(state, IN_HAND, code="0:9")
    assert (found.again, found.failed) == ((A, B), {})


def test_a_trial_that_goes_on_killing_its_process_fails_and_the_others_do_not(judge, spool):
    """After so many deaths without a step it is given up, with the log's end and how the job ended."""
    die(spool, A, MAX_DEATHS)
    found = judge("FAILED", IN_HAND, code="0:11", log="Segmentation fault")
    assert found.again == (B,)
    assert found.failed == {
        A: f"its process died {MAX_DEATHS} times without getting any further: FAILED, killed by signal 11 on gpu1"
    }
    assert found.log_tail == "Segmentation fault"


@pytest.mark.parametrize(
    ("state", "log"),
    [
        ("OUT_OF_MEMORY", ""),
        ("FAILED", "slurmstepd: error: Detected 1 oom_kill event in StepId=7.0. Some of the step tasks"),
        ("COMPLETED", "slurmstepd: error: Detected 2 oom-kill event(s) in step 7.0"),
        ("TIMEOUT", "slurmstepd: error: Step 7.0 exceeded memory limit (90000 > 10240), being killed"),
    ],
)
def test_out_of_memory_fails_what_was_in_hand_at_once(judge, spool, state, log):
    """The first time, by the state or by the log; the other Trials of the job are tried again."""
    die(spool, A, 1)
    found = judge(state, IN_HAND, log=log)
    assert found.again == (B,)
    assert found.failed == {A: "out of memory: its process was killed for that"}


def test_out_of_memory_before_a_trial_began_is_not_a_trial_s(judge):
    """Between two Trials nobody knows whose memory it was."""
    assert judge("OUT_OF_MEMORY", BETWEEN).failed == {}


@pytest.mark.parametrize("state", ["FAILED", "COMPLETED", None])
def test_a_job_that_never_spoke_has_failed_all_its_trials(judge, state):
    """It ended before it had read its Pack, and so would the next one; the log says why."""
    found = judge(state, None, log="ModuleNotFoundError: No module named 'ablate'")
    assert found.again == ()
    assert found.failed.keys() == {A, B}
    assert found.failed[A].startswith("its job ended before it began to train")
    assert "ModuleNotFoundError" in found.log_tail


@pytest.mark.parametrize("status", [None, IDLE])
def test_memory_that_runs_out_before_any_trial_is_told_as_that(judge, status):
    """Imports alone may take more than was asked for: the next start would end the same way."""
    found = judge("FAILED", status, log="slurmstepd: error: Job 7 exceeded memory limit (2 > 1), being killed")
    assert found.failed.keys() == {A, B}
    assert found.failed[A].startswith("out of memory")


@pytest.mark.parametrize(
    ("said", "fate"),
    [("CANCELLED AT 2026", "dropped"), ("CANCELLED AT 2026 DUE TO PREEMPTION", "again"), ("nothing", "again")],
)
def test_without_accounting_the_log_says_how_a_job_ended(judge, said, fate):
    """slurmstepd writes it there; an end that nobody explains is no failure of Trials that never began."""
    found = judge(None, IDLE, log=f"slurmstepd: error: *** JOB 3 ON gpu1 {said} ***")
    assert (sorted(found.again), sorted(found.dropped)) == (([A, B], []) if fate == "again" else ([], [A, B]))
    assert found.failed == {}


def test_a_job_that_never_reached_a_trial_has_failed_them_with_its_last_words(judge):
    """An import that fails would fail again; Slurm's own lines are not the last words."""
    found = judge(
        "FAILED", IDLE, log="ImportError: no torch here\nsrun: error: gpu1: task 0: Exited with exit code 1\n"
    )
    assert found.failed == dict.fromkeys(
        (A, B), "its job ended before it reached a Trial: FAILED, exit status 1 on gpu1: ImportError: no torch here"
    )


def test_a_job_that_found_nothing_to_do_has_failed_nothing(judge):
    """COMPLETED, 0:0, and no Trial reached: others had them in their hands, so they are tried again."""
    found = judge("COMPLETED", IDLE, code="0:0")
    assert (found.again, found.failed) == ((A, B), {})


@pytest.mark.parametrize("state", ["FAILED", "COMPLETED", None, "DEADLINE"])
def test_a_job_that_stopped_when_told_to_is_tried_again(judge, state):
    """It has written down why it stopped."""
    found = judge(state, JobStatus(trained=("z",), host="gpu1", stopped="SIGTERM"))
    assert (found.again, found.failed) == ((A, B), {})


def test_settled_trials_are_not_asked_about(judge, spool):
    """Only Trials without an outcome have a fate, even where the one in hand has settled since."""
    die(spool, A, MAX_DEATHS)
    found = judge("FAILED", IN_HAND, unsettled=(B,))
    assert (found.again, found.failed) == ((B,), {})


@pytest.mark.parametrize(
    ("state", "code", "words"),
    [
        ("FAILED", "0:9", "FAILED, killed by signal 9 on gpu1"),
        ("FAILED", "137:0", "FAILED, killed by signal 9 on gpu1"),
        ("FAILED", "1:0", "FAILED, exit status 1 on gpu1"),
        ("COMPLETED", "0:0", "COMPLETED on gpu1"),
        ("NODE_FAIL", "", "NODE_FAIL on gpu1"),
        (None, "", "it is gone from Slurm's queue, and there is no accounting to say why on gpu1"),
    ],
)
def test_how_a_job_ended_is_told_in_few_words(judge, state, code, words):
    """State, signal or status, and the node."""
    assert judge(state, IN_HAND, code=code).why == words
