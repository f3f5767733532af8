"""The driver on a Slurm that is a script: jobs wait, run, are lost, come back; what counts is what is in the spool."""

from __future__ import annotations

import pytest

from ablate.execution.cluster.driver import ACCOUNTING_S, MAX_AGAIN
from ablate.execution.cluster.queue import Ended, Living, SlurmError
from ablate.execution.cluster.submission import Submission, SubmittedJob, submissions
from ablate.execution.cluster.watch import GONE_S, LOST_S
from ablate.execution.run_folder import RunFolder
from ablate.execution.stopping import Stop


def jobs_of(cluster):
    return [job for submission in cluster.submitted for job in submission.jobs()]


def test_a_study_without_trouble_asks_squeue_once_a_round_and_sacct_never(cluster, trials, listener):
    """Jobs run one after the other; every Trial is trained in the one job that it has."""
    cluster.when_submitted(lambda job: cluster.at(10 + 10 * job.index, lambda: cluster.finishes(job)))
    summary = cluster.run(trials("a", "b", "c"), listener)
    assert (summary.trained, summary.failed, summary.complete) == (("a", "b", "c"), (), True)
    assert [s.packs for s in cluster.submitted] == [(("a",), ("b",), ("c",))]
    assert cluster.asked["sacct"] == 0
    assert cluster.asked["squeue"] <= cluster.now / 2 + 3  # a round takes 2 s
    (left,) = submissions(cluster.home, "study/default")
    assert list(left.jobs()) == []  # all concluded


def test_a_requeued_job_that_is_missing_for_a_moment_is_not_lost(cluster, trials, listener):
    """NODE_FAIL in the accounting, nothing in the queue for some seconds, then PENDING again: no second job."""

    def lost(job):
        cluster.begins(job, steps=2).release()
        cluster.leaves(job, "NODE_FAIL")
        cluster.at(GONE_S - 3, lambda: cluster.queue.update({job.job_id: Living("PENDING")}))
        cluster.at(60, lambda: cluster.finishes(job))

    cluster.when_submitted(lambda job: cluster.at(10, lambda: lost(job)))
    assert cluster.run(trials("a"), listener).trained == ("a",)
    assert len(cluster.submitted) == 1
    assert listener.messages == []


@pytest.mark.parametrize("state", ["NODE_FAIL", "PREEMPTED", "TIMEOUT", "BOOT_FAIL"])
def test_what_the_cluster_took_is_submitted_again(cluster, trials, listener, state):
    """A job that is gone for good by an accident of the cluster has a successor, which finishes its Trial."""

    def run(job):
        first = job.submission == cluster.submitted[0]
        cluster.at(10, lambda: cluster.dies(job, state) if first else cluster.finishes(job))

    cluster.when_submitted(run)
    assert cluster.run(trials("a", "b"), listener).trained == ("a", "b")
    assert [s.packs for s in cluster.submitted] == [(("a",), ("b",))] * 2
    assert len(listener.messages) == 2
    assert all(state in message for message in listener.messages)


def test_an_orphan_that_holds_its_trial_is_waited_for(cluster, trials, listener):
    """A job is gone and its process lives on at a lost node: the Trial is its own until the lock is free."""

    def lost(job):
        claim = cluster.begins(job, steps=1)
        cluster.leaves(job, "OUT_OF_MEMORY")

        def end():
            claim.finish({"score": 2.0}, {})
            claim.release()

        cluster.at(500, end)

    cluster.when_submitted(lambda job: cluster.at(10, lambda: lost(job)))
    summary = cluster.run(trials("a"), listener)
    assert (summary.trained, summary.failed) == (("a",), ())
    assert cluster.now >= 500
    assert len(cluster.submitted) == 1


def test_an_orphan_of_an_accident_does_not_spoil_its_successor(cluster, trials, listener):
    """As long as an orphan holds the lock nobody else is sent; when it is gone, a successor is."""

    def run(job):
        if job.submission == cluster.submitted[0]:
            orphan = cluster.begins(job, steps=1)
            cluster.leaves(job, "NODE_FAIL")
            cluster.at(200, lambda: (sent.append(len(cluster.submitted)), orphan.release()))
        else:
            cluster.finishes(job)

    sent = []

    cluster.when_submitted(lambda job: cluster.at(10, lambda: run(job)))
    summary = cluster.run(trials("a"), listener)
    assert summary.trained == ("a",)
    assert cluster.spool.record("a").attempts == 2
    assert sent == [1]


