"""Slurm's controller, its accounting, or the tracking server is away for a while, or always: no Trial fails for it."""

from __future__ import annotations

import signal
import time

import pytest
from lab import check_finished_once

AWAY = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
NO_ACCOUNTING = "Slurm accounting storage is disabled"


@pytest.mark.slow
@pytest.mark.parametrize("said_so", [True, False], ids=["error", "none"])
def test_a_queue_that_is_not_told_for_a_while_is_no_end(slurm, lab, said_so):
    """`squeue` fails, or lists nothing, just after `sbatch` and again later: nothing is submitted twice."""
    lab = lab(steps=20, sleep=0.4)
    answer = f"echo 'squeue: error: {AWAY}' >&2; exit 1" if said_so else "exit 0"
    times = f"echo >> {lab.root}/asked; asked=$(wc -l < {lab.root}/asked)"
    silent = f"{times}; if [ $asked -ge 3 ] && [ $asked -le 5 ]; then {answer}; fi"
    counts, said = lab.run(PATH=lab.fake("squeue", f'{silent}\nexec $real "$@"'))
    assert counts == (4, 0, 0), said
    assert (f"Slurm does not answer, and is asked again: {AWAY}" in said) == said_so
    assert ("Slurm answers again" in said) == said_so
    check_finished_once(lab, steps=20)
    assert lab.jobs_submitted() == 4


@pytest.mark.slow
def test_a_study_that_is_done_needs_no_slurm_for_its_report(slurm, lab):
    """Trained by jobs that nobody watched; where Slurm does not answer, one that is not done says so, with code 1."""
    lab = lab(steps=2, sleep=0.05)
    lab.run("--detach", "--seeds", 1)
    lab.until_finished(2)
    away = lab.fake("squeue", f"echo 'squeue: error: {AWAY}' >&2; exit 1")
    assert f"Slurm does not answer: {AWAY}" in lab.run(code=1, PATH=away)[1]
    assert lab.run("--seeds", 1, PATH=away)[0] == (0, 2, 0)
    assert list((lab.root / "reports").rglob("report.md"))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["restarted", "stopped"])
def test_a_controller_that_goes_and_comes_back_costs_nothing(slurm, lab, how):
    """slurmctld is killed and started again, or hangs, while jobs run and end: the driver says so, and waits."""
    lab = lab(steps=25, sleep=0.4)
    driver = lab.start()
    lab.until_step(2, trials=4)
    slurm.signal_controller(signal.SIGKILL if how == "restarted" else signal.SIGSTOP)
    time.sleep(15)
    if how == "restarted":
        slurm.start_controller()
    else:
        slurm.signal_controller(signal.SIGCONT)
    counts, said = lab.end(driver)
    assert counts == (4, 0, 0), said
    assert "Slurm does not answer, and is asked again" in said
    check_finished_once(lab, steps=25)
    assert len(lab.lines(containing=" begin ")) == lab.jobs_submitted() == 4


@pytest.mark.slow
def test_without_accounting_everything_ends_right(slurm, lab):
    """No `sacct`: Trials finish, one that leaves no result fails with its words, one whose job is lost goes on."""
    lab = lab(steps=40, sleep=0.4, blue="leave")
    driver = lab.start("run", "--seeds", 1, PATH=lab.fake("sacct", f"echo '{NO_ACCOUNTING}' >&2; exit 1"))
    lab.until(lambda: len(lab.lines(containing="red begin 0")) == 1)
    lab.until(lambda: any(len(record.history) >= 2 for record in lab.records().values()))
    red = lab.job("red")
    node = slurm.run("squeue", "-h", "-r", "-j", red, "-o", "%N")
    for process in slurm.job_processes(node):
        process.kill()
    counts, said = lab.end(driver, code=1)
    assert counts == (1, 0, 1), said
    (failed,) = [record for record in lab.records().values() if record.status == "failed"]
    assert failed.cause == "lost"
    assert "gone without a word of farewell" in failed.log_tail
    (finished,) = [record for record in lab.records().values() if record.status == "finished"]
    assert [row.step for row in finished.history] == list(range(1, 41))
