"""Interrupted equals uninterrupted: by SIGKILL, by a stop request, and with a damaged checkpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ablate.recipe import Recipe
from ablate.trainable import Stopped
from ablate.training.vision import TIMING_METRICS, train

PROGRAM = Path(__file__).with_name("killed_attempts.py")
SEED = 3


class Outcome:
    """All that a Trial leaves: rows without times, final metrics, weights and per-example results."""

    def __init__(self, folder: Path, rows: dict[int, dict[str, float]], metrics: dict[str, float]) -> None:
        self.rows = rows
        self.metrics = {name: value for name, value in metrics.items() if name not in TIMING_METRICS}
        self.weights = torch.load(folder / "artifacts" / "weights.pt", weights_only=True)
        with np.load(folder / "artifacts" / "per_example.npz") as file:
            self.per_example = {name: file[name] for name in file.files}

    def assert_identical(self, other: Outcome) -> None:
        assert self.rows == other.rows
        assert self.metrics == other.metrics
        assert self.weights.keys() == other.weights.keys()
        for name, value in self.weights.items():
            assert torch.equal(value, other.weights[name]), name
        assert self.per_example.keys() == other.per_example.keys()
        for name, value in self.per_example.items():
            np.testing.assert_array_equal(value, other.per_example[name])


def start_program(recipe: Recipe, *trials: tuple[Path, int, float]) -> subprocess.Popen[bytes]:
    """Start `killed_attempts.py` on (folder, kills, seconds between checkpoints)."""
    for folder, _, _ in trials:
        folder.mkdir()
    plan = {"recipe": recipe.resolved(), "trials": [[str(folder), *rest] for folder, *rest in trials]}
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(plan).encode())
    process.stdin.close()
    process.stdin = None
    return process


def journal_of(folder: Path) -> tuple[dict[int, dict[str, float]], int]:
    """The rows, and how many lines they came in; a row that was reported twice must be the same row."""
    rows: dict[int, dict[str, float]] = {}
    lines = (folder / "journal").read_text().splitlines()
    for line in lines:
        row = json.loads(line)
        timeless = {k: v for k, v in row["metrics"].items() if k not in TIMING_METRICS}
        assert rows.setdefault(row["step"], timeless) == timeless
    return rows, len(lines)


def outcome_of(folder: Path) -> Outcome:
    """What an attempt that finished left in its folder."""
    return Outcome(folder, journal_of(folder)[0], json.loads((folder / "metrics").read_text()))


def in_process(recipe: Recipe, folder: Path, journal: Any) -> Outcome:
    metrics = train(recipe, SEED, journal, folder)
    return Outcome(folder, journal.timeless(), metrics)


@pytest.fixture
def one_thread() -> Any:
    """The number of threads is part of what makes runs bit-identical."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def attempts(make_recipe: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with four Trials of one Recipe and seed, trained by two fresh processes and their children."""
    top = tmp_path_factory.mktemp("attempts")
    programs = [
        start_program(make_recipe(), (top / "peace", 0, 1000.0), (top / "losing_updates", 4, 0.04)),
        start_program(make_recipe(), (top / "peace_again", 0, 1000.0), (top / "every_update", 6, 0.0)),
    ]
    for program in programs:
        _, errors = program.communicate(timeout=240)
        assert program.returncode == 0, errors.decode()
    return top


@pytest.mark.parametrize("killed", ["every_update", "losing_updates"])
def test_a_killed_trial_ends_as_an_undisturbed_one(attempts: Path, killed: str) -> None:
    """Killed at random moments, a Trial with a checkpoint after every update, and one that loses updates with
    each kill, ends with the rows, metrics, weights and per-example results of one that ran in peace.
    """
    outcome_of(attempts / killed).assert_identical(outcome_of(attempts / "peace"))


def test_two_fresh_processes_agree(attempts: Path) -> None:
    """The same Recipe and seed give the same bits in another process, and each epoch is reported once."""
    outcome_of(attempts / "peace_again").assert_identical(outcome_of(attempts / "peace"))
    assert journal_of(attempts / "peace")[1] == len(outcome_of(attempts / "peace").rows) == 3


