"""What `sbatch` is given: a script whose every line matters, from a process that may be a job itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.execution.cluster import submit as submitting
from ablate.execution.cluster.queue import SlurmError
from ablate.execution.cluster.submission import submissions
from ablate.execution.cluster.submit import AGAIN, AGAIN_IF_IT_RUNS, check_request, load_pack, pack_file, submit
from ablate.execution.executors.local import THREAD_VARIABLES
from ablate.execution.pack import Pack
from ablate.execution.resources import Resources
from ablate.execution.run_folder import RunFolder
from ablate.execution.slots import Slot
from ablate.study.study import Trial


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path / "home" / "runs" / "study" / "20260101-000000-1")


@pytest.fixture
def send(run, tmp_path, fake_slurm):
    """Submits Packs of such Trials with such a request."""

    def call(*packs, after=(), paths=None, **asked):
        trials = [tuple(Trial(name, name, 0, {"name": name}) for name in names) for names in packs or (("a",),)]
        made = [
            Pack(t, "toy:train", "score", "", tmp_path / "spool", run.path, Slot("slurm", threads=1)) for t in trials
        ]
        paths = [tmp_path / "the code", tmp_path / "more"] if paths is None else paths
        places = {"snapshot": tmp_path / "code", "import_paths": paths}
        return submit(made, Resources(**asked), run=run, job_name="ablate-study", after=after, **places)

    return call


def script_of(fake_slurm):
    (one,) = fake_slurm.submitted.values()
    return one["script"]


def flags(script):
    """The `#SBATCH` lines as a mapping."""
    found = re.findall(r"^#SBATCH --([a-z-]+)(?:=(.*))?$", script, re.MULTILINE)
    assert len(found) == len({name for name, _ in found})
    return dict(found)


def section(script, name):
    """The lines below such a comment."""
    return script.partition(f"\n# {name}\n")[2].partition("\n\n")[0].splitlines()


def test_every_pack_is_a_task_whose_job_finds_it(send, run, fake_slurm):
    """The array has a task to a Pack; what `python -m ...job RUN KEY` loads by its index is that Pack."""
    made = send(("a",), ("b", "c"))
    assert (made.array, made.packs) == ("1000", (("a",), ("b", "c")))
    names = [[t.id for t in load_pack(pack_file(run.path, made.key, i)).trials] for i in (0, 1)]
    assert names == [["a"], ["b", "c"]]
    (command,) = [line for line in script_of(fake_slurm).splitlines() if line.startswith("srun ")]
    assert command.endswith(f"{sys.executable} -P -u -m ablate.execution.cluster.job {run.path} {made.key}")
    assert submissions(run.path.parents[2], "study") == [made]


def test_a_submission_is_known_before_sbatch_is_called(send, run, monkeypatch):
    """A driver that dies within `sbatch` leaves a file, a key in the comment, and all Packs."""

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(submitting._Arrays, "_submit_command", killed)
    with pytest.raises(KeyboardInterrupt):
        send(("a",), ("b",))
    (left,) = submissions(run.path.parents[2], "study")
    assert left.array is None
    assert load_pack(pack_file(run.path, left.key, 1)).trials[0].id == "b"


def test_flags_say_what_was_asked(send, fake_slurm, run):
    """Name and comment by which jobs are found, logs that every start appends to, the request, the wait for others."""
    made = send(
        *[(f"t{i}",) for i in range(5)], after=["7", "8_3"], partition="gpu", gpus=2, time=90, parallel=3, memory_gb=1.5
    )
    found = flags(script_of(fake_slurm))
    assert found["array"] == "0-4%3"
    assert (found["job-name"], found["comment"]) == ("ablate-study", made.key)
    assert found["dependency"] == "afterany:7:8_3"
    assert (found["partition"], found["gpus-per-node"], found["ntasks-per-node"], found["nodes"]) == (
        "gpu",
        "2",
        "2",
        "1",
    )
    assert (found["time"], found["mem"], found["signal"]) == ("90", "1536M", "USR2@120")
    assert found["open-mode"] == "append"
    assert found["requeue"] == ""
    assert found["error"] == f"{run.jobs}/%A_%a_0_log.err"


@pytest.mark.parametrize("users", [[], ["set -euo pipefail"], ["export PYTHONPATH=/lib"], ["export OMP_NUM_THREADS=3"]])
def test_the_snapshot_s_code_comes_first(send, fake_slurm, tmp_path, users):
    """Whatever the user's setup does: PYTHONPATH begins with the snapshot, and a line that fails ends no script."""
    send(setup=users)
    shown = "\n".join([*section(script_of(fake_slurm), "setup"), "false", "printenv PYTHONPATH OMP_NUM_THREADS"])
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": "/mine", "SLURM_CPUS_PER_TASK": "6"}
    told = subprocess.run(["bash", "-c", shown], env=environment, capture_output=True, text=True, check=True).stdout
    after = "/lib" if "export PYTHONPATH=/lib" in users else "/mine"
    threads = "3" if "export OMP_NUM_THREADS=3" in users else "6"
    assert told.splitlines() == [f"{tmp_path / 'the code'}:{tmp_path / 'more'}:{after}", threads]


