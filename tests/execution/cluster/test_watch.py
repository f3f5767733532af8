"""Watching: what is missing for a moment is not gone, and what nobody noted is found again."""

from __future__ import annotations

import pytest

from ablate.execution.cluster.queue import Living, SlurmError
from ablate.execution.cluster.submission import Submission, submissions
from ablate.execution.cluster.watch import GONE_S, LOST_S, Watch
from ablate.execution.run_folder import RunFolder

SLUG = "study/default"


@pytest.fixture
def watch(cluster):
    return Watch(cluster.home, SLUG)


@pytest.fixture
def submit(cluster):
    """Writes a submission down, as `sbatch` is about to be called."""

    def call(*packs, key="k", run="r1"):
        folder = RunFolder(cluster.home / "runs" / SLUG / run).path
        return Submission(run=folder, key=key, packs=packs, submitted=cluster.time()).save()

    return call


def opened(_trial):
    return True


def settled(_trial):
    return False


def names(jobs):
    return [job.job_id for job in jobs]


def test_missing_for_a_moment_is_not_gone(cluster, watch, submit):
    """A job must be missing from the queue for a while without a break."""
    watch.add(cluster.accept(submit(("a",))))
    listing = dict(cluster.queue)
    for _ in range(3):  # it is away for almost long enough, three times
        cluster.queue.clear()
        watch.look()
        assert watch.gone(opened) == []
        cluster.now += GONE_S - 1
        watch.look()
        assert watch.gone(opened) == []
        cluster.queue.update(listing)
        watch.look()
        assert watch.gone(opened) == []
    cluster.queue.clear()
    watch.look()
    watch.gone(opened)
    cluster.now += GONE_S
    assert names(watch.gone(opened)) == ["101_0"]


def test_a_job_with_nothing_left_to_do_is_gone_at_once(cluster, watch, submit):
    """Where all its Trials have an outcome there is nothing to wait for once it has left the queue."""
    watch.add(cluster.accept(submit(("a",))))
    watch.look()
    assert watch.gone(settled) == []  # it still lives
    cluster.queue.clear()
    watch.look()
    assert names(watch.gone(settled)) == ["101_0"]


def test_what_was_concluded_is_not_watched_by_anybody(cluster, watch, submit):
    """Several rounds of conclusions over two submissions are all written down."""
    for key in ("k1", "k2"):
        watch.add(cluster.accept(submit(("a",), ("b",), ("c",), key=key)))
    for names_ in (["101_0", "102_2"], ["101_2"], ["102_0"]):
        watch.conclude([job for job in watch.jobs if job.job_id in names_])
    assert names(watch.jobs) == ["101_1", "102_1"]
    later = Watch(cluster.home, SLUG)
    later.look()
    later.attach()
    assert sorted(names(later.jobs)) == ["101_1", "102_1"]


def test_living_jobs_are_those_in_the_queue(cluster, watch, submit):
    """With what Slurm says of them; jobs of others in the queue are none of it."""
    watch.add(cluster.accept(submit(("a",), ("b",))))
    cluster.queue["101_1"] = Living("RUNNING", "gpu2")
    del cluster.queue["101_0"]
    cluster.queue["999_0"] = Living("RUNNING")
    watch.look()
    assert [(job.job_id, living.node) for job, living in watch.living] == [("101_1", "gpu2")]
    assert names(watch.jobs) == ["101_0", "101_1"]


def test_an_array_without_an_id_is_found_by_its_key_and_noted(cluster, watch, submit):
    """The comment of its jobs in the queue is the key; from then on the file has the id."""
    cluster.accept(submit(("a",), ("b",), key="left"), noted=False)
    watch.look()
    watch.attach()
    assert names(watch.jobs) == ["101_0", "101_1"]
    assert submissions(cluster.home, SLUG)[0].array == "101"


def test_an_array_that_comes_late_is_found_late(cluster, watch, submit):
    """`sbatch` may outlive its driver: until then the submission is unanswered, not forgotten."""
    left = submit(("a",), key="left")
    watch.look()
    watch.attach()
    assert (names(watch.jobs), [s.key for s in watch.unanswered]) == ([], ["left"])
    cluster.now += LOST_S - 1
    cluster.accept(left, noted=False)
    watch.look()
    assert (names(watch.jobs), watch.unanswered) == (["101_0"], [])


def test_what_slurm_never_had_is_forgotten(cluster, watch, submit):
    """After some minutes without a sign of it, its file is deleted."""
    submit(("a",), key="left")
    cluster.now += LOST_S + 1
    watch.look()
    watch.attach()
    assert submissions(cluster.home, SLUG) == []
    assert watch.jobs == []


def test_an_answer_that_fails_changes_nothing(cluster, watch, submit):
    """What was seen before stands, so that a silence of Slurm's ends no job."""
    watch.add(cluster.accept(submit(("a",))))
    watch.look()
    cluster.silent = "Unable to contact slurm controller"
    with pytest.raises(SlurmError):
        watch.look()
    cluster.now += 10 * GONE_S
    assert watch.gone(opened) == []
    assert names(job for job, _ in watch.living) == ["101_0"]


def test_since_when_is_told_of_the_oldest_that_lives(cluster, watch, submit):
    """Submissions that have ended do not count."""
    begun = []
    for key in ("k1", "k2", "k3"):
        cluster.now += 100
        begun.append(cluster.time())
        watch.add(cluster.accept(submit(("a",), key=key, run=key)))
    del cluster.queue["101_0"]
    watch.look()
    assert watch.since == begun[1]
    cluster.queue.clear()
    watch.look()
    assert watch.since is None


def test_jobs_of_other_trials_are_left_to_others(cluster, submit):
    """A driver of a part of the study watches the jobs that have a Trial of its part."""
    watch = Watch(cluster.home, SLUG, {"b"}.__contains__)
    cluster.accept(submit(("a",), ("a", "b"), ("c",)))
    watch.look()
    watch.attach()
    assert names(watch.jobs) == ["101_1"]
