"""The process that trains a Trial and those it starts live and end together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from ablate.training.companions import PROCESSES_VARIABLE, companions, joined_world
from ablate.training.world import World

TARGET = "companion_trainables:train"
FOLDER = Path(__file__).parent


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(FOLDER))


def run(recipe: dict[str, Any], folder: Path, count: int = 2, target: str = TARGET) -> torch.Tensor:
    """Be the first of ``count`` processes."""
    from companion_trainables import play

    with companions(count, recipe, 5, folder, target) as store, World.met(0, count, store) as world:
        return play(world, recipe, 5, folder)


def told(folder: Path, rank: int) -> dict[str, int]:
    return json.loads((folder / f"{rank}.json").read_text())


def is_gone(pid: int) -> bool:
    """Whether there is no such process, or it is dead and waits for whoever started it."""
    try:
        return "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True


def test_companions_are_told_what_to_train_and_share_the_threads(tmp_path):
    """Three processes of one Trial, six threads: two for each, and six again for what comes after."""
    before = torch.get_num_threads()
    torch.set_num_threads(6)
    try:
        assert run({"steps": 4}, tmp_path, count=3) == 4 * (1 + 2 + 3)
        assert torch.get_num_threads() == 6
    finally:
        torch.set_num_threads(before)
    for rank in range(3):
        found = told(tmp_path, rank)
        assert (found["rank"], found["size"], found["seed"], found["threads"]) == (rank, 3, 5, 2)
        assert rank == 0 or is_gone(found["pid"])


@pytest.mark.parametrize(
    ("end", "said"),
    [("raise", r"process 1 of this Trial ended, status 1: OSError: the disk is full"), ("kill", "SIGKILL")],
)
def test_a_companion_that_dies_is_told_with_its_last_words(tmp_path, end, said):
    """The first process fails at once, and not when it has waited long enough."""
    with pytest.raises(RuntimeError, match=said):
        run({"steps": 10**6, "bad_rank": 1, "end": end}, tmp_path)


def test_the_cause_is_told_and_not_who_lost_touch(tmp_path):
    """Of three processes the last one fails; the second one fails because of it, and is not blamed."""
    with pytest.raises(RuntimeError, match="process 2 of this Trial"):
        run({"steps": 10**6, "bad_rank": 2, "end": "raise"}, tmp_path, count=3)


def test_a_companion_that_cannot_begin_is_told(tmp_path):
    """It cannot import what it should train."""
    with pytest.raises(RuntimeError, match="No module named 'nowhere'"):
        run({"steps": 1}, tmp_path, target="nowhere:train")


def test_an_error_of_the_first_process_ends_the_others(tmp_path):
    """The error is its own, and the companion is gone."""
    with pytest.raises(OSError, match="the disk is full"):
        run({"steps": 10**6, "bad_rank": 0, "end": "raise"}, tmp_path)
    assert is_gone(told(tmp_path, 1)["pid"])


def test_companions_end_with_a_first_process_that_is_killed(tmp_path):
    """However it ends."""
    with subprocess.Popen(
        [sys.executable, str(FOLDER / "companion_trainables.py"), str(tmp_path)], stderr=subprocess.DEVNULL
    ) as first:
        while not (tmp_path / "1.json").exists() or not (tmp_path / "1.json").read_text():
            assert first.poll() is None
            time.sleep(0.02)
        os.kill(first.pid, signal.SIGKILL)
    companion = told(tmp_path, 1)["pid"]
    while not is_gone(companion):  # the test's time limit ends this
        time.sleep(0.02)


def test_alone_unless_told_otherwise(recipe, tmp_path, monkeypatch):
    """One process starts none and joins none; nor does a world of one that a cluster describes."""
    monkeypatch.setitem(sys.modules, "torch.distributed", None)
    for variables in ({}, {PROCESSES_VARIABLE: "1"}, {"RANK": "0", "WORLD_SIZE": "1"}):
        with monkeypatch.context() as context:
            for name, value in variables.items():
                context.setenv(name, value)
            with joined_world(recipe, 0, tmp_path) as world:
                assert world == World()
