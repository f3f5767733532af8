"""The private Slurm itself: what the other tests of this folder stand on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cluster import PrivateSlurm
from cluster_machine import Machine
from cluster_surroundings import free_ports, wait

LOOP = "for i in $(seq 300); do sleep 0.1; done"


def submit(slurm: PrivateSlurm, output: Path, script: str, *options: str) -> str:
    """Submits a script whose output of all its runs goes to one file; returns the job's id."""
    fixed = ["--parsable", "--open-mode=append", f"--output={output}", f"--wrap={script}"]
    return slurm.run("sbatch", *options, *fixed)


def state(slurm: PrivateSlurm, job: str) -> str:
    """What squeue says, also of a job that has ended a short while ago."""
    return slurm.run("squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={job}")


def recorded(slurm: PrivateSlurm, job: str) -> list[str]:
    """What sacct says of each of a job's runs."""
    fields = ["--noheader", "--parsable2", "--allocations", "--duplicates", "--format=State"]
    return slurm.run("sacct", *fields, f"--jobs={job}").splitlines()


def words_of(output: Path) -> list[str]:
    """The words that a job wrote so far."""
    return output.read_text().split() if output.exists() else []


def test_each_node_is_a_machine_of_its_own(slurm, tmp_path):
    """A job sees its node's name and the GPUs it was given, and accounting knows how it ended."""
    script = "hostname; echo $CUDA_VISIBLE_DEVICES; readlink /proc/self/ns/pid"
    jobs = {node: submit(slurm, tmp_path / node, script, f"--nodelist={node}", "--gres=gpu:2") for node in slurm.nodes}
    for job in jobs.values():
        wait(lambda job=job: recorded(slurm, job) == ["COMPLETED"], 40, f"job {job}")
    said = [words_of(tmp_path / node) for node in slurm.nodes]
    assert [words[:2] for words in said] == [["gpu1", "0,1"], ["gpu2", "0,1"]]
    assert len({words[2] for words in said} | {str(Path("/proc/self/ns/pid").readlink())}) == 3


def test_steps_span_nodes(slurm, tmp_path):
    """srun in a job of two nodes starts a task on each."""
    job = submit(slurm, tmp_path / "out", "srun hostname", "--nodes=2", "--ntasks-per-node=1")
    wait(lambda: state(slurm, job) == "COMPLETED", 40, f"job {job}")
    assert sorted(words_of(tmp_path / "out")) == ["gpu1", "gpu2"]


def test_a_power_cut_requeues(slurm, tmp_path):
    """Slurm finds out by itself that a node is gone, and runs its job again elsewhere."""
    job = submit(slurm, tmp_path / "out", f"hostname; {LOOP}")
    wait(lambda: words_of(tmp_path / "out") == ["gpu1"], 40, "the job's start")
    slurm.crash("gpu1")
    assert slurm.processes("gpu1") == []
    wait(lambda: state(slurm, job) == "PENDING", 60, "Slurm to notice")
    slurm.begin_now(job)
    wait(lambda: words_of(tmp_path / "out") == ["gpu1", "gpu2"], 40, "the second run")
    assert "NODE_FAIL" in recorded(slurm, job)


def test_orphans_go_on(slurm, tmp_path):
    """With slurmd killed and the node declared lost, the first copy of a job goes on beside the second."""
    job = submit(slurm, tmp_path / "out", f"hostname; {LOOP}")
    wait(lambda: words_of(tmp_path / "out") == ["gpu1"], 40, "the job's start")
    slurm.kill_slurmd("gpu1")
    slurm.declare_down("gpu1")
    slurm.begin_now(job)
    wait(lambda: words_of(tmp_path / "out") == ["gpu1", "gpu2"], 40, "the second run")
    assert slurm.job_processes("gpu1")
    assert slurm.job_processes("gpu2")
    slurm.start("gpu1")
    wait(lambda: not slurm.job_processes("gpu1"), 40, "slurmd to end the orphan")


