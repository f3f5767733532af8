"""What happens to jobs: signals, preemption, `scancel`, kills, lost nodes. Each Trial is trained once all the same."""

from __future__ import annotations

import pytest
from lab import check_finished_once

ONE_SEED = ("--seeds", 1)


def begun_at(lab, shade):
    """The steps at which a Trial was begun, attempt for attempt."""
    return [int(line.split()[2]) for line in lab.lines(containing=f"{shade} begin ")]


def test_a_job_that_is_told_of_its_time_limit_goes_on_from_its_checkpoint(slurm, lab):
    """SIGUSR2 makes it stop where it is and ask for another start, which begins at the step reached."""
    lab = lab(steps=10, sleep=0.4)
    driver = lab.start("run", *ONE_SEED)
    lab.until_step(2, trials=2)
    job = lab.job("blue")
    slurm.run("scancel", "--signal=USR2", job)
    lab.until_requeued(slurm, job)
    counts, said = lab.end(driver)
    assert counts == (2, 0, 0), said
    check_finished_once(lab, steps=10, seeds=(0,))
    (stopped,) = lab.lines(containing="blue stopped")
    assert begun_at(lab, "blue") == [0, int(stopped.split()[2])]
    assert begun_at(lab, "red") == [0]
    assert lab.jobs_submitted() == 2


@pytest.mark.slow
def test_a_job_starts_again_by_itself_until_it_is_done(slurm, lab):
    """A Trial that takes longer than its job's time limit of a minute: nobody watches, and it finishes."""
    lab = lab(steps=40, sleep=2.0, minutes=1, more="checkpoint_s = 30")
    lab.run("--detach", *ONE_SEED)
    lab.until(lambda: len(lab.lines(containing=" end ")) == 2, seconds=400)
    assert len(begun_at(lab, "blue")) >= 2
    assert [int(line.split()[2]) for line in lab.lines(containing="blue stopped")] == begun_at(lab, "blue")[1:]
    lab.until(lambda: slurm.run("squeue", "-h") == "")
    assert lab.run(*ONE_SEED)[0] == (0, 2, 0)
    check_finished_once(lab, steps=40, seeds=(0,))
    assert lab.jobs_submitted() == 2


@pytest.mark.parametrize(
    ("partition", "user_signal"),
    [
        ("preempt", True),
        pytest.param("preempt", False, marks=pytest.mark.slow),
        pytest.param("preempt0", True, marks=pytest.mark.slow),
        ("preempt0", False),
        pytest.param("preemptc", True, marks=pytest.mark.slow),
    ],
)
def test_preempted_jobs_make_room_and_go_on(slurm, lab, partition, user_signal):
    """With grace time and without, with their own signal and without, requeued or cancelled: nothing has failed."""
    slurm.reconfigure(user_signal=user_signal)
    lab = lab(steps=14, sleep=0.4, more=f'partition = "{partition}"')
    driver = lab.start("run", *ONE_SEED)
    lab.until_step(2, trials=2)
    high = slurm.run("sbatch", "--parsable", "-p", "gpu", "--exclusive", "-N2", "-o", "/dev/null", "--wrap", "sleep 3")
    lab.until(lambda: slurm.run("sacct", "-X", "-n", "-P", "-j", high, "-o", "State") == "COMPLETED")
    counts, said = lab.end(driver)
    assert counts == (2, 0, 0), said
    check_finished_once(lab, steps=14, seeds=(0,))
    assert all(begun_at(lab, shade)[-1] >= 1 for shade in ("red", "blue"))
    assert lab.jobs_submitted() == (4 if partition == "preemptc" else 2)


@pytest.mark.slow
@pytest.mark.parametrize("user_signal", [True, False])
def test_a_job_that_finishes_as_it_is_preempted_harms_nothing(slurm, lab, user_signal):
    """Slurm starts it again although it was done: that start trains nothing."""
    slurm.reconfigure(user_signal=user_signal)
    lab = lab(steps=8, sleep=0.5, blue="deaf", more='partition = "preempt"')
    driver = lab.start("run", *ONE_SEED)
    lab.until_step(4, trials=2)
    slurm.run("sbatch", "-p", "gpu", "--exclusive", "-N2", "-o", "/dev/null", "--wrap", "sleep 3")
    counts, said = lab.end(driver)
    assert counts == (2, 0, 0), said
    lab.until(lambda: slurm.run("squeue", "-h") == "")
    check_finished_once(lab, steps=8, seeds=(0,))
    assert begun_at(lab, "blue") == [0]
    assert lab.jobs_submitted() == 2


def test_a_cancelled_job_waits_for_the_next_run(slurm, lab):
    """`scancel` of a running job: no failure, and not this run's affair any more; the next one goes on with it."""
    lab = lab(steps=8, sleep=0.4)
    driver = lab.start("run", *ONE_SEED)
    lab.until_step(2, trials=2)
    job = lab.job("blue")
    slurm.run("scancel", job)
    counts, said = lab.end(driver, code=1)
    assert counts == (1, 0, 0), said
    assert f"job {job} ended without the result of a Trial: cancelled" in said
    counts, said = lab.run(*ONE_SEED)
    assert counts == (1, 1, 0), said
    check_finished_once(lab, steps=8, seeds=(0,))
    assert begun_at(lab, "blue")[1] >= 2


