"""Trials of the built-in trainer that two processes of a cluster's job train one after the other."""

from __future__ import annotations

import importlib.util
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ablate.execution.pack import Pack
from ablate.execution.slots import Slot
from ablate.execution.worker import train_pack
from ablate.recipe import Recipe
from ablate.study.study import VISION, Trial
from ablate.tracking.record import Record
from ablate.tracking.spool import Spool
from ablate.training.vision import INTERVAL_VARIABLE, TIMING_METRICS

CLUSTER = Path(__file__).parents[1] / "execution" / "cluster"
_spec = importlib.util.spec_from_file_location("ablate_test_ranks", CLUSTER / "test_ranks.py")
assert _spec is not None
assert _spec.loader is not None
jobs: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(jobs)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trials(make_recipe: Callable[..., Recipe]) -> tuple[Trial, ...]:
    """Two seeds of the small Recipe."""
    recipe = make_recipe(schedule__epochs=2).resolved()
    return tuple(Trial(f"seed{seed}", "base", seed, recipe) for seed in (0, 1))


def pack(trials: tuple[Trial, ...], top: Path) -> Pack:
    (top / "run").mkdir(parents=True, exist_ok=True)
    return Pack(trials, VISION, "top1", "", top / "spool", top / "run", Slot("job", 1), attached=False)


def start(pack: Pack, restart: int = 0) -> list[subprocess.Popen[str]]:
    """Two processes, as `srun` starts them; they write a checkpoint after every update."""
    file = pack.run / "pack"
    file.write_bytes(pickle.dumps(pack))
    return [
        subprocess.Popen(
            [sys.executable, str(jobs.PROGRAM), str(file)],
            env={**os.environ, **jobs.slurm(rank, 2, 7, restart), INTERVAL_VARIABLE: "0"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]


def end(processes: list[subprocess.Popen[str]], status: int) -> None:
    said = [process.communicate(timeout=240)[1] for process in processes]
    assert [process.returncode for process in processes] == [status] * 2, "\n".join(said)


@pytest.fixture(scope="module")
def together(trials: tuple[Trial, ...], tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """What an undisturbed job of two processes has trained."""
    packed = pack(trials, tmp_path_factory.mktemp("together"))
    end(start(packed), 0)
    return packed


def record(packed: Pack, trial: Trial) -> Record:
    found = Spool(packed.spool).record(trial.id)
    assert found is not None
    assert found.status == "finished", found.log_tail
    return found


def rows(found: Record) -> dict[int, dict[str, float]]:
    """Without what depends on the machine."""
    return {row.step: {k: v for k, v in row.metrics.items() if k not in TIMING_METRICS} for row in found.history}


def test_two_processes_of_a_job_train_what_one_process_does(
    together: Pack, trials: tuple[Trial, ...], tmp_path: Path
) -> None:
    """Trial after Trial, losses and weights agree to rounding: 1e-4 over two epochs of AdamW in float32."""
    alone = pack(trials, tmp_path)
    threads = torch.get_num_threads()
    train_pack(alone)
    torch.set_num_threads(threads)
    for trial in trials:
        for step, row in rows(record(alone, trial)).items():
            got = rows(record(together, trial))[step]
            for name in ("train_loss", "loss", "gradient_norm", "weight_norm", "learning_rate"):
                assert got[name] == pytest.approx(row[name], rel=1e-4), name


def test_a_job_that_is_killed_and_started_again_ends_as_an_undisturbed_one(
    together: Pack, trials: tuple[Trial, ...], tmp_path: Path
) -> None:
    """Killed in the second Trial, once in rank 1 and once in rank 0: the same rows, weights and results, bit by bit."""
    killed = pack(trials, tmp_path)
    for restart, victim in enumerate((1, 0)):
        processes = start(killed, restart)
        wait_for_checkpoint(killed, trials[1], processes)
        os.kill(processes[victim].pid, signal.SIGKILL)
        end(processes, -signal.SIGKILL)
    end(start(killed, 2), 0)
    assert record(killed, trials[1]).attempts == 3
    for trial in trials:
        assert rows(record(killed, trial)) == rows(record(together, trial))
        for one, other in zip(*(artifacts(p, trial) for p in (killed, together)), strict=True):
            assert one.keys() == other.keys()
            assert all(np.array_equal(one[name], other[name]) for name in one)


def wait_for_checkpoint(packed: Pack, trial: Trial, processes: list[subprocess.Popen[str]]) -> None:
    """Until this start of the job has written one."""
    began = time.time()
    while all(process.poll() is None for process in processes):
        for file in packed.spool.rglob(f"{trial.id}/*/checkpoint"):
            if file.stat().st_mtime > began:
                return
        time.sleep(0.01)
    raise AssertionError("a process ended before there was a checkpoint")


def artifacts(packed: Pack, trial: Trial) -> list[dict[str, Any]]:
    """Weights, and results per example."""
    weights = Spool(packed.spool).artifact(trial.id, "weights.pt")
    examples = Spool(packed.spool).artifact(trial.id, "per_example.npz")
    assert weights is not None
    assert examples is not None
    state = torch.load(weights, weights_only=True)
    flat = state if all(torch.is_tensor(value) for value in state.values()) else state["model"]
    return [{name: tensor.numpy() for name, tensor in flat.items()}, dict(np.load(examples))]