@pytest.mark.parametrize("user_signal", [True, False])
def test_preemption_sends_the_signal_that_is_configured(slurm, tmp_path, user_signal):
    """A step learns of its preemption by the job's own signal, or by Slurm's default, according to the setting."""
    slurm.reconfigure(user_signal=user_signal)
    script = f'trap "echo own; exit" USR2; trap "echo default; exit" TERM; echo up; {LOOP}'
    low = submit(
        slurm, tmp_path / "low", f"srun sh -c '{script}'", "--partition=preempt", "--exclusive", "--signal=USR2@60"
    )
    wait(lambda: words_of(tmp_path / "low") == ["up"], 40, "the lower job's start")
    node = slurm.run("squeue", "--noheader", "--format=%N", f"--jobs={low}")
    high = submit(slurm, tmp_path / "high", "true", f"--nodelist={node}", "--exclusive")
    wait(lambda: state(slurm, high) == "COMPLETED", 40, "the higher job")
    heard = [word for word in words_of(tmp_path / "low") if word in ("own", "default")]
    assert heard == ["own" if user_signal else "default"]


def test_cancelling_brings_everything_back(slurm, tmp_path):
    """Jobs that ignore their end, processes that left their job, and a drained node are all cleared away."""
    stubborn = f'trap "" TERM; setsid sleep 300 & echo up; {LOOP}'
    submit(slurm, tmp_path / "out", stubborn, "--nodelist=gpu1")
    submit(slurm, tmp_path / "array", LOOP, "--array=0-20", "--exclusive")
    slurm.run("scontrol", "update", "NodeName=gpu2", "State=DRAIN", "Reason=test")
    wait(lambda: words_of(tmp_path / "out") == ["up"], 40, "the job's start")
    slurm.cancel_all()
    assert set(slurm.node_states().values()) == {"IDLE"}
    assert slurm.run("squeue", "--noheader") == ""
    assert not slurm.job_processes("gpu1")


def test_a_small_disk_is_the_same_on_each_node(slurm, tmp_path):
    """What one node writes there another reads, and it is full when it is full."""
    with slurm.small_disk(2) as disk:
        script = f"echo $(hostname) >> {disk}/names; dd if=/dev/zero of={disk}/$(hostname) bs=1M count=4"
        for node in slurm.nodes:
            job = submit(slurm, tmp_path / node, script, f"--nodelist={node}")
            wait(lambda job=job: state(slurm, job) == "FAILED", 40, f"job {job}")
        assert (disk / "names").read_text().split() == ["gpu1", "gpu2"]
        assert "No space left" in (tmp_path / "gpu2").read_text()


@pytest.mark.usefixtures("running_slurm")
def test_nothing_outlives_a_machine(tmp_path):
    """Whatever daemon was started on a machine has gone when its power has."""
    machine = Machine("short-lived", {}, os.environ)
    machine.start(["sh", "-c", "sleep 300 & setsid sleep 300 & exit"], tmp_path / "log")
    pids = [process.pid for process in machine.processes()]
    machine.power_off()
    assert len(pids) == 2
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_down_leaves_no_process(running_slurm, tmp_path, monkeypatch):
    """All processes of a cluster that came up only half have gone after it; another one is not disturbed."""
    other = PrivateSlurm(tmp_path / "other")
    start, pids = other.start, []

    def start_one(node):
        if node == "gpu1":
            return start(node)
        pids.extend(process.pid for machine in other.machines.values() for process in machine.processes())
        raise RuntimeError(f"{node} does not start")

    monkeypatch.setattr(other, "start", start_one)
    with pytest.raises(RuntimeError, match="gpu2 does not start"), other:
        pass
    assert len(pids) >= 5  # munged, mariadbd, slurmdbd, slurmctld, slurmd
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert set(running_slurm.node_states().values()) == {"IDLE"}


def test_ports_are_free():
    """Ports that are handed out together differ."""
    assert len(set(free_ports(50))) == 50
