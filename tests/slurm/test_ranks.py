"""Processes on two nodes of a real Slurm train Trials together, and `srun` says how they ended."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.execution.pack import Pack
from ablate.execution.slots import Slot
from ablate.study.study import Trial
from ablate.tracking.spool import Spool

PROGRAM = Path(__file__).parents[1] / "execution" / "cluster" / "rank_process.py"


def run(folder, recipe):
    """A job step of two tasks that train two Trials; its exit status, the Trials' Records, and what was said."""
    trials = tuple(Trial(f"t{k}", "base", 0, {"steps": 5, "sleep": 0.05, **recipe}) for k in range(2))
    paths = (PROGRAM.parent,)
    slot, target = Slot("job", 1), "rank_process:joined"
    pack = Pack(trials, target, "score", "", folder / "spool", folder, slot, paths, attached=False)
    (folder / "pack").write_bytes(pickle.dumps(pack))
    options = ["-N2", "-n2", "-t5", "--kill-on-bad-exit=1"]
    done = subprocess.run(
        ["srun", *options, sys.executable, str(PROGRAM), str(folder / "pack")],
        env={**os.environ, "SUBMITIT_EXECUTOR": "slurm"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    return done.returncode, [Spool(pack.spool).record(trial.id) for trial in trials], done.stderr


def test_processes_on_two_nodes_train_one_trial_after_the_other(slurm, tmp_path):
    """Each adds its rank, counted from one, five times."""
    status, records, said = run(tmp_path, {})
    assert status == 0, said
    assert [record.metrics for record in records] == [{"score": 15.0}] * 2


def test_a_failure_on_another_node_is_the_trials(slurm, tmp_path):
    """The node is named, and the step ends as it should."""
    status, records, said = run(tmp_path, {"bad_rank": 1, "end": "raise"})
    assert status == 0, said
    assert {record.error for record in records} == {
        "RuntimeError: process 1 of this Trial, on gpu2, failed: OSError: the disk is full"
    }


@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_that_is_killed_ends_the_step_as_killed(slurm, tmp_path, victim):
    """Status 137 asks the batch script to start the job again; no failure is journaled."""
    status, records, said = run(tmp_path, {"bad_rank": victim, "end": "kill"})
    assert status == 137, said
    assert records[0] is None or records[0].status != "failed"
    assert f"process {victim} of this job" in said
