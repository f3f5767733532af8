"""Drivers are killed, sent away and doubled: jobs go on, and each Trial is trained once."""

from __future__ import annotations

import json
import random
import signal
import time

import pytest
from lab import check_finished_once

#: For a fake `sbatch`: what is no submission is left alone.
ONLY_SUBMISSIONS = 'case "$*" in *--test-only*) exec $real "$@";; esac\n'
KILLED_BEFORE = f'{ONLY_SUBMISSIONS}kill -9 $PPID; sleep 4; exec $real "$@"'
KILLED_AFTER = f'{ONLY_SUBMISSIONS}$real "$@"; kill -9 $PPID; sleep 1'
NEVER_CALLED = f"{ONLY_SUBMISSIONS}kill -9 $PPID; sleep 1"


def begun(lab):
    """How often a Trial was begun from its first step."""
    return len(lab.lines(containing=" begin 0 "))


@pytest.mark.parametrize(
    "sbatch",
    [KILLED_BEFORE, pytest.param(KILLED_AFTER, marks=pytest.mark.slow)],
    ids=["before sbatch answers", "before it is noted"],
)
def test_what_a_killed_driver_was_submitting_is_not_submitted_again(slurm, lab, sbatch):
    """SIGKILL around `sbatch`, and the same command while that is still at work: it attaches to those very jobs."""
    lab = lab(steps=20, sleep=0.4)
    lab.end(lab.start(PATH=lab.fake("sbatch", sbatch)), code=-signal.SIGKILL)
    assert [submission.array for submission in lab.submissions()] == [None]
    assert "4 jobs are with Slurm" in lab.run("--detach")[1]
    lab.until_finished()
    check_finished_once(lab, steps=20)
    assert lab.jobs_submitted() == 4


@pytest.mark.slow
def test_what_slurm_never_heard_of_is_submitted_by_the_next_driver(slurm, lab):
    """A driver that died before it could call `sbatch`, some minutes ago."""
    lab = lab(steps=2, sleep=0.05)
    lab.end(lab.start(PATH=lab.fake("sbatch", NEVER_CALLED)), code=-signal.SIGKILL)
    (submission,) = lab.submissions()
    submission.file.write_text(submission.file.read_text().replace(str(submission.submitted), str(time.time() - 300)))
    counts, said = lab.run()
    assert counts == (4, 0, 0), said
    check_finished_once(lab, steps=2)


@pytest.mark.slow
def test_a_driver_that_is_killed_while_jobs_run_is_succeeded(slurm, lab):
    """SIGKILL in the middle, then the same command: it finds the jobs where they are, and submits nothing."""
    lab = lab(steps=30, sleep=0.3)
    driver = lab.start()
    lab.until_step(2, trials=4)
    driver.kill()
    lab.end(driver, code=-signal.SIGKILL)
    counts, said = lab.run()
    assert counts == (4, 0, 0), said
    check_finished_once(lab, steps=30)
    assert begun(lab) == lab.jobs_submitted() == 4


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_drivers_killed_at_any_moment_lose_and_double_nothing(slurm, lab, seed):
    """One after the other is killed, wherever it is; the last one finds everything."""
    lab, moments = lab(steps=30, sleep=0.5, shades=("blue", "green")), random.Random(seed)
    for _ in range(6):
        driver = lab.start()
        time.sleep(moments.uniform(1.0, 8.0))
        driver.kill()
        lab.end(driver, code=None)
    counts, said = lab.run()
    assert counts[2] == 0, said
    check_finished_once(lab, steps=30, shades=("red", "blue", "green"))
    assert begun(lab) == 6


