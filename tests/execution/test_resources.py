"""What a job asks of Slurm."""

from __future__ import annotations

import datetime
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import submitit
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ablate.execution.resources import FIELD_OF_FLAG, Resources
from ablate.execution.time_limit import in_words, minutes


def script_of(resources: Resources, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The batch script that submitit itself makes of a request."""
    monkeypatch.setattr(submitit.SlurmExecutor, "affinity", classmethod(lambda cls: 2))
    executor = submitit.SlurmExecutor(folder, python=resources.python_command())
    executor.update_parameters(**resources.submitit_parameters())
    return executor._make_submission_file_text("COMMAND", "uid")


def flags_in(script: str) -> dict[str, str]:
    lines = re.findall(r"^#SBATCH --([\w-]+)=?(.*)$", script, re.MULTILINE)
    return {name: value.strip("'") for name, value in lines}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("4h", 240),
        ("90m", 90),
        ("90min", 90),
        ("1d12h", 36 * 60),
        ("1.5h", 90),
        ("1-12:00:00", 36 * 60),
        ("1-12", 36 * 60),
        ("1-12:30", 36 * 60 + 30),
        ("04:00:00", 240),
        ("90", 90),
        ("90:30", 91),
        ("30s", 1),
        (90, 90),
    ],
)
def test_a_time_limit_is_read_in_peoples_and_in_slurms_forms(written: object, expected: int) -> None:
    """Every form that the settings document gives the minutes that it says."""
    assert Resources.model_validate({"time": written}).time_min == expected


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 300), st.integers(0, 23), st.integers(0, 59), st.integers(1, 59))
def test_days_hours_minutes_and_seconds_add_up(days: int, hours: int, left: int, seconds: int) -> None:
    """Slurm's longest form is the duration that the standard library makes of its parts, rounded up to minutes."""
    span = datetime.timedelta(days=days, hours=hours, minutes=left, seconds=seconds)
    assert minutes(f"{days}-{hours:02}:{left:02}:{seconds:02}") == math.ceil(span.total_seconds() / 60)
    assert (
        minutes(in_words(minutes(f"{days}-{hours:02}:{left:02}"))) == days * 1440 + hours * 60 + left
        if (days + hours + left)
        else True
    )


@pytest.mark.parametrize("written", ["", "soon", "4 weeks", "-5", "1e9", 0, -3, True, None, "9999999999999h", "400d"])
def test_what_is_no_time_is_refused_with_the_forms_that_are(written: object) -> None:
    """Nonsense, nothing and more than a year are answered with what can be written."""
    with pytest.raises(ValidationError, match=r"write '4h', '90m'"):
        Resources.model_validate({"time": written})


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"nodes": 0, "gpus": 2}, "nodes"),
        ({"gpus": 10**12}, "gpus"),
        ({"gpus": 2, "processes": 3}, "3 processes cannot share 2 GPUs"),
        ({"gpus": 4, "processes": 3}, "4 GPUs cannot be shared evenly by 3 processes"),
        ({"gpu_type": "a100"}, "say how many"),
        ({"time": "4m", "checkpoint_s": 121}, "more than half of the time limit of 4 min"),
        ({"container_mounts": ["/data:/data"]}, "name its image"),
        ({"sbatch": {"time": "1h"}}, "'time' is set by the field 'time'"),
        ({"sbatch": {"--mail-type": "END"}}, "did you mean 'mail-type'"),
        ({"sbatch": {"array": "0-3"}}, "ablate's own"),
        ({"partition": ""}, "not empty"),
        ({"partition": "a\nb"}, "one line"),
        ({"cpus": 1.5}, "cpus"),
        ({"memory_gb": 0}, "memory_gb"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_in_plain_words(asked: dict[str, Any], message: str) -> None:
    """What contradicts itself, or is another's to set, says so before Slurm is asked."""
    with pytest.raises(ValidationError, match=re.escape(message)):
        Resources.model_validate(asked)


def test_the_warning_before_a_short_limit_is_a_quarter_of_it() -> None:
    """A job of a few minutes is not spent on waiting for its own end."""
    warnings = {time: Resources(time=time).warning_s for time in (1, 4, 8, 60)}
    assert warnings == {1: 15, 4: 60, 8: 120, 60: 120}
    assert Resources(time=60, checkpoint_s=600).warning_s == 600


def test_processes_are_one_for_each_gpu() -> None:
    """The number of processes follows the GPUs, and counts over all nodes."""
    assert Resources().processes_in_all == 1
    assert Resources(nodes=2, gpus=4).processes_in_all == 8
    assert Resources(nodes=3, processes=2).processes_in_all == 6
    assert Resources(gpus=4, processes=1).processes_in_all == 1


def test_submitits_script_has_every_field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch script that submitit makes says to Slurm what the request says, and nothing of submitit's own."""
    resources = Resources(
        partition="a100",
        account="lab",
        qos="long",
        constraint="ib",
        reservation="week",
        exclude="n[1-2]",
        nodes=2,
        gpus=4,
        gpu_type="a100",
        cpus=6,
        memory_gb=1.5,
        time=240,
        setup=("module load cuda", "ulimit -n 4096"),
        sbatch={"mail-type": "END", "exclusive": True},
        srun=("--cpu-bind=cores",),
    )
    script = script_of(resources, tmp_path, monkeypatch)
    flags = flags_in(script)
    expected = {
        "partition": "a100",
        "account": "lab",
        "qos": "long",
        "constraint": "ib",
        "reservation": "week",
        "exclude": "n[1-2]",
        "nodes": "2",
        "ntasks-per-node": "4",
        "gres": "gpu:a100:4",
        "cpus-per-task": "6",
        "mem": "1536M",
        "time": "240",
        "signal": "USR2@120",
        "mail-type": "END",
        "exclusive": "",
        "requeue": "",
    }
    own = {"job-name", "output", "error", "open-mode"}
    assert {name: value for name, value in flags.items() if name not in own} == expected
    assert "wckey" not in script
    assert script.index("module load cuda\nulimit -n 4096") < script.index("srun --unbuffered")
    assert "--cpu-bind=cores" in script


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"gpus": 2, "partition": "p", "time": "4h", "nodes": 3},
        {"gpus": 2, "gpu_type": "h100", "reservation": "r", "sbatch": {"nice": 10, "exclusive": True}},
    ],
)
def test_flags_for_the_command_line_are_those_of_the_script(
    asked: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is tried out with `sbatch --test-only` is what submitit would submit."""
    resources = Resources.model_validate(asked)
    script = flags_in(script_of(resources, tmp_path, monkeypatch))
    given_ = dict((*flag.removeprefix("--").partition("=")[::2],) for flag in resources.sbatch_flags())
    assert given_ == {n: v for n, v in script.items() if n not in {"job-name", "output", "error", "open-mode"}}


def test_an_array_runs_as_many_jobs_as_slurm_starts_unless_told() -> None:
    """submitit's silent cap of 256 jobs at once does not hold."""
    assert Resources().submitit_parameters()["array_parallelism"] > 100_000
    assert Resources(parallel=3).submitit_parameters()["array_parallelism"] == 3


def test_a_container_is_sruns_affair_or_stands_before_python() -> None:
    """pyxis takes its image as arguments of srun; apptainer is a command that starts Python; both keep ``-P``."""
    pyxis = Resources(container="nvcr.io#nvidia/pytorch:25.01", container_mounts=("/a:/a", "/b:/b"))
    assert pyxis.python_command() == "python3 -P"
    assert pyxis.submitit_parameters()["srun_args"] == [
        "--container-image=nvcr.io#nvidia/pytorch:25.01",
        "--container-mounts=/a:/a,/b:/b",
    ]
    there = Resources(container="/my images/t.sif", container_runtime="apptainer", gpus=1, container_mounts=("/a:/a",))
    assert there.python_command() == "apptainer exec --nv --bind /a:/a '/my images/t.sif' python3 -P"
    assert there.submitit_parameters()["srun_args"] == []
    assert Resources(python="/opt/py/bin/python").python_command() == "/opt/py/bin/python -P"


def test_equal_requests_are_one_group() -> None:
    """Requests of the same values are equal and hash alike, however they were written, and survive being JSON."""
    first, second = (Resources.model_validate({"time": t, "sbatch": {"nice": 1}}) for t in ("1h", 60))
    assert len({first, second, Resources(time=61)}) == 2
    assert Resources.model_validate(json.loads(first.model_dump_json(exclude_defaults=True))) == first


def test_every_field_named_for_a_flag_exists() -> None:
    """The hint for a flag that a field stands for names a field that there is."""
    assert set(FIELD_OF_FLAG.values()) <= set(Resources.model_fields)
