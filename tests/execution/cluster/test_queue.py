"""Slurm's answers are understood as they come, and its silence is an error that says so."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.execution.cluster import queue
from ablate.execution.cluster.queue import Ended, Living, SlurmError

LISTING = """\
12_0|RUNNING|gpu[1-2],cpu7|1-02:03:04|ablate-k|None
12_1|PENDING||1:00:00|ablate-k|Resources
12_2|COMPLETING|gpu1|0:00|ablate-k|odd|reason|with pipes
13_0|REQUEUE_HOLD||INVALID||launch failed requeued held
"""


def test_the_queue_is_read_line_by_line(fake_slurm):
    """Elements of arrays, nodes in Slurm's short form, empty fields, and a reason with pipes in it."""
    fake_slurm.answers("squeue", LISTING)
    assert queue.living("ablate-study") == {
        "12_0": Living("RUNNING", "gpu[1-2],cpu7", "1-02:03:04", "ablate-k", "None"),
        "12_1": Living("PENDING", "", "1:00:00", "ablate-k", "Resources"),
        "12_2": Living("COMPLETING", "gpu1", "0:00", "ablate-k", "odd|reason|with pipes"),
        "13_0": Living("REQUEUE_HOLD", "", "INVALID", "", "launch failed requeued held"),
    }
    (call,) = fake_slurm.calls("squeue")
    assert "-r" in call  # elements of arrays one by one
    assert call[call.index("-n") + 1] == "ablate-study"


def test_an_empty_queue_is_an_answer(fake_slurm):
    """No jobs is not the same as no answer."""
    assert queue.living("ablate-study") == {}


@pytest.mark.parametrize(
    ("state", "waits"),
    [("PENDING", True), ("REQUEUED", True), ("REQUEUE_HOLD", True), ("RUNNING", False), ("COMPLETING", False)],
)
def test_a_job_waits_or_has_a_node(state, waits):
    """What is told as queued is what has no node."""
    assert Living(state).waits is waits


def test_how_jobs_ended_is_read_from_their_own_line(fake_slurm):
    """The batch script's and the steps' lines are passed over, the number behind CANCELLED is no part of the state."""
    fake_slurm.answers(
        "sacct",
        "12_0|COMPLETED|0:0|gpu1\n12_0.batch|COMPLETED|0:0|gpu1\n12_0.0|COMPLETED|0:0|gpu1\n"
        "12_1|CANCELLED by 0|0:15|gpu2\n12_1.batch|FAILED|1:0|gpu2\n"
        "12_2|NODE_FAIL|1:0|gpu[1-2]\n12_3|RUNNING|0:0|gpu1\n",
    )
    assert queue.endings(["12"]) == {
        "12_0": Ended("COMPLETED", "0:0", "gpu1"),
        "12_1": Ended("CANCELLED", "0:15", "gpu2"),
        "12_2": Ended("NODE_FAIL", "1:0", "gpu[1-2]"),
        "12_3": Ended("RUNNING", "0:0", "gpu1"),
    }


def test_a_step_out_of_memory_is_the_job_s_end(fake_slurm):
    """A job that FAILED, one of whose steps was killed for its memory, is OUT_OF_MEMORY."""
    fake_slurm.answers(
        "sacct",
        "12_0|FAILED|137:0|gpu1\n12_0.batch|FAILED|137:0|gpu1\n12_0.0|OUT_OF_MEMORY|0:125|gpu1\n12_1|FAILED|1:0|gpu1\n",
    )
    assert {job: end.state for job, end in queue.endings(["12"]).items()} == {"12_0": "OUT_OF_MEMORY", "12_1": "FAILED"}


def test_tasks_that_ended_together_before_they_began_are_told_apart(fake_slurm):
    """The accounting keeps tasks that were cancelled while they waited in one line, with a range or a limit in it."""
    fake_slurm.answers("sacct", "12_[3-5,9%2]|CANCELLED by 1000|0:0|None assigned\n12_0|COMPLETED|0:0|gpu1\n")
    ended = queue.endings(["12"])
    assert {job for job, end in ended.items() if end.state == "CANCELLED"} == {"12_3", "12_4", "12_5", "12_9"}


