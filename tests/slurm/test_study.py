"""`ablate run --executor slurm` on a real Slurm, where nothing goes wrong or something of the user's does."""

from __future__ import annotations

import pytest
from lab import STEADY, check_finished_once


def test_a_study_is_trained_in_arrays_of_jobs(slurm, lab):
    """A job a Trial in one array, a report in the end, and the same command again trains nothing."""
    lab = lab(steps=3, sleep=0.05)
    counts, said = lab.run()
    assert counts == (4, 0, 0), said
    check_finished_once(lab, steps=3)
    assert (lab.root / "reports" / "steady").is_dir()
    assert lab.run()[0] == (0, 4, 0)
    assert slurm.run("squeue", "-h") == ""


def test_short_trials_share_a_job_and_a_shape_has_an_array_of_its_own(slurm, lab):
    """With two Trials to a job, and another request for one Variant, there is an array for each request."""
    shape = 'shapes = [{variants = "shade=blue", memory_gb = 0.5, trials_per_job = 1}]'
    lab = lab(steps=2, sleep=0.05, shades=("blue", "green"), more=shape)
    lab.settings(more=shape, per_job=2)
    assert "4 jobs are with Slurm" in lab.run("--detach")[1]
    arrays = lab.submissions()
    assert sorted(sorted(map(len, s.packs)) for s in arrays) == [[1, 1], [2, 2]]
    assert sorted(s.resources["memory_gb"] for s in arrays) == [0.25, 0.5]
    assert lab.run()[0][2] == 0
    check_finished_once(lab, steps=2, shades=("red", "blue", "green"))


def test_edits_after_submission_do_not_change_queued_jobs(slurm, lab):
    """Jobs that begin after the user's module was broken run it as it was when they were submitted."""
    lab = lab(steps=2, sleep=0.05, more='sbatch = {begin = "now+6"}')
    lab.run("--detach")
    (lab.root / "steady.py").write_text("raise RuntimeError('edited')")
    lab.until(lambda: len(lab.lines(containing=" end ")) == 4)
    (lab.root / "steady.py").write_text(STEADY.read_text())
    assert lab.run()[0] == (0, 4, 0)
    check_finished_once(lab, steps=2)


def test_a_user_s_error_is_a_failed_trial_and_not_tried_again(slurm, lab):
    """An exception in the Trainable fails its Trial at the first attempt, the others finish, the exit code is 1."""
    lab = lab(steps=2, sleep=0.05, blue="raise")
    counts, _ = lab.run(code=1)
    assert counts == (2, 0, 2)
    failed = [record for record in lab.records().values() if record.status == "failed"]
    assert [(r.cause, r.error, r.attempts) for r in failed] == [("error", "ValueError: not with this Recipe", 1)] * 2


def test_a_trial_that_kills_its_process_is_given_up_with_its_last_words(slurm, lab):
    """SIGKILL at every start is a failure after a few of them, with the end of standard error; the others finish."""
    lab = lab(steps=2, sleep=0.05, blue="die")
    counts, said = lab.run("--seeds", 1, code=1)
    assert counts == (1, 0, 1), said
    (failed,) = [record for record in lab.records().values() if record.status == "failed"]
    assert failed.cause == "lost"
    assert failed.attempts == 3
    assert "these are its last words" in failed.log_tail


@pytest.mark.slow
def test_a_completed_job_without_a_result_is_a_failure(slurm, lab):
    """Slurm says COMPLETED, 0:0, of a job whose Trial has no result: it fails with what the job printed."""
    lab = lab(steps=2, sleep=0.05, blue="leave")
    counts, said = lab.run("--seeds", 1, code=1)
    assert counts == (1, 0, 1), said
    (failed,) = [record for record in lab.records().values() if record.status == "failed"]
    assert "COMPLETED" in failed.error
    assert "gone without a word of farewell" in failed.log_tail


def test_out_of_memory_is_told_and_not_tried_again(slurm, lab):
    """A Trial that takes more memory than its job asked for fails at its first attempt, as what it is."""
    lab = lab(steps=2, sleep=0.05, blue="memory")
    counts, said = lab.run("--seeds", 1, code=1)
    assert counts == (1, 0, 1), said
    (failed,) = [record for record in lab.records().values() if record.status == "failed"]
    assert failed.error.startswith("out of memory")
    assert failed.attempts == 1


def test_a_wrong_request_is_told_in_slurm_s_own_words(slurm, lab):
    """A partition that is not there, and more GPUs than a node has, end the command with sbatch's message."""
    lab = lab()
    assert "invalid partition specified: nowhere" in lab.run("--slurm", "partition=nowhere", code=2)[1]
    assert "Requested node configuration is not available" in lab.run("--slurm", "gpus=64", code=2)[1]
    assert lab.lines() == []
    assert slurm.run("squeue", "-h") == ""
