"""`ablate doctor` on a real Slurm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import ablate.doctor as doctor
from ablate.doctor.finding import Finding, Subject
from ablate.settings import load_settings

pytestmark = pytest.mark.slurm


def examine(home: Path, *options: str, deep: bool = False) -> dict[str, Finding]:
    return {found.check: found for found in doctor.examine(Subject(home, load_settings(None, options)), deep=deep)}


@pytest.fixture
def on_cluster(slurm: Any, monkeypatch: pytest.MonkeyPatch, workplace: Path) -> Path:
    """The environment of a login node, and an empty working folder."""
    for name, value in slurm.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(workplace / "no-config"))
    monkeypatch.setattr(doctor, "HERE", ())
    return workplace


def test_a_healthy_cluster_is_found_healthy_down_to_its_nodes(on_cluster: Path) -> None:
    """Every check of Slurm is ok, and a tiny job proves folder, locks, Python and clocks of a node."""
    found = examine(on_cluster, "gpus=1", "cpus=2", deep=True)
    assert {check: f.says for check, f in found.items() if f.verdict != "ok"} == {}
    assert {"controller", "sbatch --test-only", "node: locks", "node: file dates"} <= set(found)


@pytest.mark.parametrize("option", ["nodes=64", "cpus=999", "gpus=999", "memory_gb=99999"])
def test_slurm_and_the_doctor_agree_on_what_is_impossible(on_cluster: Path, option: str) -> None:
    """What `sbatch --test-only` refuses is what the doctor says would never start, and it says why."""
    found = examine(on_cluster, option)
    assert found["sbatch --test-only"].verdict == "problem"
    assert "Requested node configuration is not available" in found["sbatch --test-only"].says
    assert found["request"].verdict == "problem"
    assert found["request"].says.startswith("would never start")


def test_a_partition_that_does_not_exist_is_answered_with_those_that_do(on_cluster: Path) -> None:
    """Slurm's own words, and beside them the name that was meant."""
    found = examine(on_cluster, "partition=premept")
    assert "invalid partition specified: premept" in found["sbatch --test-only"].says
    assert "did you mean 'preempt'?" in found["names"].says


@pytest.mark.parametrize(("partition", "words"), [("gpu", "not preempted"), ("preemptc", "does not start it again")])
def test_preemption_is_read_from_the_real_configuration(on_cluster: Path, partition: str, words: str) -> None:
    """The partition's own mode is what is told."""
    assert words in examine(on_cluster, f"partition={partition}")["preemption"].says