@pytest.mark.slow
@pytest.mark.parametrize("all_of_them", [False, True])
def test_jobs_that_wait_are_cancelled(slurm, lab, all_of_them):
    """`scancel` of an element that has not begun, of which Slurm keeps no record; of the array, some of it begun."""
    lab = lab(steps=8, sleep=0.4, more="parallel = 2")
    driver = lab.start()
    lab.until_step(1, trials=2)
    array, left = lab.submissions()[0].array, 0 if all_of_them else 3
    slurm.run("scancel", array if all_of_them else f"{array}_3")
    counts, said = lab.end(driver, code=1)
    assert counts == (left, 0, 0), said
    assert said.count("ended without the result of a Trial: cancelled") == 4 - left
    assert lab.run()[0] == (4 - left, left, 0)
    check_finished_once(lab, steps=8)


@pytest.mark.slow
@pytest.mark.parametrize("comes_back", [True, False])
def test_a_lost_node_s_jobs_begin_again(slurm, lab, comes_back):
    """Slurm finds out by itself that a node has lost power; its jobs go on there when it is back, or elsewhere."""
    lab = lab(steps=10, sleep=0.5, more='exclude = "gpu2"' if comes_back else "")
    driver = lab.start()
    lab.until_step(2, trials=4)
    slurm.crash("gpu1")
    if comes_back:
        slurm.start("gpu1")
    counts, said = lab.end(driver)
    assert counts == (4, 0, 0), said
    assert "ended without" not in said
    check_finished_once(lab, steps=10)
    assert {line.split()[-2] for line in lab.lines(containing=" end ")} == {"gpu1" if comes_back else "gpu2"}
    assert lab.jobs_submitted() == 4


@pytest.mark.parametrize("locks", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_an_orphan_cannot_spoil_its_successor_s_result(slurm, lab, locks):
    """A job's processes outlive their node's slurmd; it runs again elsewhere, whether locks reach there or not."""
    lab = lab(steps=24, sleep=0.4)
    driver = lab.start("run", *ONE_SEED)
    lab.until_step(2, trials=2)
    jobs = [lab.job("red"), lab.job("blue")]
    slurm.kill_slurmd("gpu1")
    if not locks:  # as where the file server has forgotten a node that was cut off
        for file in (lab.root / ".ablate" / "trials").glob("*/lock"):
            file.unlink()
    slurm.declare_down("gpu1")
    for job in jobs:
        lab.until_requeued(slurm, job)
        slurm.begin_now(job)  # on a node that has never heard of it
    counts, said = lab.end(driver)
    assert counts == (2, 0, 0), said
    check_finished_once(lab, steps=24, seeds=(0,))
    assert {line.split()[-2] for line in lab.lines(containing=" end ")} == {"gpu1" if locks else "gpu2"}
    assert lab.jobs_submitted() == 2


@pytest.mark.parametrize("steps", [(2,), pytest.param((2, 4, 6, 8), marks=pytest.mark.slow)])
def test_a_killed_worker_is_started_again(slurm, lab, steps):
    """SIGKILL, with progress before each: also more often than a Trial may die without any."""
    lab = lab(steps=16, sleep=0.3)
    driver = lab.start("run", *ONE_SEED)
    for step in steps:
        lab.until_step(step, trials=2)
        job = lab.job("blue")
        lab.worker(slurm, job).kill()
        lab.until_requeued(slurm, job)
    counts, said = lab.end(driver)
    assert counts == (2, 0, 0), said
    check_finished_once(lab, steps=16, seeds=(0,))
    assert len(begun_at(lab, "blue")) == len(steps) + 1
    assert lab.jobs_submitted() == 2


def test_a_worker_that_is_killed_between_two_trials_goes_on_with_the_second(slurm, lab):
    """The first one's result is there, and stays."""
    lab = lab(steps=3, sleep=0.1, blue="last")
    lab.settings(per_job=4)
    lab.run("--detach", *ONE_SEED)
    lab.until_requeued(slurm, f"{lab.submissions()[0].array}_0")
    counts, said = lab.run(*ONE_SEED)
    assert counts[2] == 0, said
    check_finished_once(lab, steps=3, seeds=(0,))
    assert begun_at(lab, "blue") == [0]
    assert lab.jobs_submitted() == 1


@pytest.mark.slow
def test_a_worker_that_is_killed_on_its_way_up_is_started_again(slurm, lab):
    """SIGKILL before Python has imported anything, three times."""
    lab = lab(steps=3, sleep=0.1)
    lab.run("--detach", "--seeds", 1)
    job = f"{lab.submissions()[0].array}_0"
    for _ in range(3):
        lab.worker(slurm, job).kill()
        lab.until_requeued(slurm, job)
    counts, said = lab.run(*ONE_SEED)
    assert counts[2] == 0, said
    check_finished_once(lab, steps=3, seeds=(0,))
    assert lab.jobs_submitted() == 2


@pytest.mark.slow
def test_one_of_several_processes_is_killed_on_its_way_up(slurm, lab):
    """`srun` ends the other one by SIGTERM, which nobody handles yet: that is no `scancel`."""
    lab = lab(steps=3, sleep=0.1)
    lab.settings(more="nodes = 2\nprocesses = 1\nparallel = 1", memory_gb=2)
    lab.run("--detach", *ONE_SEED)
    job = f"{lab.submissions()[0].array}_0"
    lab.worker(slurm, job).kill()
    lab.until_requeued(slurm, job)
    counts, said = lab.run(*ONE_SEED)
    assert counts[2] == 0, said
    check_finished_once(lab, steps=3, seeds=(0,))
    assert lab.jobs_submitted() == 2
