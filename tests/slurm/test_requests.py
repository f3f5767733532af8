"""What jobs ask for and get: GPUs of their own, arrays that the cluster can hold, code and nothing else of a user's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cluster import PrivateSlurm
from lab import check_finished_once

NODE_1 = 'sbatch = {nodelist = "gpu1"}'
ABLATE = Path(sys.executable).with_name("ablate")
#: What differs between two jobs that ask for the same.
OF_ITS_OWN = (
    *("SLURM_JOB_", "SLURM_JOBID", "SLURM_ARRAY_", "SLURM_STEP", "SLURM_SRUN", "SLURM_NODELIST", "SLURM_TOPOLOGY"),
    *("SLURMD_", "SLURM_SUBMIT_HOST", "SLURM_TASK_PID"),
)


def environment(lab, shade, seed):
    """That in which a Trial was trained."""
    (found,) = [r for r in lab.records().values() if (r.recipe["shade"], r.seed) == (shade, seed)]
    return json.loads(lab.spool.artifact(found.trial_id, "environment.json").read_text())


def sights(lab):
    """CUDA_VISIBLE_DEVICES of every process, Variant by Variant."""
    seen: dict[str, set[str]] = {}
    for line in lab.lines(containing=" sees "):
        seen.setdefault(line.split()[0], set()).add(line.split()[3])
    return seen


def test_jobs_submitted_from_within_a_job_inherit_nothing_of_it(slurm, lab):
    """They ask for what the study says, and see the environment of jobs that were submitted from a login node."""
    lab = lab(steps=2, sleep=0.05, blue="tell")
    lab.run("--detach", "--seeds", 1)
    lab.until_finished(2)
    command = f"{ABLATE} run study.yaml --executor slurm --no-check --detach"
    outer = ["--ntasks=2", "--cpus-per-task=3", "--mem=2000", "--gres=gpu:1", "--time=9", "--no-requeue"]
    said = lab.root / "said"
    slurm.run("sbatch", "-D", str(lab.root), "-o", str(said), *outer, f"--wrap={command}")
    lab.until_finished(4)
    assert "2 jobs are with Slurm" in said.read_text()
    login, inner = environment(lab, "blue", 0), environment(lab, "blue", 1)
    assert inner.keys() - login.keys() == set()
    assert {
        name: (value, inner.get(name))
        for name, value in login.items()
        if name.startswith(("SLURM", "SBATCH", "CUDA", "OMP")) and not name.startswith(OF_ITS_OWN)
        if inner.get(name) != value
    } == {}


def test_two_jobs_on_a_node_have_different_gpus(slurm, lab):
    """Each sees the two that Slurm gave it, though no cgroup keeps it from the other's."""
    lab = lab(steps=20, sleep=0.2, blue="tell", more=f"gpus = 2\nprocesses = 1\n{NODE_1}")
    lab.run("--detach", "--seeds", 1, "--set", "mode=tell")
    lab.until_finished(2)
    assert sorted(sights(lab).values(), key=sorted) == [{"0,1"}, {"2,3"}]


@pytest.mark.slow
def test_a_request_changes_no_trial_s_identity_and_each_process_has_the_job_s_gpus(slurm, lab):
    """Two processes with two GPUs in another partition train what a run on one machine takes for its own."""
    lab = lab(steps=20, sleep=0.3, shades=("blue", "green"), blue="tell", green="tell")
    ids = set(lab.trials().values())
    lab.settings(more=f'partition = "preempt"\ngpus = 2\nprocesses = 2\n{NODE_1}', memory_gb=3)
    counts, said = lab.run()
    assert counts == (6, 0, 0), said
    assert set(lab.records()) == ids
    assert all(record.environment["processes"] == "2" for record in lab.records().values())
    marks = [line.split() for line in lab.lines(containing=" sees ")]
    assert sorted((shade, rank) for shade, _, rank, *_ in marks) == sorted(
        (shade, rank) for shade in ("blue", "green") for rank in "0011"
    )
    assert {gpus for _, _, _, gpus, *_ in marks} <= {"0,1", "2,3"}
    here = [ABLATE, "run", "study.yaml", "--no-check", "--quiet"]
    done = subprocess.run(here, cwd=lab.root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "trained 0, reused 6, failed 0"


def test_files_of_the_users_shadow_no_module_in_jobs(slurm, lab):
    """A random.py and a numpy.py in the working folder, beside the study, are not what a job imports."""
    lab = lab(steps=2, sleep=0.05)
    for name in ("random", "numpy", "submitit"):
        (lab.root / f"{name}.py").write_text("raise SystemExit('the wrong module')")
    lab.run("--detach", "--seeds", 1)
    lab.until_finished(2)
    check_finished_once(lab, steps=2, seeds=(0,))


@pytest.mark.parametrize("field", ["cpus=999", pytest.param("nodes=64", marks=pytest.mark.slow)])
def test_what_would_wait_for_ever_is_refused(slurm, lab, field):
    """More CPUs or nodes than there are: sbatch would take it, and it would never start."""
    lab = lab()
    assert "Requested node configuration is not available" in lab.run("--slurm", field, code=2)[1]
    assert lab.jobs_submitted() == 0


@pytest.mark.slow
def test_a_study_larger_than_an_array_may_be_is_several(tmp_path, lab, monkeypatch):
    """Six jobs where an array's highest index is 3: two arrays, each Trial once; one of six is refused there."""
    with PrivateSlurm(tmp_path / "cluster", nodes=1, max_array_size=4) as small:
        monkeypatch.setenv("SLURM_CONF", small.env["SLURM_CONF"])
        with pytest.raises(RuntimeError, match="Invalid job array specification"):
            small.run("sbatch", "--array=0-5", "--wrap=true")
        lab = lab(steps=2, sleep=0.05, shades=("blue", "green"))
        assert "6 jobs are with Slurm" in lab.run("--detach")[1]
        assert sorted(len(submission.packs) for submission in lab.submissions()) == [2, 4]
        counts, said = lab.run()
        assert counts[2] == 0, said
        check_finished_once(lab, steps=2, shades=("red", "blue", "green"))
