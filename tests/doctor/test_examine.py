"""The examination as a whole, Python and torch, and the table."""

from __future__ import annotations

import io
import json
import threading
from typing import Any

import pytest
from rich.console import Console

import ablate.doctor as doctor
from ablate.doctor import machine, python
from ablate.doctor.finding import Finding, Subject
from ablate.doctor.rendering import as_json, failed, render_findings

SMI = "GPU 0: NVIDIA A100 (UUID: GPU-1)\nGPU 1: NVIDIA A100 (UUID: GPU-2)\n"


def test_a_check_that_hangs_or_fails_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch, fakes: Any) -> None:
    """Each check has an answer, in the order of the table, also where one never ends and one is broken."""
    release = threading.Event()

    def hangs(_: Subject) -> Finding:
        release.wait(60)
        raise AssertionError

    def fails(_: Subject) -> Finding:
        raise ZeroDivisionError("oh")

    def works(_: Subject) -> Finding:
        return Finding("works", "ok", "yes")

    monkeypatch.setattr(doctor, "HERE", (hangs, fails, works))
    found = list(doctor.examine(Subject(), limit_s=0.3))
    release.set()
    assert [f.check for f in found] == ["hangs", "fails", "works", "Slurm"]
    assert [f.verdict for f in found] == ["problem", "problem", "ok", "not here"]
    assert "not answered in time" in found[0].says
    assert "ZeroDivisionError: oh" in found[1].says
    assert failed(found)
    assert not failed(found[2:])


def test_a_cluster_whose_controller_is_silent_is_one_problem(fakes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What everything else depends on is told once, in Slurm's words."""
    fakes.cluster()
    fakes.says("scontrol", errors="slurm_load_ctl_conf error: Unable to contact slurm controller", status=1)
    monkeypatch.setattr(doctor, "HERE", ())
    found = list(doctor.examine(Subject(), deep=True))
    assert [(f.check, f.verdict) for f in found] == [("Slurm", "ok"), ("controller", "problem")]
    assert "Unable to contact slurm controller" in found[-1].says


def test_a_check_of_slurms_that_fails_does_not_hide_the_others(fakes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one command fails, the checks that need it say so."""
    fakes.cluster()
    fakes.command(
        "scontrol", 'case "$1" in ping) echo "Slurmctld(primary) at h is UP";; *) echo "error: no" >&2; exit 1;; esac'
    )
    monkeypatch.setattr(doctor, "HERE", ())
    found = {f.check: f for f in doctor.examine(Subject())}
    assert found["partitions"].says == "cannot be looked at: no"
    assert found["sbatch --test-only"].verdict == "ok"
    assert len(found) == 2 + len(doctor.ON_SLURM)


def test_slurms_commands_without_a_cluster_are_no_problem(fakes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A laptop on which the packages are installed has no cluster; asking for a node says so."""
    fakes.cluster()
    fakes.says("scontrol", errors="scontrol: fatal: Could not establish a configuration source", status=1)
    monkeypatch.setattr(doctor, "HERE", ())
    found = list(doctor.examine(Subject(), deep=True))
    assert [(f.check, f.verdict) for f in found] == [("Slurm", "not here"), ("node", "not here")]
    assert "know no cluster" in found[0].says


@pytest.mark.parametrize(
    ("built", "count", "error", "driver", "verdict", "words"),
    [
        ("13.0", 2, "", "13.0", "ok", "computes on 2 x A100"),
        (None, 0, "", "13.0", "problem", "CPU only"),
        (
            "13.0",
            0,
            "driver too old",
            "12.4",
            "problem",
            "built for CUDA 13.0, and this machine's driver knows CUDA up",
        ),
        ("12.8", 2, "no kernel image is available", "12.4", "problem", "no kernel image"),
        ("12.8", 0, "", "12.8", "problem", "it sees none"),
    ],
)
def test_torch_and_driver_are_held_side_by_side(
    built: str | None, count: int, error: str, driver: str, verdict: str, words: str
) -> None:
    """A mismatch is told in plain words, with both versions."""
    said = {"version": "2.14", "built": built, "count": count, "names": ["A100"] * count, "error": error}
    found = python.judge_gpus(said, ["A100", "A100"], driver)
    assert found.verdict == verdict
    assert words in found.says


@pytest.mark.parametrize(
    ("chosen", "verdict", "words"),
    [
        (None, "ok", "2 x NVIDIA A100"),
        ("1", "ok", "leaves 1 of them"),
        ("", "warning", "leaves 0"),
        ("5", "problem", "CUDA_VISIBLE_DEVICES='5'"),
    ],
)
def test_what_cuda_visible_devices_leaves_is_told(
    fakes: Any, monkeypatch: pytest.MonkeyPatch, chosen: str | None, verdict: str, words: str
) -> None:
    """GPUs that are hidden, or named and not there, explain an empty machine."""
    fakes.says("nvidia-smi", SMI)
    if chosen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    found = machine.gpus(Subject())
    assert found.verdict == verdict
    assert words in found.says


def test_a_driver_that_does_not_work_is_told_apart_from_none(fakes: Any) -> None:
    """No driver is no problem; one that fails is."""
    assert machine.gpus(Subject()).verdict == "not here"
    fakes.says("nvidia-smi", "Failed to initialize NVML: Driver/library version mismatch\n", status=18)
    found = machine.gpus(Subject())
    assert found.verdict == "problem"
    assert "version mismatch" in found.says


def test_what_is_installed_here_satisfies_the_project() -> None:
    """The packages of the environment that runs the tests are the ones that the project asks for."""
    found = python.packages(Subject())
    assert found.verdict == "ok"
    assert "torch 2" in found.says


def test_the_table_and_the_json_say_all_of_it() -> None:
    """Check, verdict, words and advice are in both; square brackets are no markup."""
    found = [
        Finding("a", "ok", "fine [bold]"),
        Finding("b", "problem", "broken", "mend it"),
        Finding("c", "warning", "so"),
    ]
    console = Console(width=60, record=True, file=io.StringIO())
    console.print(render_findings(found))
    text = console.export_text()
    assert "fine [bold]" in text
    assert "→ mend it" in text
    assert "1 of 3 checks ok; 1 problem and 1 warning" in text
    plain = json.loads(json.dumps(as_json(found)))
    assert plain["ok"] is False
    assert plain["checks"][1] == {"check": "b", "verdict": "problem", "says": "broken", "advice": "mend it"}
