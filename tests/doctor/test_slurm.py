"""What the doctor says of a cluster, told by commands that answer as Slurm does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ablate.doctor import request, slurm
from ablate.doctor.asking import NoAnswer, ask, outside_of_jobs
from ablate.doctor.finding import Subject
from ablate.doctor.slurm_facts import nodes
from ablate.settings import load_settings


def subject(*options: str) -> Subject:
    return Subject(settings=load_settings(None, options))


def test_a_machine_without_slurm_is_no_problem(fakes: Any) -> None:
    """Who has no cluster is told so, and nothing more."""
    found = slurm.commands(subject())
    assert (found.verdict, subject().has_slurm) == ("not here", False)


def test_a_command_that_is_missing_is_named(fakes: Any) -> None:
    """Half a Slurm is a problem."""
    fakes.says("sbatch", "slurm 23.11.4\n")
    found = slurm.commands(subject())
    assert found.verdict == "problem"
    assert "srun" in found.says
    assert "scontrol" in found.says


@pytest.mark.parametrize(
    ("output", "errors", "status", "verdict"),
    [
        ("Slurmctld(primary) at head is UP\n", "", 0, "ok"),
        ("Slurmctld(primary) at head is DOWN\nSlurmctld(backup) at b is UP\n", "", 0, "ok"),
        ("Slurmctld(primary) at head is DOWN\n", "", 1, "problem"),
        ("", "slurm_load: Unable to contact slurm controller", 1, "problem"),
    ],
)
def test_the_controller_is_up_where_one_of_them_is(
    fakes: Any, output: str, errors: str, status: int, verdict: str
) -> None:
    """A cluster works on its backup controller; where none answers, its own words are shown."""
    fakes.says("scontrol", output, errors=errors, status=status)
    found = slurm.controller(subject())
    assert found.verdict == verdict
    assert (errors.removeprefix("slurm_load: ") or output.splitlines()[0]) in found.says


def test_a_command_that_never_answers_is_told_as_such(fakes: Any) -> None:
    """No check waits for ever."""
    fakes.link("sleep")
    fakes.command("scontrol", "exec sleep 30")
    with pytest.raises(NoAnswer, match=r"scontrol has not answered for 0\.2 s"):
        ask("scontrol", "ping", patience_s=0.2)


def test_accounting_that_is_missing_or_fails_is_a_warning_that_says_what_is_lost(fakes: Any) -> None:
    """Results do not need accounting; reasons for an end do."""
    fakes.cluster(config={"AccountingStorageType": "accounting_storage/none"})
    assert slurm.accounting(subject()).verdict == "warning"
    fakes.cluster()
    assert slurm.accounting(subject()).verdict == "ok"
    fakes.says("sacct", errors="sacct: error: Connection refused", status=1)
    found = slurm.accounting(subject())
    assert found.verdict == "warning"
    assert "Connection refused" in found.says


@pytest.mark.parametrize(
    ("size", "associations", "verdict", "words"),
    [
        ("1001", "lab|||\n", "ok", "arrays of up to 1,000 jobs"),
        ("0", "lab|||\n", "problem", "switched off"),
        ("1001", "lab||normal|4\nlab|gpu|normal|500\n", "warning", "4 jobs at once"),
        ("75000", "lab|||2000\n", "ok", "2,000 jobs at once"),
    ],
)
def test_limits_on_arrays_and_jobs_are_told(fakes: Any, size: str, associations: str, verdict: str, words: str) -> None:
    """The longest array is one less than MaxArraySize; few jobs at once are worth a warning."""
    fakes.cluster(config={"MaxArraySize": size}, associations=associations)
    found = slurm.limits(subject())
    assert found.verdict == verdict
    assert words in found.says


@pytest.mark.parametrize(
    ("mode", "grace", "signal", "verdict", "words"),
    [
        ("OFF", 0, "(null)", "ok", "not preempted"),
        ("REQUEUE", 30, "preempt_send_user_signal", "ok", "30 s of warning by USR2"),
        ("REQUEUE", 30, "(null)", "ok", "30 s of warning by SIGTERM"),
        ("REQUEUE", 0, "preempt_send_user_signal", "warning", "no warning"),
        ("CANCEL", 0, "(null)", "warning", "does not start it again"),
        ("GANG,SUSPEND", 0, "(null)", "ok", "suspended"),
    ],
)
def test_preemption_is_told_for_the_partition_that_jobs_wait_in(
    fakes: Any, mode: str, grace: int, signal: str, verdict: str, words: str
) -> None:
    """Each way in which a cluster preempts has its own sentence."""
    line = f"PartitionName=p Default=YES GraceTime={grace} MaxTime=UNLIMITED PreemptMode={mode} State=UP"
    fakes.cluster(partitions=(line,), config={"SlurmctldParameters": signal})
    found = slurm.preemption(subject())
    assert found.verdict == verdict
    assert words in found.says


def test_a_partition_that_is_down_matters_where_it_is_the_one_asked_for(fakes: Any) -> None:
    """Another partition that is down is a warning; one's own is a problem."""
    fakes.cluster()
    assert slurm.partitions(subject()).verdict == "warning"
    assert "gpu* (up to 1 d)" in slurm.partitions(subject()).says
    assert slurm.partitions(subject("partition=old")).verdict == "problem"