def test_the_accounting_may_lag(cluster, trials, listener):
    """As long as `sacct` has the job RUNNING, or not at all, nothing is concluded: then it says what it was."""

    def end(job):
        cluster.begins(job, steps=1).release()
        cluster.leaves(job, "RUNNING", "0:0")
        cluster.ended["101_9"] = Ended("COMPLETED", "0:0")  # another one, so that there is accounting
        cluster.at(GONE_S + 5, lambda: cluster.leaves(job, "OUT_OF_MEMORY", "0:125"))

    cluster.when_submitted(lambda job: cluster.at(10, lambda: end(job)))
    summary = cluster.run(trials("a"), listener)
    assert summary.failed == ("a",)
    assert cluster.spool.record("a").error.startswith("out of memory")


def test_the_accounting_may_never_learn(cluster, trials, listener):
    """After some patience a job that is gone is concluded from what it has said itself."""

    def run(job):
        if job.submission == cluster.submitted[0]:
            cluster.begins(job, steps=1).release()
            cluster.leaves(job, "RUNNING", "0:0")
        else:
            assert cluster.now >= ACCOUNTING_S
            cluster.finishes(job)

    cluster.when_submitted(lambda job: cluster.at(10, lambda: run(job)))
    assert cluster.run(trials("a"), listener).trained == ("a",)


def test_without_accounting_a_death_is_tried_again(cluster, trials, listener):
    """A cluster that has no slurmdbd knows only what is in the queue."""

    def run(job):
        first = job.submission == cluster.submitted[0]
        cluster.at(10, lambda: cluster.dies(job, None) if first else cluster.finishes(job))

    cluster.when_submitted(run)
    assert cluster.run(trials("a"), listener).trained == ("a",)
    assert cluster.now < ACCOUNTING_S + GONE_S + 20


def test_a_result_without_a_mark_is_found_when_the_job_ends(cluster, trials, listener):
    """A kill after the result and before its mark loses nothing."""

    def run(job):
        cluster.finishes(job)
        for mark in (cluster.home / "settled").iterdir():
            mark.unlink()

    cluster.when_submitted(lambda job: cluster.at(10, lambda: run(job)))
    assert cluster.run(trials("a"), listener).trained == ("a",)
    assert cluster.now < 60


def test_a_trial_that_never_gets_further_is_given_up(cluster, trials, listener):
    """Job after job taken by the cluster at the same step: after so many it has failed, and says why."""
    cluster.when_submitted(lambda job: cluster.at(10, lambda: cluster.dies(job, "TIMEOUT")))
    summary = cluster.run(trials("a"), listener)
    assert summary.failed == ("a",)
    assert len(cluster.submitted) == MAX_AGAIN + 1
    failed = cluster.spool.record("a")
    assert failed.cause == "lost"
    assert failed.error.startswith(f"{MAX_AGAIN + 1} jobs ended without getting any further with it: TIMEOUT")


def test_a_trial_that_gets_further_is_never_given_up(cluster, trials, listener):
    """Twenty time limits in a row, each with a step more, and then the end."""

    def run(job):
        nth = len(cluster.submitted)
        cluster.dies(job, "TIMEOUT", steps=nth) if nth <= 20 else cluster.finishes(job)

    cluster.when_submitted(lambda job: cluster.at(10, lambda: run(job)))
    assert cluster.run(trials("a"), listener).trained == ("a",)
    assert len(cluster.submitted) == 21


def test_what_was_cancelled_is_left_for_the_next_run(cluster, trials, listener):
    """With its mark a job's Trials are dropped, and their pupils with them; the next run submits them."""

    def run(job):
        if job.trials == ("a",):
            job.mark_cancelled()
            cluster.leaves(job, "CANCELLED")
        else:
            cluster.finishes(job)

    cluster.when_submitted(lambda job: job.trials == ("p",) or cluster.at(10, lambda: run(job)))
    studied = trials("a", "b", "p<a")
    summary = cluster.run(studied, listener)
    assert (summary.trained, summary.failed, sorted(summary.waiting)) == (("b",), (), ["a", "p"])
    assert not summary.complete
    assert len(cluster.submitted) == 2


