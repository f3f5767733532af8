"""The built-in Trainable: train a vision transformer from scratch as its Recipe says.

Killed at any moment and called again with the same arguments, it ends on a CPU, with the same number of
threads, with the same weights, rows and metrics, bit for bit, as if it had never been touched.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ablate.data.batches import Batch, TrainBatches, eval_batches
from ablate.data.sources import load
from ablate.models.build import make_model
from ablate.models.vision_transformer import count_parameters
from ablate.recipe import Recipe
from ablate.trainable import Diverged, Report, Stopped
from ablate.training.device import default_device, forward_precision
from ablate.training.evaluation import Evaluation, evaluate
from ablate.training.optimiser import AdamW
from ablate.training.schedule import rate_of_step
from ablate.training.state import Checkpoint, Progress, archive, write_durably
from ablate.training.update import clip_and_step, gradient

#: Reported metrics that measure the machine and not the Recipe: they differ from run to run.
TIMING_METRICS = ("images_per_second",)
EVAL_BATCH_SIZE = 256
#: Seconds between two checkpoints, at least; 0 writes one after every update.
INTERVAL_VARIABLE = "ABLATE_CHECKPOINT_INTERVAL_S"
_INTERVAL_S = 15.0
#: Updates between two looks at the loss. A look makes an accelerator wait; a CPU has nothing to wait for.
_LOOK_EVERY = {"cpu": 1, "cuda": 16}


def train(recipe: Recipe | Mapping[str, Any], seed: int, report: Report, folder: Path) -> dict[str, float]:
    """Train one Trial, or go on with it from its checkpoint in ``folder``.

    Reports ``train_loss``, ``top1``, ``top5`` (percent), ``loss``, ``learning_rate`` (of the last update),
    ``gradient_norm`` (mean, before clipping) and ``images_per_second`` after every epoch, counted from 1; no pace
    for an epoch that was resumed after its last update.
    Leaves ``artifacts/per_example.npz`` and ``artifacts/weights.pt`` in ``folder``, and returns the final
    ``top1``, ``top5``, ``loss`` and ``train_loss`` with ``parameters`` and ``steps``.

    Raises `Stopped` soon after a stop was requested, with a checkpoint written; `Diverged` when a loss is
    NaN or infinite; ValueError for a Recipe that cannot be trained.
    """
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.model_validate(recipe)
    device = default_device()
    folder.mkdir(parents=True, exist_ok=True)
    # The caller's process may have its own use for torch's generator: it finds it as it was.
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        return _Training(recipe, seed, report, folder, device).run()


class _Training:
    """One call of `train`."""

    def __init__(self, recipe: Recipe, seed: int, report: Report, folder: Path, device: torch.device) -> None:
        splits = load(recipe.data)
        self.recipe, self.seed, self.report, self.folder, self.device = recipe, seed, report, folder, device
        batch_size = recipe.schedule.batch_size
        self.batches = TrainBatches(splits.train, recipe.augment, recipe.data, seed, batch_size, device)
        self.held_out = splits.held_out
        self.epoch_steps = self.batches.steps_per_epoch
        self.rate_of = rate_of_step(recipe.schedule, recipe.optimizer.learning_rate, self.epoch_steps)
        self.model = make_model(recipe.model, recipe.data, seed).to(device)
        self.parameters = list(self.model.parameters())
        self.optimiser = AdamW(self.model, recipe.optimizer)
        self.precision = forward_precision(recipe.precision, device)
        interval_s = float(os.environ.get(INTERVAL_VARIABLE, _INTERVAL_S))
        key = _key(recipe, seed)
        self.checkpoint = Checkpoint(folder / "checkpoint", self.model, self.optimiser, key, interval_s)
        self.progress = self.checkpoint.restore()

    def run(self) -> dict[str, float]:
        """Train what is left of the epochs, and leave the artifacts."""
        epochs, progress = self.recipe.schedule.epochs, self.progress
        evaluation = None
        while progress.epoch < epochs:
            pace = self.train_epoch()
            evaluation = self.evaluate()
            row = {
                "train_loss": progress.loss_sum / self.epoch_steps,
                **evaluation.metrics(),
                "learning_rate": self.rate_of((progress.epoch + 1) * self.epoch_steps - 1),
                "gradient_norm": progress.norm_sum / self.epoch_steps,
            }
            if pace is not None:
                row["images_per_second"] = pace
            self.progress = progress = Progress(epoch=progress.epoch + 1, train_loss=row["train_loss"])
            self.report(progress.epoch, row)
            self.pause()
        # A Trial that was interrupted after its last report has nothing left to train.
        evaluation = evaluation or self.evaluate()
        self.write_artifacts(evaluation)
        return {
            **evaluation.metrics(),
            "train_loss": progress.train_loss,
            "parameters": float(count_parameters(self.model)),
            "steps": float(epochs * self.epoch_steps),
        }

    def train_epoch(self) -> float | None:
        """Make the updates that are left of the epoch; the pace in images per second, None where none was left."""
        progress, started, done_before = self.progress, time.monotonic(), self.progress.step
        unread: list[tuple[torch.Tensor, torch.Tensor]] = []
        for batch in self.batches.epoch(progress.epoch, start=progress.step):
            unread.append(self.update(batch, progress.epoch * self.epoch_steps + progress.step))
            progress.step += 1
            if self.pausing or progress.step == self.epoch_steps or len(unread) == _LOOK_EVERY[self.device.type]:
                self.read(unread)
                self.pause()
        images = (progress.step - done_before) * self.recipe.schedule.batch_size
        return images / (time.monotonic() - started) if images else None

    def update(self, batch: Batch, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """One update, ``step`` of them made before it; the mean loss, and the gradient's norm before clipping."""
        loss = gradient(self.model, batch, self.precision, self.seed, step)
        return loss, clip_and_step(self.parameters, self.optimiser, self.recipe.optimizer, self.rate_of(step))

    def read(self, unread: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
        """Add up losses and norms in the order of the updates, and look at each loss."""
        progress = self.progress
        for before, (loss, norm) in zip(range(len(unread), 0, -1), unread, strict=True):
            step = progress.step - before + 1
            value = loss.item()
            if not math.isfinite(value):
                rate = self.rate_of(progress.epoch * self.epoch_steps + step - 1)
                raise Diverged(
                    f"the loss became {value} in epoch {progress.epoch + 1} at step {step} of {self.epoch_steps}, "
                    f"at learning rate {rate:.3g}"
                )
            progress.loss_sum += value
            progress.norm_sum += norm.item()
        unread.clear()

    @property
    def pausing(self) -> bool:
        """Whether `pause` would do something."""
        return self.checkpoint.due or self.report.stop_requested

    def pause(self) -> None:
        """Write a checkpoint where one is due or a stop was requested; raise `Stopped` for the latter."""
        stop = self.report.stop_requested
        if stop or self.checkpoint.due:
            self.checkpoint.save(self.progress)
        if stop:
            raise Stopped

    def evaluate(self) -> Evaluation:
        """On the held-out images; raises `Diverged` where the last update left no finite loss."""
        batches = eval_batches(self.held_out, self.recipe.data, EVAL_BATCH_SIZE, self.device)
        evaluation = evaluate(self.model, batches, self.precision)
        loss = evaluation.metrics()["loss"]
        if not math.isfinite(loss):
            raise Diverged(f"the loss on held-out images became {loss} after epoch {self.progress.epoch + 1}")
        return evaluation

    def write_artifacts(self, evaluation: Evaluation) -> None:
        """The final evaluation image by image, and the final weights."""
        artifacts = self.folder / "artifacts"
        artifacts.mkdir(exist_ok=True)
        buffer = io.BytesIO()
        np.savez(
            buffer,
            index=evaluation.index,
            label=evaluation.label,
            prediction=evaluation.prediction,
            correct=evaluation.correct,
            loss=evaluation.loss,
        )
        write_durably(artifacts / "per_example.npz", buffer.getvalue())
        write_durably(artifacts / "weights.pt", archive(self.model.state_dict()))


def _key(recipe: Recipe, seed: int) -> str:
    """Whose checkpoint it is. Where a folder of images lies does not matter: it may be moved between attempts."""
    resolved = recipe.resolved()
    resolved["data"]["source"] = resolved["data"]["source"].partition(":")[0]
    return hashlib.sha256(json.dumps([resolved, seed], sort_keys=True).encode()).hexdigest()
