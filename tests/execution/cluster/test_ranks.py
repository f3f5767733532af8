"""Several processes train the Trials of one job; Slurm is played by the variables that it sets."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.execution.cluster.ranks import Ranks
from ablate.execution.run_folder import RunFolder
from ablate.execution.slots import Slot
from ablate.execution.stopping import StopWatch

PROGRAM = Path(__file__).with_name("rank_process.py")
KILLED = -signal.SIGKILL
OWN, WORLD = "rank_process:add", "rank_process:joined"


class Job:
    """A job of the workplace's, whose processes this test starts."""

    def __init__(self, workplace, trials, trainable=OWN, *, ranks=2, number=7, restart=0, patience_s=30, **fields):
        self.spool, self.trials = workplace.spool, trials
        self.run = RunFolder(workplace.root / "run")
        self.run.path.mkdir(exist_ok=True)
        pack = workplace.pack(trials, run=self.run.path, trainable=trainable, attached=False, **fields)
        self.pack = replace(pack, import_paths=(PROGRAM.parent,))
        file = workplace.root / f"pack-{number}"
        file.write_bytes(pickle.dumps(self.pack))
        self.processes = [
            subprocess.Popen(
                [sys.executable, str(PROGRAM), str(file)],
                env={**os.environ, **slurm(rank, ranks, number, restart), "TEST_PATIENCE_S": str(patience_s)},
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(ranks)
        ]

    def statuses(self):
        """How the processes ended, all of them; what they said is in `said`."""
        self.said = [process.communicate(timeout=240)[1] for process in self.processes]
        return [process.returncode for process in self.processes]

    def record(self, trial):
        return self.spool.record(trial.id)

    def pid(self, trial, rank, until):
        """Of the process that trains the Trial as this rank, as soon as it does."""
        until(lambda: list(self.spool.root.rglob(f"{trial.id}/{rank}.json")), 120)
        (file,) = self.spool.root.rglob(f"{trial.id}/{rank}.json")
        return json.loads(file.read_text())["pid"]


def slurm(rank, ranks, number, restart=0):
    """What `srun` and submitit tell a task of a job on one node."""
    return {
        "SUBMITIT_EXECUTOR": "slurm",
        "SLURM_JOB_ID": str(number + 1),
        "SLURM_ARRAY_JOB_ID": str(number),
        "SLURM_ARRAY_TASK_ID": "0",
        "SLURM_RESTART_COUNT": str(restart),
        "SLURM_JOB_NODELIST": "nowhere1",
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_NTASKS": str(ranks),
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank),
        "SLURM_NODEID": "0",
    }


def test_trials_are_trained_one_after_the_other(workplace):
    """Three Trials of a Trainable that leaves its process group open: rank 0's metrics and rows."""
    trials = [workplace.trial(f"t{k}", steps=2 + k, sleep=0) for k in range(3)]
    job = Job(workplace, trials)
    assert job.statuses() == [0, 0], job.said
    for k, trial in enumerate(trials):
        record = job.record(trial)
        assert record.metrics == {"score": 3.0 * (2 + k)}
        assert [row.step for row in record.history] == list(range(1, 3 + k))
        assert record.attempts == 1
    assert not list(job.run.jobs.iterdir())  # where they met


@pytest.mark.parametrize(
    ("trainable", "bad"), [(WORLD, 1), *(pytest.param(*case, marks=pytest.mark.slow) for case in [(OWN, 0), (OWN, 1)])]
)
def test_a_failure_in_one_process_is_the_trials(workplace, trainable, bad):
    """Its own words are kept, and the next Trial of the job is trained."""
    first = workplace.trial("first", steps=5, sleep=0, bad_rank=bad, end="raise")
    second = workplace.trial("second", steps=2, sleep=0)
    job = Job(workplace, [first, second], trainable)
    assert job.statuses() == [0, 0], job.said
    record = job.record(first)
    assert (record.status, record.cause) == ("failed", "error")
    assert "the disk is full" in record.error + record.log_tail
    if trainable == WORLD and bad == 1:
        assert record.error.startswith("RuntimeError: process 1 of this Trial, on ")
        assert record.error.endswith("failed: OSError: the disk is full")
    assert job.record(second).metrics == {"score": 6.0}


@pytest.mark.slow
def test_a_failure_before_the_processes_have_met_is_told_at_once(workplace):
    """Rank 0 waits for the others, and one of them never comes."""
    trial = workplace.trial("t", steps=2, sleep=0, bad_rank=1, end="early")
    job = Job(workplace, [trial])
    assert job.statuses() == [0, 0], job.said
    assert "this node has no such folder" in job.record(trial).log_tail


@pytest.mark.parametrize("trainable", [WORLD, pytest.param(OWN, marks=pytest.mark.slow)])
def test_processes_that_diverge_together_train_the_next_trial(workplace, trainable):
    """The divergence is the Trial's outcome and none of the job's."""
    first = workplace.trial("first", steps=5, sleep=0, bad_rank="all", end="diverge")
    second = workplace.trial("second", steps=2, sleep=0)
    job = Job(workplace, [first, second], trainable)
    assert job.statuses() == [0, 0], job.said
    assert job.record(first).cause == "diverged"
    assert job.record(second).metrics == {"score": 6.0}