def test_nodes_that_are_out_are_named_with_the_reason(fakes: Any) -> None:
    """Some nodes out is a warning, all of them a problem; a node that is busy or powered down is not out."""
    line = "NodeName={} CPUTot=8 RealMemory=1000 State={} Partitions=gpu Reason=disk is full [root@2026-01-01T00:00:00]"
    busy, out = line.format("a", "ALLOCATED"), line.format("b", "IDLE+DRAIN")
    asleep, gone = line.format("d", "IDLE+CLOUD+POWERED_DOWN"), line.format("c", "DOWN*")
    fakes.cluster(nodes=(busy, out, asleep))
    found = slurm.nodes(subject())
    assert found.verdict == "warning"
    assert "1 of 3 nodes" in found.says
    assert "b IDLE+DRAIN (disk is full)" in found.says
    fakes.cluster(nodes=(out, gone))
    assert slurm.nodes(subject()).verdict == "problem"
    fakes.cluster(nodes=(busy,))
    assert slurm.nodes(subject()).verdict == "ok"


def test_a_nodes_line_is_read(fakes: Any) -> None:
    """CPUs without those set aside for the system; GPUs by type; nothing for other devices."""
    fakes.cluster()
    first, second, third = nodes()
    assert (first.cpus, first.memory_mb, first.gpus) == (7, 16000, {"a100": 4})
    assert (second.gpus_of(None), second.gpus_of("a100"), third.gpus) == (2, 0, {})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["nodes=3"], "3 nodes are asked for, and partition 'gpu' has 2"),
        (["cpus=9"], "9 CPUs in partition 'gpu': the most that one has is 8"),
        (["gpus=8"], "8 GPUs in partition 'gpu': the most that one has is 4"),
        (["gpus=1", "gpu_type=v100"], "1 v100 GPUs"),
        (
            ["gpus=4", "gpu_type=a100", "nodes=2"],
            "2 nodes with 4 a100 GPUs in partition 'gpu': 1 of its nodes have them",
        ),
        (["memory_gb=40"], "40,960 MB of memory"),
        (["time=25h"], "partition 'gpu' ends jobs at 1 d"),
        (["gpus=4", "cpus=3"], "12 CPUs"),
    ],
)
def test_what_would_wait_for_ever_is_told_before_it_is_submitted(fakes: Any, options: list[str], words: str) -> None:
    """What no node has stays pending without a word from Slurm; the doctor says what is too much."""
    fakes.cluster()
    found = request.possible(subject(*options))
    assert found.verdict == "problem"
    assert "would never start" in found.says
    assert words in found.says


def test_what_the_cluster_has_is_possible(fakes: Any) -> None:
    """A request that fits is told in one line."""
    fakes.cluster()
    found = request.possible(subject("gpus=2", "nodes=2", "time=24h", "memory_gb=15"))
    assert found.verdict == "ok"
    assert found.says.startswith("2 nodes, each 2 GPUs, 2 processes, 15 GB, 1 d")


def test_a_shapes_request_is_looked_at_too(fakes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Variants that cannot start are named by their pattern."""
    fakes.cluster()
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".ablate.toml").write_text('[[executors.slurm.shapes]]\nvariants = "big=*"\ngpus = 16\n')
    assert "for big=*: 16 GPUs" in request.possible(subject()).says


def test_names_that_do_not_exist_are_answered_with_those_that_do(fakes: Any) -> None:
    """Partition, account and qos are looked up; the last two are a warning where the cluster does not insist."""
    fakes.cluster(associations="lab||normal,long|\n")
    assert "did you mean 'gpu'?" in request.names(subject("partition=gpus")).says
    assert request.names(subject("partition=gpus")).verdict == "problem"
    found = request.names(subject("account=lap"))
    assert found.verdict == "warning"
    assert "allowed: lab; did you mean 'lab'?" in found.says
    assert request.names(subject("qos=longer")).verdict == "warning"
    assert request.names(subject("account=lab", "qos=long")).verdict == "ok"
    fakes.cluster(associations="lab||normal|\n", config={"AccountingStorageEnforce": "associations,limits,qos"})
    assert request.names(subject("account=lap")).verdict == "problem"
    assert request.names(subject("qos=long")).verdict == "problem"


def test_slurms_own_words_are_shown(fakes: Any) -> None:
    """A refusal by `sbatch --test-only` is a problem in the words of Slurm, and it is asked with the request."""
    fakes.cluster()
    fakes.command("sbatch", 'echo "sbatch: error: flags $*" >&2; exit 1')
    found = request.dry_run(subject("partition=gpu", "time=2h"))
    assert found.verdict == "problem"
    assert "--test-only" in found.says
    assert "--partition=gpu" in found.says
    assert "--time=120" in found.says


def test_a_job_that_asks_hands_nothing_of_its_own_on() -> None:
    """Inside of a job, its variables would become options of what is submitted."""
    inside = {"SLURM_JOB_ID": "7", "SLURM_CONF": "/c", "SLURM_NTASKS": "4", "HOME": "/h", "SBATCH_ACCOUNT": "lab"}
    assert outside_of_jobs(inside) == {"SLURM_CONF": "/c", "HOME": "/h", "SBATCH_ACCOUNT": "lab"}
