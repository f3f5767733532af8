"""Resuming, and several processes, with everything switched on at once."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ablate.recipe import Recipe
from ablate.training.companions import PROCESSES_VARIABLE
from ablate.training.vision import TIMING_METRICS, train

_spec = importlib.util.spec_from_file_location("resuming", Path(__file__).with_name("test_resume.py"))
assert _spec is not None
assert _spec.loader is not None
resuming = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(resuming)

TEACHER = "0123456789abcdef"


@pytest.fixture(scope="module")
def everything(make_recipe: Callable[..., Recipe]) -> Recipe:
    """Every augmentation, a batch norm, dropouts, an EMA, a teacher, layer decay, and batches cut in pieces."""
    recipe: Recipe = make_recipe(
        model__depth=2,
        model__feed_forward={"name": "leff", "ratio": 2.0},
        model__readout="cls_distilled",
        model__attention_dropout=0.1,
        model__stochastic_depth=0.2,
        model__init="truncated_normal",
        augment={
            "crop": {"min_area": 0.5, "draw": "area"},
            "flip": True,
            "jitter": {},
            "autoaugment": "3a",
            "randaug": {"layers": 2, "level": 9.0, "operations": "timm", "increasing": True, "noise": 0.5},
            "trivialaugment": "wide",
            "erasing": {},
            "mixup": {"alpha": 0.8},
            "cutmix": {"alpha": 1.0},
            "mixing_probability": 0.9,
            "repeats": 3,
        },
        optimizer__layer_decay=0.75,
        optimizer__decay="matrices",
        optimizer__scaling={"batch_size": 128},
        schedule__epochs=2,
        schedule__micro_batch=20,
        schedule__final_rate=1e-5,
        schedule__rate_changes="every_epoch",
        loss={"label_smoothing": 0.1},
        ema={"decay": 0.9, "warmup": True},
        distillation={"teacher": {"checkpoint": f"trial:{TEACHER}"}, "student": "distillation_head"},
    )
    return recipe


@pytest.fixture(scope="module")
def teacher(make_recipe: Callable[..., Recipe], make_report: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a worker puts into the folder of a Trial that needs this teacher."""
    recipe: Recipe = make_recipe(schedule__epochs=1)
    folder = tmp_path_factory.mktemp("teacher")
    train(recipe, 0, make_report(), folder / "trained")
    (folder / "recipe.json").write_text(json.dumps(recipe.resolved()))
    (folder / "trained" / "artifacts" / "weights.pt").rename(folder / "weights.pt")
    return folder


@pytest.fixture(scope="module")
def make_report() -> Any:
    """A report that keeps nothing."""

    class Deaf:
        stop_requested = False

        def __call__(self, step: int, metrics: Any) -> None: ...

    return Deaf


def attempts(recipe: Recipe, top: Path, teacher: Path, processes: int, *plans: tuple[str, int, float]) -> None:
    """Train in fresh processes, each killed as often as its plan says: (name, kills, seconds between checkpoints)."""
    for name, _, _ in plans:
        needs = top / name / "needs"
        needs.mkdir(parents=True)
        (needs / TEACHER).symlink_to(teacher, target_is_directory=True)
    program = subprocess.run(
        [sys.executable, str(resuming.PROGRAM)],
        input=json.dumps({"recipe": recipe.resolved(), "trials": [[str(top / n), k, s] for n, k, s in plans]}),
        env=os.environ | {"OMP_NUM_THREADS": "1", PROCESSES_VARIABLE: str(processes)},
        stderr=subprocess.PIPE,
        text=True,
        timeout=400,
        check=False,
    )
    assert program.returncode == 0, program.stderr


@pytest.fixture(scope="module", params=[1, pytest.param(2, marks=pytest.mark.slow)])
def trained(
    request: pytest.FixtureRequest, everything: Recipe, teacher: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[int, Path]:
    """The same Trial three times, by one process or by two together: twice in peace, once killed again and again."""
    top = tmp_path_factory.mktemp("everything")
    plans = [("peace", 0, 1000.0), ("again", 0, 1000.0), ("killed", 3, 0.3)]
    attempts(everything, top, teacher, request.param, *plans)
    return request.param, top


@pytest.mark.parametrize("other", ["again", "killed"])
def test_fresh_processes_and_killed_ones_agree_bit_by_bit(trained: tuple[int, Path], other: str) -> None:
    """Rows, metrics, weights and per-example results are those of the first, undisturbed training."""
    _, top = trained
    resuming.outcome_of(top / other).assert_identical(resuming.outcome_of(top / "peace"))


def test_the_averaged_weights_are_judged_and_kept(trained: tuple[int, Path]) -> None:
    """Their metrics stand beside the others and differ from them, and their files lie beside the others."""
    _, top = trained
    outcome = resuming.outcome_of(top / "peace")
    assert outcome.metrics["ema_loss"] != outcome.metrics["loss"]
    assert all({"top1", "ema_top1", "ema_top5", "ema_loss"} <= row.keys() for row in outcome.rows.values())
    files = {path.name for path in (top / "peace" / "artifacts").iterdir()}
    assert files == {"weights.pt", "ema_weights.pt", "per_example.npz", "ema_per_example.npz"}
    average = torch.load(top / "peace" / "artifacts" / "ema_weights.pt", weights_only=True)
    assert average.keys() == outcome.weights.keys()
    killed = torch.load(top / "killed" / "artifacts" / "ema_weights.pt", weights_only=True)
    assert all(torch.equal(average[name], killed[name]) for name in average)


@pytest.mark.slow
def test_two_processes_train_the_trial_that_one_does(
    make_recipe: Callable[..., Recipe], tmp_path: Path, teacher: Path, everything: Recipe
) -> None:
    """At one batch size the losses agree to rounding: 1e-4 over two epochs of AdamW in float32.

    The batch is not cut in pieces here, as a batch norm sees these.
    """
    recipe = everything.model_copy(update={"schedule": everything.schedule.model_copy(update={"micro_batch": "off"})})
    outcomes = {}
    for processes in (1, 2):
        attempts(recipe, tmp_path / str(processes), teacher, processes, ("trial", 0, 1000.0))
        outcomes[processes] = resuming.outcome_of(tmp_path / str(processes) / "trial")
    for step, row in outcomes[1].rows.items():
        for name in ("train_loss", "loss", "ema_loss", "gradient_norm", "weight_norm", "learning_rate"):
            assert outcomes[2].rows[step][name] == pytest.approx(row[name], rel=1e-4), name
    assert outcomes[2].metrics.keys() - {*TIMING_METRICS} == outcomes[1].metrics.keys() - {*TIMING_METRICS}