@pytest.mark.parametrize(
    ("given", "threads", "asked"),
    [
        ({"SLURM_CPUS_PER_TASK": "6", "SLURM_CPUS_ON_NODE": "24"}, "6", "6"),
        ({"SLURM_CPUS_ON_NODE": "24", "SLURM_NTASKS_PER_NODE": "4"}, "6", ""),  # the cluster's own number for a GPU
        ({"SLURM_CPUS_ON_NODE": "2", "SLURM_NTASKS_PER_NODE": "4"}, "1", ""),
        ({}, "1", ""),
    ],
)
def test_a_process_has_its_share_of_the_cores(send, fake_slurm, given, threads, asked):
    """Threads by the number asked for, else an even share; srun is told a number only where there is one."""
    send()
    names = " ".join(THREAD_VARIABLES)
    lines = [*section(script_of(fake_slurm), "setup"), f"printenv {names}", 'echo "${SRUN_CPUS_PER_TASK:-}"']
    environment = {"PATH": os.environ["PATH"], **given}
    command = ["bash", "-c", "\n".join(lines)]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert told.splitlines() == [threads] * len(THREAD_VARIABLES) + [asked]


def test_a_dead_process_ends_all_of_its_trial(send, fake_slurm):
    """`srun` is told so, beside what the user tells it."""
    send(srun=["--cpu-bind=cores", "--export=ALL,A=b c"])
    (command,) = [line for line in script_of(fake_slurm).splitlines() if line.startswith("srun ")]
    assert "--kill-on-bad-exit=1" in command
    assert "'--export=ALL,A=b c'" in command


REQUEUED, LEFT = True, False


@pytest.mark.parametrize(
    ("status", "kills", "state", "again"),
    [
        *[(status, None, "RUNNING", LEFT) for status in (0, 1, 2, 127, 128)],
        *[(status, None, "RUNNING", REQUEUED) for status in (AGAIN, 130, 134, 137, 139, 143)],
        *[(status, 2, "RUNNING", REQUEUED) for status in (AGAIN, 137)],
        *[(status, 3, "RUNNING", LEFT) for status in (0, 137, 139, 143)],
        *[(status, None, "COMPLETING", LEFT) for status in (137, 143)],  # Slurm is ending it: scancel, or preemption
        *[(status, None, "", LEFT) for status in (137, 143)],
        (AGAIN, None, "COMPLETING", REQUEUED),
        *[(AGAIN_IF_IT_RUNS, kills, "RUNNING", REQUEUED) for kills in (None, 1000)],  # its grace time has begun
        *[(AGAIN_IF_IT_RUNS, None, state, LEFT) for state in ("COMPLETING", "PENDING", "")],
        (AGAIN, 3, "RUNNING", REQUEUED),  # a checkpoint was written: every such start gets further
        (AGAIN, 1000, "RUNNING", REQUEUED),
        (137, 1000, "RUNNING", LEFT),
    ],
)
def test_a_job_is_started_again_where_it_was_killed_and_not_where_it_ended(
    send, fake_slurm, status, kills, state, again
):
    """The teardown, run by bash after such an exit status: who is requeued, and that the status stays what it was."""
    send(requeues=3)
    fake_slurm.answers("squeue", f"{state}\n", given="77_4")
    script = "\n".join([f"(exit {status})", *section(script_of(fake_slurm), "teardown")])
    environment = {**os.environ, "SLURM_ARRAY_JOB_ID": "77", "SLURM_ARRAY_TASK_ID": "4"}
    notes = Path(re.search(r"mkdir -p (\S+)", script)[1]) / "77_4"
    if kills:  # a start that the cluster ended is not among them
        notes.parent.mkdir(parents=True)
        notes.write_text("137\n" * kills)
    ended = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == status
    assert ended.stderr == ""
    asked = [call for call in fake_slurm.calls("scontrol") if call[0] == "requeue"]
    assert asked == ([["requeue", "77_4"]] if again else [])
    noted = notes.read_text().split() if notes.exists() else []
    assert noted == ["137"] * (kills or 0) + [str(status)] * (status > 128)