def test_a_waiting_job_that_somebody_cancelled_is_left_for_the_next_run(cluster, trials, listener):
    """`scancel` of one waiting element leaves no trace in the accounting, which knows the rest of the array."""

    def run(job):
        cluster.leaves(job) if job.trials == ("a",) else cluster.finishes(job)

    cluster.when_submitted(lambda job: cluster.at(10, lambda: run(job)))
    summary = cluster.run(trials("a", "b"), listener)
    assert (summary.trained, summary.failed, summary.waiting) == (("b",), (), ("a",))
    assert len(cluster.submitted) == 1


def test_a_job_that_began_was_not_cancelled_unseen(cluster, trials, listener):
    """The accounting knows others of its array and not this one, which has said itself that it had begun."""

    def run(job):
        if job.trials == ("a",) and job.submission == cluster.submitted[0]:
            cluster.dies(job, None)
        else:
            cluster.finishes(job)

    cluster.when_submitted(lambda job: cluster.at(10, lambda: run(job)))
    assert cluster.run(trials("a", "b"), listener).trained == ("b", "a")


def test_a_teacher_s_failure_is_its_pupil_s(cluster, trials, listener):
    """The pupil's job waits for the teacher's array; without a teacher it is not trained and says so."""

    def run(job):
        cluster.fails(job) if job.trials == ("a",) else cluster.leaves(job, "COMPLETED", "0:0")

    cluster.when_submitted(lambda job: cluster.at(10 if job.trials == ("a",) else 20, lambda: run(job)))
    summary = cluster.run(trials("a", "p<a"), listener)
    assert sorted(summary.failed) == ["a", "p"]
    assert cluster.spool.record("p").cause == "teacher"
    assert cluster.after == [[], ["101"]]


def test_a_driver_that_leaves_and_comes_back_submits_nothing_twice(cluster, trials, listener, drive):
    """Detached, attached again while the jobs live, and once more when all is done."""
    studied = trials("a", "b")
    cluster.when_submitted(lambda job: cluster.at(100, lambda: cluster.finishes(job)))
    assert cluster.run(studied, listener, detach=True).waiting == ("a", "b")
    assert cluster.now == 0
    assert any("2 jobs are with Slurm" in message for message in listener.messages)
    assert cluster.run(studied, drive.Listener()).trained == ("a", "b")
    assert cluster.run(studied, drive.Listener()).reused == ("a", "b")
    assert len(cluster.submitted) == 1


def test_a_request_to_leave_leaves_the_jobs_alone(cluster, trials, listener):
    """Ctrl-C ends the driver within a tick, and cancels nothing."""
    stop = Stop(None)
    cluster.at(30, stop.request)
    cluster.run(trials("a"), listener, stop=stop, poll_s=600)
    assert cluster.now <= 31
    assert len(cluster.queue) == 1


@pytest.mark.parametrize("alive", [True, False])
def test_failures_of_jobs_that_still_live_are_this_run_s_own(cluster, trials, listener, drive, alive):
    """While others of the submission live a failure is an outcome; when none does the run tries it again."""
    studied = trials("a", "b")
    cluster.run(studied, listener, detach=True)
    first, second = jobs_of(cluster)
    cluster.fails(first)
    if alive:
        cluster.at(30, lambda: cluster.finishes(second))
    else:
        cluster.finishes(second)
    cluster.when_submitted(lambda job: cluster.at(10, lambda: cluster.finishes(job)))
    summary = cluster.run(studied, drive.Listener())
    assert summary.failed == (("a",) if alive else ())
    assert len(cluster.submitted) == (1 if alive else 2)


