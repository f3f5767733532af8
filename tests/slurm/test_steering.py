"""A study on Slurm that nobody watches is looked at, read, cancelled and tried again with the other verbs."""

from __future__ import annotations

import json
import re

import pytest
from lab import check_finished_once

SILENT = 'echo "squeue: error: slurm_load_jobs error: Unable to contact slurm controller" >&2; exit 1'


def states(lab, **environment):
    """State of each Trial by Variant and seed, as `ablate status --json` has it, and the whole document."""
    document = json.loads(lab.ablate("status", "--json", **environment))
    return {(trial["variant"], trial["seed"]): trial["state"] for trial in document["trials"]}, document


def test_status_is_right_while_jobs_wait_and_run(slurm, lab):
    """Waiting with Slurm's reason, running with job, node and step; unknown where Slurm is silent."""
    lab = lab(steps=60, sleep=0.5, more="parallel = 2")
    lab.run("--detach")
    lab.until_step(2, trials=2)
    seen, document = states(lab)
    assert sorted(seen.values()) == ["running", "running", "waiting", "waiting"]
    running = [trial for trial in document["trials"] if trial["state"] == "running"]
    queue = dict(line.split() for line in slurm.run("squeue", "-h", "-r", "-t", "R", "-o", "%i %N").splitlines())
    assert {trial["job"]: trial["node"] for trial in running} == queue
    for trial in running:
        assert trial["id"] in lab.records()
        assert 2 <= trial["step"] <= 60
        assert 0 < trial["limit_seconds_left"] <= 300
    assert {t["why"] for t in document["trials"] if t["state"] == "waiting"} == {"JobArrayTaskLimit"}
    table = lab.ablate("status")
    assert "4 Trials: 2 running, 2 waiting" in table
    assert all(re.search(rf"{job} +{node}", table) for job, node in queue.items())
    silent, document = states(lab, PATH=lab.fake("squeue", SILENT))
    assert sorted(silent.values()) == ["running", "running", "unknown", "unknown"]
    assert "Unable to contact slurm controller" in document["slurm"]


def test_logs_are_found_by_trial_and_by_job(slurm, lab):
    """Those of a Trial that runs, by Variant and seed, by the beginning of its id, and by its job."""
    lab = lab(steps=60, sleep=0.5)
    lab.run("--detach", "--seeds", 1)
    lab.until_step(1, trials=2)
    job, trial = lab.job("blue"), lab.trials()["shade=blue", 0]
    for argument in ("shade=blue:0", trial[:10], job):
        said = lab.ablate("logs", argument, "--study", "study.yaml")
        assert f"{job}_0_log.err" in said
        assert "ablate: this job begins on gpu" in said


@pytest.mark.slow
def test_cancelled_trials_are_no_failures_and_the_next_run_goes_on_with_them(slurm, lab):
    """One Variant's jobs, then all: they end with a checkpoint, and another run resumes from there at once."""
    lab = lab(steps=30, sleep=0.4)
    lab.run("--detach")
    lab.until_step(3, trials=4)
    assert "cancelling 2 jobs: 2 running, 0 waiting" in lab.ablate("cancel", "--only", "shade=blue")
    seen, _ = states(lab)
    assert sorted(zip(seen.values(), (name for name, _ in seen), strict=True)) == [
        *[("cancelled", "shade=blue")] * 2,
        *[("running", "baseline")] * 2,
    ]
    lab.ablate("cancel")
    assert set(states(lab)[0].values()) == {"cancelled"}
    reached = {record.trial_id: len(record.history) for record in lab.records().values()}
    assert "4 jobs are with Slurm" in lab.run("--detach")[1]
    lab.until_finished()
    assert set(states(lab)[0].values()) == {"finished"}
    check_finished_once(lab, steps=30)
    resumed = [int(line.split()[2]) for line in lab.lines(containing=" begin ")]
    assert sorted(resumed) == [0, 0, 0, 0, *sorted(reached.values())]


@pytest.mark.slow
def test_a_driver_goes_on_without_what_is_cancelled_while_it_watches(slurm, lab):
    """The other Trials finish, the cancelled ones have not failed, and the exit code says that they are missing."""
    lab = lab(steps=30, sleep=0.4)
    driver = lab.start()
    lab.until_step(3, trials=4)
    lab.ablate("cancel", "--only", "shade=blue")
    counts, said = lab.end(driver, code=1)
    assert counts == (2, 0, 0), said
    assert "cancelled" in said
    assert lab.run()[0] == (2, 2, 0)
    check_finished_once(lab, steps=30)


@pytest.mark.slow
@pytest.mark.parametrize("others", ["have ended", "still run"])
def test_failures_are_tried_again_when_asked(slurm, lab, others):
    """`ablate retry --failed` trains what failed once its cause is gone, also while other jobs of the study run."""
    lab = lab(steps=10 if others == "have ended" else 100, sleep=0.4, blue="broken")
    (lab.root / "broken").touch()
    lab.run("--detach")
    lab.until(lambda: sum(record.status == "failed" for record in lab.records().values()) == 2)
    (lab.root / "broken").unlink()
    if others == "have ended":
        lab.until_finished(trials=2)
    assert "2 to train again" in lab.ablate("retry", "--failed", "--detach")
    lab.until_finished()
    check_finished_once(lab, steps=10 if others == "have ended" else 100)
    assert len(lab.lines(containing="red begin")) == 2
    assert lab.jobs_submitted() == 6


@pytest.mark.slow
def test_a_run_after_the_jobs_were_lost_submits_them_again(slurm, lab):
    """Jobs that were ended behind ablate's back while nobody watched: the next run, detached too, goes on."""
    lab = lab(steps=20, sleep=0.4)
    lab.run("--detach")
    lab.until_step(3, trials=4)
    slurm.run("scancel", "--user=root")
    lab.until(lambda: slurm.run("squeue", "-h") == "")
    lab.run("--detach")
    lab.until_finished()
    check_finished_once(lab, steps=20)
