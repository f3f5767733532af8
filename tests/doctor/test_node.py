"""The tiny job on a node, with a fake `srun` that starts it on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ablate.doctor.finding import Finding, Subject
from ablate.doctor.node import command, examine_node
from ablate.execution.resources import Resources
from ablate.settings import load_settings

RUN = 'while [ "${1#--}" != "$1" ]; do shift; done\n'


@pytest.fixture
def srun(fakes: Any) -> Any:
    for name in ("bash", "mkdir"):
        fakes.link(name)
    fakes.command("srun", f'{RUN}exec "$@"')
    return fakes


def examine(home: Path, *options: str) -> dict[str, Finding]:
    return {found.check: found for found in examine_node(Subject(home, load_settings(None, options)))}


def test_a_node_that_shares_everything_is_well(srun: Any, tmp_path: Path) -> None:
    """File, locks both ways and clocks agree, and nothing is left behind."""
    home = tmp_path / "home"
    home.mkdir()
    found = examine(home, "setup=echo noise of a module")
    assert {check: f.verdict for check, f in found.items()} == dict.fromkeys(
        ("node", "node: folder", "node: locks", "node: clock", "node: file dates"), "ok"
    )
    assert list(home.iterdir()) == []


def test_another_folder_under_the_same_name_is_found_out(srun: Any, tmp_path: Path) -> None:
    """A node whose folder holds other files does not share it, and its locks are its own."""
    swap = 'script="$3"; folder="${script##* }x"; mkdir "$folder"; echo other > "$folder/token"'
    srun.command("srun", f'{RUN}{swap}\nexec bash -c "${{script}}x"')
    found = examine(tmp_path)
    assert found["node: folder"].verdict == "problem"
    assert "another folder" in found["node: folder"].says
    assert "neither here nor there" in found["node: locks"].says


def test_sruns_words_are_shown_where_no_job_starts(srun: Any, tmp_path: Path) -> None:
    """A refusal is the cluster's own sentence."""
    srun.says("srun", errors="srun: error: Unable to allocate resources: Invalid account\n", status=1)
    found = examine(tmp_path)
    assert found["node"].verdict == "problem"
    assert "Unable to allocate resources: Invalid account" in found["node"].says


def test_a_python_without_ablate_is_told(srun: Any, tmp_path: Path) -> None:
    """What cannot be imported on the node is named."""
    srun.command("other-python", "echo 'ModuleNotFoundError: No module named ablate' >&2; exit 1")
    assert "No module named ablate" in examine(tmp_path, f"python={srun.folder / 'other-python'}")["node"].says


def test_the_job_asks_as_real_ones_do_but_for_little(tmp_path: Path) -> None:
    """Queue, container, setup and Python are those of the request; size and time are small."""
    asked = Resources(partition="p", gpus=4, nodes=3, memory_gb=99, time=600, container="i.sqsh", setup=("a", "b"))
    line = command(asked, tmp_path)
    assert {"--partition=p", "--nodes=1", "--ntasks=1", "--time=3", "--container-image=i.sqsh"} <= set(line)
    assert not any(flag.startswith(("--gpus", "--mem", "--gres", "--signal")) for flag in line)
    assert line[-1].startswith("a\nb\nexec python3 -P -m ablate.doctor.on_node ")