@pytest.mark.parametrize("stop_after", [0, 13, 40])
@pytest.mark.usefixtures("one_thread")
def test_a_stopped_trial_goes_on_where_it_was(
    recipe: Recipe, make_journal: Callable[..., Any], tmp_path: Path, stop_after: int
) -> None:
    """Stopped between two updates of the first or of a later epoch, a Trial ends as if it had not been."""
    undisturbed = in_process(recipe, tmp_path / "undisturbed", make_journal())
    stopped = make_journal(stop_after)
    with pytest.raises(Stopped):
        train(recipe, SEED, stopped, tmp_path / "stopped")
    assert stopped.asked <= stop_after + 3
    resumed = make_journal()
    resumed.rows = stopped.rows
    in_process(recipe, tmp_path / "stopped", resumed).assert_identical(undisturbed)


@pytest.mark.usefixtures("one_thread")
def test_a_resumed_trial_repeats_no_update(
    make_recipe: Callable[..., Recipe], make_journal: Callable[..., Any], tmp_path: Path
) -> None:
    """After a stop at an update of the second epoch, the first epoch is neither trained nor reported again."""
    recipe = make_recipe()
    stopped, resumed = make_journal(30), make_journal()
    with pytest.raises(Stopped):
        train(recipe, SEED, stopped, tmp_path)
    train(recipe, SEED, resumed, tmp_path)
    assert list(stopped.rows) == [1]
    assert list(resumed.rows) == [2, 3]


@pytest.mark.usefixtures("one_thread")
def test_a_damaged_checkpoint_costs_time_and_nothing_else(
    recipe: Recipe, make_journal: Callable[..., Any], tmp_path: Path
) -> None:
    """With half of its checkpoint gone, a Trial says so, starts afresh and ends the same."""
    undisturbed = in_process(recipe, tmp_path / "undisturbed", make_journal())
    folder = tmp_path / "damaged"
    with pytest.raises(Stopped):
        train(recipe, SEED, make_journal(30), folder)
    checkpoint = folder / "checkpoint"
    checkpoint.write_bytes(checkpoint.read_bytes()[: checkpoint.stat().st_size // 2])
    with pytest.warns(RuntimeWarning, match="is damaged"):
        in_process(recipe, folder, make_journal()).assert_identical(undisturbed)


@pytest.mark.usefixtures("one_thread")
def test_resuming_after_the_last_epoch_only_finishes(
    make_recipe: Callable[..., Recipe], make_journal: Callable[..., Any], tmp_path: Path
) -> None:
    """A Trial that was stopped behind its last report trains and reports nothing more, and returns the same."""
    recipe = make_recipe(schedule__epochs=1)
    undisturbed = make_journal()
    expected = in_process(recipe, tmp_path / "undisturbed", undisturbed)
    stopped, resumed = make_journal(undisturbed.asked - 1), make_journal()
    with pytest.raises(Stopped):
        train(recipe, SEED, stopped, tmp_path / "stopped")
    assert list(stopped.rows) == [1]
    metrics = train(recipe, SEED, resumed, tmp_path / "stopped")
    assert (resumed.rows, resumed.asked) == ({}, 0)
    Outcome(tmp_path / "stopped", stopped.timeless(), metrics).assert_identical(expected)


def test_another_recipe_or_seed_does_not_continue_a_checkpoint(
    recipe: Recipe, make_recipe: Callable[..., Recipe], make_journal: Callable[..., Any], tmp_path: Path
) -> None:
    """A folder that holds another Trial's checkpoint is an error."""
    with pytest.raises(Stopped):
        train(recipe, SEED, make_journal(3), tmp_path)
    with pytest.raises(ValueError, match="another Trial"):
        train(recipe, SEED + 1, make_journal(), tmp_path)
    with pytest.raises(ValueError, match="another Trial"):
        train(make_recipe(optimizer__learning_rate=1e-4), SEED, make_journal(), tmp_path)