@pytest.mark.parametrize(
    ("trainable", "victim", "ranks"),
    [(OWN, 0, 2), (WORLD, 1, 2), *(pytest.param(*case, 3, marks=pytest.mark.slow) for case in [(OWN, 2), (WORLD, 0)])],
)
def test_a_process_that_is_killed_takes_the_others_with_it(workplace, until, trainable, victim, ranks):
    """No failure is journaled, and the job started again trains the Trial."""
    trial = workplace.trial("t", steps=10**6, sleep=0.01)
    job = Job(workplace, [trial], trainable, ranks=ranks)
    for rank in range(ranks):
        job.pid(trial, rank, until)
    os.kill(job.pid(trial, victim, until), signal.SIGKILL)
    assert job.statuses() == [KILLED] * ranks
    assert f"process {victim} of this job" in "".join(job.said)
    record = job.record(trial)
    assert record.status != "failed"
    assert record.error == ""


def test_a_job_started_again_meets_again(workplace, until):
    """The same job id, a higher count of restarts; the Trial's second attempt."""
    trial = workplace.trial("t", steps=4, sleep=0, bad_rank=1, end="kill", once=True)
    first = Job(workplace, [trial])
    assert first.statuses() == [KILLED, KILLED]
    again = Job(workplace, [trial], restart=1)
    assert again.statuses() == [0, 0], again.said
    assert (again.record(trial).metrics, again.record(trial).attempts) == ({"score": 12.0}, 2)


@pytest.mark.slow
def test_a_failure_that_rank_0_cannot_notice_is_told_by_its_next_start(workplace):
    """Rank 0 hangs where it should hear of it: the job ends as killed, and fails the Trial when it is started again."""
    trial = workplace.trial("t", steps=4, sleep=0, bad_rank=1, end="raise")
    stuck = replace(trial, recipe={**trial.recipe, "hangs": 0})
    job = Job(workplace, [stuck], "rank_process:hanging", patience_s=1)
    assert job.statuses()[0] == KILLED, job.said
    assert job.record(stuck).status != "failed"
    again = Job(workplace, [stuck], "rank_process:hanging", restart=1)
    assert again.statuses() == [0, 0], again.said
    assert again.record(stuck).error.endswith("failed: OSError: the disk is full")


@pytest.mark.slow
def test_a_process_that_hangs_ends_the_job_after_the_trial(workplace):
    """Rank 0's own failure is journaled, and the next Trial is left to the job's next start."""
    first = workplace.trial("first", steps=4, sleep=0, bad_rank=0, end="raise", hangs=1)
    second = workplace.trial("second", steps=4, sleep=0)
    job = Job(workplace, [first, second], "rank_process:hanging", patience_s=1)
    assert job.statuses() == [KILLED, 0], job.said
    assert job.record(first).error == "OSError: the disk is full"
    assert job.record(second) is None


@pytest.mark.parametrize("signum", [signal.SIGUSR2, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_to_all_stops_them_together(workplace, until, signum):
    """Slurm signals every task; rank 0 decides, and ends last."""
    trial = workplace.trial("t", steps=10**6, sleep=0.01)
    job = Job(workplace, [trial])
    job.pid(trial, 0, until)
    for process in reversed(job.processes):
        process.send_signal(signum)
    assert job.statuses() == [85, 0], job.said
    assert job.record(trial).status == "interrupted"


@pytest.mark.slow
def test_two_jobs_on_a_node_do_not_meet(workplace):
    """Neither by file nor by port."""
    trials = [workplace.trial(f"t{k}", steps=50, sleep=0.01) for k in range(2)]
    jobs = [Job(workplace, [trial], number=number) for number, trial in zip((7, 8), trials, strict=True)]
    for job, trial in zip(jobs, trials, strict=True):
        assert job.statuses() == [0, 0], job.said
        assert job.record(trial).metrics == {"score": 150.0}


def test_a_job_of_one_process_forgets_what_describes_several(workplace, monkeypatch):
    """It was submitted from within a job of several; nothing is imported that takes seconds."""
    code = """if True:
        import os, sys
        from ablate.execution.cluster.ranks import Ranks
        with Ranks.described(None, None) as ranks:
            assert (ranks.rank, ranks.size) == (0, 1)
            assert ranks.lead(print) is print
            assert not {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT"} & set(os.environ)
            assert "torch" not in sys.modules
    """
    leaked = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "x", "MASTER_PORT": "1"}
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **slurm(0, 1, 7), **leaked}, check=True)


def test_tasks_and_companions_at_once_are_refused(workplace, monkeypatch):
    """One or the other starts a Trial's processes."""
    for name, value in slurm(0, 2, 7).items():
        monkeypatch.setenv(name, value)
    pack = workplace.pack([], run=workplace.root / "run", slot=Slot("job", 1, processes=2))
    with pytest.raises(ValueError, match="2 tasks"), Ranks.described(pack, StopWatch(pack.stop_file, None)):
        pass


@pytest.mark.slow
def test_gpus_of_other_jobs_are_left_alone(workplace):
    """CUDA_VISIBLE_DEVICES is as the cluster has set it."""
    trial = workplace.trial("t", steps=1, sleep=0)
    os.environ["CUDA_VISIBLE_DEVICES"] = "2,3"
    try:
        job = Job(workplace, [trial], "rank_process:gpus")
    finally:
        del os.environ["CUDA_VISIBLE_DEVICES"]
    assert job.statuses() == [0, 0], job.said
    assert (workplace.root / "marks").read_text().split() == ["2,3", "2,3"]