@pytest.mark.parametrize("signum", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_driver_that_is_sent_away_says_what_goes_on_without_it(slurm, lab, signum):
    """Ctrl-C or SIGTERM: exit code 1, jobs go on, and the same command attaches to them."""
    lab = lab(steps=40, sleep=0.3)
    driver = lab.start()
    lab.until_step(2, trials=4)
    driver.send_signal(signum)
    counts, said = lab.end(driver, code=1)
    assert "4 jobs are with Slurm and need nobody here" in said
    assert counts[2] == 0
    assert "4 jobs are with Slurm" in lab.run("--detach")[1]
    lab.until_finished()
    check_finished_once(lab, steps=40)
    assert begun(lab) == lab.jobs_submitted() == 4


@pytest.mark.slow
def test_ctrl_c_at_submission_loses_no_job(slurm, lab):
    """A terminal sends it to `sbatch`, too, which dies of it when Slurm has the jobs: the next driver finds them."""
    lab = lab(steps=6, sleep=0.3)
    killed = f'{ONLY_SUBMISSIONS}$real "$@" > /dev/null; kill -INT $PPID; kill -INT $$; sleep 1'
    _, said = lab.end(lab.start(PATH=lab.fake("sbatch", killed)), code=1)
    assert "whether Slurm has the jobs" in said
    counts, said = lab.run()
    assert counts[2] == 0, said
    check_finished_once(lab, steps=6)
    assert begun(lab) == lab.jobs_submitted() == 4


@pytest.mark.slow
def test_a_connection_that_breaks_at_submission_doubles_no_job(slurm, lab):
    """`sbatch` fails with a timeout although Slurm has taken the jobs, as it does on a busy cluster."""
    words = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"
    lab = lab(steps=3, sleep=0.2)
    path = lab.fake("sbatch", f'{ONLY_SUBMISSIONS}$real "$@" > /dev/null; echo "{words}" >&2; exit 1')
    assert "Socket timed out" in lab.run(code=1, PATH=path)[1]
    assert lab.run()[0][2] == 0
    check_finished_once(lab, steps=3)
    assert lab.jobs_submitted() == 4


def test_a_second_driver_is_refused_and_without_locks_it_shares(slurm, lab):
    """While the first one lives; where no lock reaches (another login node), it attaches to the same jobs instead."""
    lab = lab(steps=20, sleep=0.4)
    first = lab.start()
    lab.until_step(1, trials=4)
    assert "another `ablate run` of steady/default is at work" in lab.run(code=2)[1]
    (lab.root / ".ablate" / "runs" / "steady" / "default" / "study.lock").unlink()
    second = lab.start()
    for driver in (first, second):
        counts, said = lab.end(driver)
        assert counts[2] == 0, said
    check_finished_once(lab, steps=20)
    assert begun(lab) == lab.jobs_submitted() == 4


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["at once", "while the other one submits"])
def test_two_drivers_that_submit_at_once_train_nothing_twice(slurm, lab, moment):
    """Without locks between them, begun at the same time, or the second one while the first one's `sbatch` works."""
    lab = lab(steps=5, sleep=0.3)
    slow = lab.fake("sbatch", ONLY_SUBMISSIONS + 'sleep 6; exec $real "$@"')
    first = lab.start(PATH=slow)
    lock = lab.root / ".ablate" / "runs" / "steady" / "default" / "study.lock"
    lab.until(lock.exists if moment == "at once" else lab.submissions)
    lock.unlink()
    second = lab.start()
    for driver in (first, second):
        counts, said = lab.end(driver)
        assert counts[2] == 0, said
    check_finished_once(lab, steps=5)
    assert begun(lab) == 4


@pytest.mark.slow
def test_failures_that_nobody_watched_are_outcomes_until_all_jobs_have_ended(slurm, lab):
    """Attached to jobs of which others live it reports the failures; a run after all of them tries those again."""
    lab = lab(steps=40, sleep=0.3, blue="broken")
    (lab.root / "broken").touch()
    lab.run("--detach")
    lab.until(lambda: sum(record.status == "failed" for record in lab.records().values()) == 2)
    lab.until_step(2, trials=2)
    counts, said = lab.run(code=1)
    assert (counts[0], counts[2]) == (2, 2), said
    assert len(lab.lines(containing="blue begin")) == 2
    (lab.root / "broken").unlink()
    assert lab.run()[0] == (2, 2, 0)
    check_finished_once(lab, steps=40)
    assert {record.attempts for record in lab.records().values()} == {1, 2}


@pytest.mark.slow
def test_a_part_of_the_study_leaves_the_rest_to_others(slurm, lab):
    """A run of one seed does not draw conclusions about jobs of the other: the whole run attaches to those."""
    lab = lab(steps=30, sleep=0.4)
    lab.run("--detach")
    lab.until_step(1, trials=4)
    counts, said = lab.run("--seeds", 1)
    assert counts[2] == 0, said
    assert [json.loads(s.file.read_text())["concluded"] for s in lab.submissions()] != [[0, 1, 2, 3]]
    assert lab.run()[0][2] == 0
    check_finished_once(lab, steps=30)
    assert begun(lab) == lab.jobs_submitted() == 4
    left = (lab.root / ".ablate" / "runs" / "steady" / "default").iterdir()
    assert [path.name for path in left] == ["study.lock"]
