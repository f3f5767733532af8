"""Several processes compute what one does."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ablate.training.world import World

PROGRAM = Path(__file__).with_name("joined_processes.py")


@pytest.fixture(scope="module")
def program() -> Any:
    """The module `joined_processes.py`."""
    spec = importlib.util.spec_from_file_location("ablate_test_joined_processes", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def alone(program: Any) -> dict[str, Any]:
    """What the scenarios give in one process."""
    with torch.random.fork_rng(devices=[]):
        return program.scenarios(World())


@pytest.fixture(scope="module", params=[2, pytest.param(3, marks=pytest.mark.slow)])
def together(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What they give in each of several; those of two leave and join again, as the processes of the next Trial do."""
    size, folder = request.param, tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        subprocess.Popen(
            [sys.executable, str(PROGRAM), str(folder), "2" if size == 2 else "1"],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]
    said = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * size, "\n".join(said)
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(size)]


def test_gradients_and_numbers_are_added_up(together):
    """A gradient that some processes lack counts as zero, one that all lack stays None; all have the same sums."""
    size = len(together)
    for rank, found in enumerate(together):
        sums = found["sums"]
        for index, length in enumerate((3, 4, 50, 1)):
            want = size * (torch.arange(float(length)) + index) + sum(range(size))
            assert torch.equal(sums["gradients"][index], want)
        assert torch.equal(sums["gradients"][4], torch.full((2,), 7.0))
        assert sums["gradients"][5] is None
        assert sums["total"].tolist() == [size + sum(range(size)), 2.0 * size]
        assert sums["value"].tolist() == [1.0 + rank, 2.0]  # as it was
        assert (sums["nobody"], sums["last"]) == (False, True)


def test_rows_are_gathered_exactly_once_and_in_order(together):
    """Unequal numbers of rows, none at all, bools and fractions: each process has all of them, as one has."""
    for found in together:
        numbers, even, thirds, few = found["gathered"]
        assert torch.equal(numbers, torch.arange(7))
        assert torch.equal(even, torch.arange(7) % 2 == 0)
        assert torch.equal(thirds, torch.arange(7)[:, None] / 3)
        assert torch.equal(few, torch.arange(5.0))


def test_processes_that_disagree_are_told(together):
    """Every process raises, and says what it said itself."""
    for rank, found in enumerate(together):
        assert "the step" in found["disagreement"]
        assert found["disagreement"].endswith(f"this one has {rank}")


def test_batch_norms_see_all_processes_rows(program, together, alone):
    """Outputs, gradients and running statistics are torch's of the whole batch, to 1e-10; names and class stay."""
    for name in program.NORMS:
        want = alone["norms"][name]
        for found in together:
            got = found["norms"][name]
            torch.testing.assert_close(got["rows"], want["rows"], rtol=1e-10, atol=1e-10)
            torch.testing.assert_close(got["gradients"], want["gradients"], rtol=1e-10, atol=1e-10)
            torch.testing.assert_close(got["state"], want["state"], rtol=1e-10, atol=1e-10)
            assert list(got["state"]) == list(want["state"])
            assert got["class"] == want["class"]
            for theirs, ours in zip(got["state"].values(), together[0]["norms"][name]["state"].values(), strict=True):
                assert torch.equal(theirs, ours)


@pytest.mark.parametrize(("scenario", "tolerance"), [("trained", 1e-10), ("trained in float32", 1e-5)])
def test_updates_are_those_of_one_process(together, alone, scenario, tolerance):
    """Five updates with MixUp, dropout, stochastic depth and BatchNorm, eleven images to a batch: the same weights."""
    for found in together:
        torch.testing.assert_close(found[scenario], alone[scenario], rtol=tolerance, atol=tolerance)
        for name, value in found[scenario].items():
            assert torch.equal(value, together[0][scenario][name]), name  # bit for bit the same in each


def test_a_world_of_one_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    """It gives back what it was given and asks torch for no process group."""
    monkeypatch.setitem(sys.modules, "torch.distributed", None)  # whoever imports it now fails
    world, value = World(), torch.ones(2)
    assert world.total(value) is value
    assert world.gather((value,))[0] is value
    assert (world.any(True), world.any(False)) == (True, False)
    world.add_gradients([torch.nn.Parameter(torch.zeros(1))])
    world.agree("anything", "at all")
    world.barrier()
    assert world.shard.rows(5) == slice(0, 5)