def test_what_a_user_likes_to_see_of_the_queue_hides_nothing(fake_slurm, monkeypatch, tmp_path):
    """Filters in the environment are not passed on, and ranges of tasks come whole (Slurm cuts them to 64 letters)."""
    monkeypatch.setenv("SQUEUE_STATES", "RUNNING")
    monkeypatch.setenv("SACCT_FORMAT", "jobid")
    (fake_slurm.bin / "squeue").write_text(
        "#!/bin/sh\nprintenv SQUEUE_STATES SACCT_FORMAT SLURM_BITSTR_LEN SLURM_CONF\ntrue\n"
    )
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm.conf")
    assert queue.slurm("squeue").split() == ["0", "/etc/slurm.conf"]


def test_without_accounting_there_is_no_ending(fake_slurm):
    """A cluster without slurmdbd says so on standard error; nothing is known then."""
    fake_slurm.answers("sacct", err="Slurm accounting storage is disabled\n", status=1)
    assert queue.endings(["12"]) == {}


def test_many_arrays_are_asked_for_in_few_questions(fake_slurm):
    """Command lines stay short of the system's limit, and nothing is asked twice."""
    queue.endings([str(i) for i in range(1200)] * 2)
    asked = [call[call.index("-j") + 1].split(",") for call in fake_slurm.calls("sacct")]
    assert sorted(itertools.chain.from_iterable(asked)) == sorted(str(i) for i in range(1200))
    assert len(asked) == 3


def test_a_hanging_command_is_an_error(fake_slurm, monkeypatch):
    """A controller that does not answer within the limit is told as such."""
    monkeypatch.setattr(queue, "TIMEOUT_S", 0.3)
    fake_slurm.answers("squeue", seconds=30)
    with pytest.raises(SlurmError, match=r"squeue has not answered for 0\.3 s"):
        queue.living("ablate-study")


def test_a_missing_command_is_told_in_plain_words(monkeypatch, tmp_path):
    """On a machine without Slurm the message asks whether this is a login node."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SlurmError, match="squeue is not installed here"):
        queue.living("ablate-study")


def test_an_error_is_slurm_s_own_words_once(fake_slurm):
    """Prefixes and repetitions go, the message stays."""
    fake_slurm.answers(
        "squeue",
        err="squeue: error: Unable to contact slurm controller\nsqueue: error: Unable to contact slurm controller\n\n"
        "squeue: fatal things\n",
        status=1,
    )
    with pytest.raises(SlurmError) as told:
        queue.living("ablate-study")
    assert str(told.value) == "Unable to contact slurm controller; fatal things"


def test_a_failure_without_a_word_has_its_status(fake_slurm):
    """Where standard error is empty the exit status is all there is."""
    fake_slurm.answers("squeue", status=3)
    with pytest.raises(SlurmError, match="squeue failed with status 3"):
        queue.living("ablate-study")


def test_cancelling_nothing_asks_nobody_and_many_in_parts(fake_slurm):
    """`scancel` without a job is an error of its own; thousands are ended in several commands."""
    queue.cancel([])
    assert fake_slurm.calls("scancel") == []
    queue.cancel([f"12_{i}" for i in range(501)])
    assert [len(call) - 1 for call in fake_slurm.calls("scancel")] == [500, 1]


@pytest.mark.parametrize(
    ("config", "size"),
    [("Foo = 3\nMaxArraySize            = 4096\nX = 1\n", 4096), ("MaxArraySizes = 3\n", 1001), ("", 1001)],
)
def test_the_largest_array_is_the_cluster_s(fake_slurm, config, size):
    """Read from the configuration; where it is not told, Slurm's default."""
    fake_slurm.answers("scontrol", config)
    assert queue.max_array_size() == size


@given(st.lists(st.text(min_size=1, max_size=80), min_size=2, max_size=8, unique=True))
def test_no_two_studies_share_a_name_in_the_queue(slugs):
    """Names are plain, short, and differ where the studies' do."""
    names = {queue.job_name(slug) for slug in slugs}
    assert len(names) == len(slugs)
    assert all(len(name) < 80 and name.isascii() and not set(name) & set(" ,|'\"") for name in names)