def test_the_teardown_comes_right_after_the_command(send, fake_slurm):
    """Nothing between `srun` and `status=$?` may change the status."""
    send()
    lines = [line for line in script_of(fake_slurm).splitlines() if line and not line.startswith("#")]
    at = next(i for i, line in enumerate(lines) if line.startswith("srun "))
    assert lines[at + 1] == "status=$?"
    assert subprocess.run(["bash", "-n"], input=script_of(fake_slurm), text=True, check=False).returncode == 0


def test_what_is_submitted_from_within_a_job_inherits_nothing_of_it(send, fake_slurm, monkeypatch):
    """Slurm's, PMI's and torch's variables are hidden from `sbatch`, its configuration is not; all return after."""
    inherited = {
        "SLURM_JOB_ID": "5", "SLURM_ARRAY_TASK_ID": "3", "SLURM_CPUS_PER_TASK": "9", "SBATCH_PARTITION": "x",
        "SRUN_CPUS_PER_TASK": "9", "SUBMITIT_EXECUTOR": "local", "PMI_RANK": "1", "RANK": "1", "WORLD_SIZE": "4",
        "LOCAL_RANK": "1", "MASTER_ADDR": "gpu1", "MASTER_PORT": "1234",
    }  # fmt: skip
    for name, value in {**inherited, "SLURM_CONF": "/etc/slurm.conf", "MINE": "yes"}.items():
        monkeypatch.setenv(name, value)
    send()
    ((_, one),) = fake_slurm.submitted.items()
    assert not inherited.keys() & one["environment"].keys()
    assert (one["environment"]["SLURM_CONF"], one["environment"]["MINE"]) == ("/etc/slurm.conf", "yes")
    assert {name: os.environ[name] for name in inherited} == inherited


def test_a_refusal_is_told_in_slurm_s_words_and_leaves_nothing(send, run, fake_slurm):
    """The message of `sbatch` alone, without submitit's; no submission, no Pack and no script stay behind."""
    words = "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified\n"
    fake_slurm.answers("sbatch", given="--test-only")
    fake_slurm.answers("sbatch", err=words, status=1)
    with pytest.raises(SlurmError) as told:
        send(("a",), ("b",))
    assert str(told.value) == "Batch job submission failed: Invalid account or account/partition combination specified"
    assert [path for path in run.path.rglob("*") if path.is_file()] == []
    assert not run.has_submissions


def test_an_answer_that_names_no_job_is_told(send, run, fake_slurm):
    """Where a site's wrapper of `sbatch` says something else the message shows it."""
    fake_slurm.answers("sbatch", given="--test-only")
    fake_slurm.answers("sbatch", out="thank you\n")
    with pytest.raises(SlurmError, match="thank you"):
        send()


def test_a_request_that_no_node_could_ever_serve_is_refused_before(send, run, fake_slurm):
    """`sbatch` would let too many nodes wait for ever; `--test-only` with the same flags tells."""
    words = "sbatch: error: Batch job submission failed: Requested node configuration is not available\n"
    fake_slurm.answers("sbatch", err=words, status=1, given="--test-only")
    with pytest.raises(SlurmError, match=r"^Batch job submission failed: Requested node conf"):
        send(nodes=99)
    assert fake_slurm.submitted == {}
    (asked,) = fake_slurm.calls("sbatch")
    assert "--nodes=99" in asked
    assert not run.path.exists()


@pytest.mark.parametrize(
    "words", ["Requested nodes are busy", "Required node not available (down, drained or reserved)"]
)
def test_a_cluster_that_is_busy_or_down_is_no_reason_to_refuse(fake_slurm, words):
    """What cannot be served now may be served later, so it is submitted."""
    fake_slurm.answers("sbatch", err=f"sbatch: error: {words}\nallocation failure: {words}\n", status=1)
    check_request(Resources())


def test_packs_hold_no_path_of_a_driver_s_machine(send, run, tmp_path):
    """The run's folder is absolute, whatever the driver's working folder was."""
    made = send()
    assert Path(made.run).is_absolute()
    assert load_pack(pack_file(run.path, made.key, 0)).spool == tmp_path / "spool"


def test_a_job_does_not_inherit_how_the_driver_talks_to_mlflow(send, fake_slurm, monkeypatch):
    """What this process has set for itself is taken back for `sbatch`; what the user has set goes with the job."""
    from ablate.tracking import mlflow_client

    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    monkeypatch.setattr(mlflow_client, "_added", set())
    mlflow_client._prepare()
    send()
    (submitted,) = fake_slurm.submitted.values()
    given = submitted["environment"]
    assert given.get("MLFLOW_HTTP_REQUEST_TIMEOUT") == "77"
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in given
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "2"