def test_an_array_whose_driver_died_within_sbatch_is_found_by_its_key(cluster, trials, listener):
    """Its file has no id; Slurm's queue has the key as the comment."""
    studied = trials("a")
    run = RunFolder(cluster.home / "runs" / "study/default" / "20250101-000000-1")
    left = Submission(run=run.path, key="ablate-left", packs=(("a",),), submitted=cluster.time()).save()
    cluster.accept(left, noted=False)
    cluster.trials = {"a": studied[0]}
    cluster.at(20, lambda: cluster.finishes(next(left.begun_as("101").jobs())))
    assert cluster.run(studied, listener).trained == ("a",)
    assert len(cluster.submitted) == 1


def test_a_submission_that_slurm_never_had_is_forgotten_after_a_while(cluster, trials, listener):
    """Nothing with its key ever comes into the queue: then its Trials are submitted."""
    run = RunFolder(cluster.home / "runs" / "study/default" / "20250101-000000-1")
    Submission(run=run.path, key="ablate-left", packs=(("a",),), submitted=cluster.time()).save()
    cluster.when_submitted(lambda job: cluster.at(10, lambda: cluster.finishes(job)))
    assert cluster.run(trials("a"), listener).trained == ("a",)
    assert LOST_S <= cluster.now < LOST_S + 60
    assert [s.packs for s in cluster.submitted] == [(("a",),)]


def test_a_slurm_that_does_not_answer_is_asked_again(cluster, trials, listener):
    """For minutes no answer: nothing is concluded and nothing submitted; it is told once, and once that it is back."""

    def silence():
        cluster.silent = "Unable to contact slurm controller"
        cluster.queue.clear()
        cluster.at(300, back)

    def back():
        cluster.silent = ""
        cluster.queue["101_0"] = Living("RUNNING", "gpu1")

    def finish(job):
        cluster.at(10, silence)
        cluster.at(400, lambda: cluster.finishes(job))

    cluster.when_submitted(finish)
    assert cluster.run(trials("a"), listener).trained == ("a",)
    assert len(cluster.submitted) == 1
    assert len(listener.messages) == 2
    assert "Unable to contact" in listener.messages[0]


def test_a_refusal_at_the_beginning_ends_the_run_in_slurm_s_words(cluster, trials, listener):
    """And the display is taken down, with nothing that would be left over: the same command would be refused again."""
    cluster.refuses = "Invalid account"
    with pytest.raises(SlurmError, match="Invalid account"):
        cluster.run(trials("a"), listener)
    assert listener.summary.complete


def test_a_refusal_later_on_is_told_and_tried_again(cluster, trials, listener):
    """What the cluster took is submitted again as soon as Slurm takes submissions."""

    def run(job):
        if job.submission == cluster.submitted[0]:
            cluster.dies(job, "NODE_FAIL")
            cluster.refuses = "Job violates accounting policy"
            cluster.at(40, lambda: setattr(cluster, "refuses", ""))
        else:
            cluster.finishes(job)

    cluster.when_submitted(lambda job: cluster.at(10, lambda: run(job)))
    assert cluster.run(trials("a"), listener).trained == ("a",)
    assert sum("accounting policy" in message for message in listener.messages) == 1


def test_the_display_is_told_what_runs_and_what_waits(cluster, trials, listener):
    """Of four jobs one has a Trial in its hands on its node; the others are queued."""

    def begin(job):
        if job.index == 0:
            cluster.begins(job, steps=3).release()
        cluster.at(20, lambda: cluster.finishes(job))

    cluster.when_submitted(lambda job: cluster.at(5, lambda: begin(job)))
    cluster.run(trials("a", "b", "c", "d"), listener)
    seen = [(p.running[0].slot, p.running[0].row.step, p.queued) for p in listener.progress if p.running]
    assert seen
    assert set(seen) == {("101_0 on gpu1", 3, 3)}


def test_jobs_wait_for_their_nodes_without_being_read(cluster, trials, listener, monkeypatch):
    """Of a job that has no node yet no file is looked at: there may be thousands."""
    read = []
    status = SubmittedJob.status
    monkeypatch.setattr(SubmittedJob, "status", lambda job: read.append(job.index) or status(job))
    cluster.when_submitted(lambda job: cluster.at(300, lambda: cluster.finishes(job)))
    cluster.run(trials("a", "b"), listener)
    assert read == []
