"""The built-in Trainable: train a vision model from scratch as its Recipe says.

Killed at any moment and called again with the same arguments, it ends on a CPU, with the same number of
threads and processes, with the same weights, rows and metrics, bit for bit, as if it had never been touched.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ablate.data.batches import Batch, TrainBatches, eval_batches
from ablate.data.sources import load
from ablate.models.build import make_model
from ablate.models.checkpointing import recompute_blocks
from ablate.models.vision_transformer import count_parameters
from ablate.recipe import Recipe, decisive
from ablate.trainable import Diverged, Report, Stopped
from ablate.training.artifacts import write_artifacts
from ablate.training.companions import joined_world
from ablate.training.costs import MEASURED, Costs, weight_norm
from ablate.training.device import compiler, default_device, forward_precision, tensor_float_32
from ablate.training.ema import Average
from ablate.training.energy import energy_meter
from ablate.training.evaluation import Evaluation, evaluate
from ablate.training.loss_scale import LossScale
from ablate.training.objective import Objective
from ablate.training.optimiser import make_optimiser
from ablate.training.schedule import rate_of_step
from ablate.training.state import Checkpoint
from ablate.training.synchronised_norm import synchronise
from ablate.training.teacher import make_teacher
from ablate.training.update import Gradient, clip_and_step
from ablate.training.whole_batch import draws
from ablate.training.world import World

#: Reported metrics that measure the machine and not the Recipe: they differ from run to run.
TIMING_METRICS = ("images_per_second", *MEASURED)
#: Before the names of the metrics of the averaged weights.
EMA_PREFIX = "ema_"
EVAL_BATCH_SIZE = 256
#: Seconds between two checkpoints, at least; 0 writes one after every update.
INTERVAL_VARIABLE = "ABLATE_CHECKPOINT_INTERVAL_S"
_INTERVAL_S = 15.0
#: Updates between two looks at the loss. A look makes an accelerator wait; a CPU has nothing to wait for.
_LOOK_EVERY = {"cpu": 1, "cuda": 16}


def train(recipe: Recipe | Mapping[str, Any], seed: int, report: Report, folder: Path) -> dict[str, float]:
    """Train one Trial, or go on with it from its checkpoint in ``folder``.

    Reports after every epoch, counted from 1: ``train_loss``, ``top1``, ``top5`` (percent), ``loss``, ``learning_rate``
    (of the last update), ``gradient_norm`` (mean, before clipping), ``weight_norm``, ``images_per_second`` (not for an
    epoch that was resumed after its last update), what `Costs` measures, ``micro_batch`` once memory ran out, and
    ``skipped_updates`` so far in float16. With an EMA, ``ema_top1``, ``ema_top5`` and ``ema_loss`` are those of the
    averaged weights.
    Leaves ``artifacts/per_example.npz`` and ``artifacts/weights.pt`` in ``folder``, with an EMA those of its weights as
    ``ema_...`` beside them, and returns the final metrics with ``parameters``, ``steps`` and the Trial's costs.

    Several processes may train one Trial (`joined_world`): each calls this, and the first one reports and writes.

    Raises `Stopped` soon after a stop was requested, with a checkpoint written; `Diverged` when a loss is
    NaN or infinite; ValueError for a Recipe that cannot be trained.
    """
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.model_validate(recipe)
    folder.mkdir(parents=True, exist_ok=True)
    with joined_world(recipe, seed, folder) as world:
        device = default_device(world.local_rank)
        # The caller's process may have its own use for torch's generator: it finds it as it was.
        generators = torch.random.fork_rng([device] if device.type == "cuda" else [])
        with generators, tensor_float_32(allowed=recipe.compute.tf32):
            training = _Training(recipe, seed, report, folder, device, world)
            try:
                return training.run()
            finally:
                training.batches.close()


class _Training:
    """One call of `train`."""

    def __init__(
        self, recipe: Recipe, seed: int, report: Report, folder: Path, device: torch.device, world: World
    ) -> None:
        self.recipe, self.report, self.folder, self.device, self.world = recipe, report, folder, device, world
        self.splits = load(recipe.data)
        size, held_out = recipe.schedule.batch_size, len(self.splits.held_out)
        if world.size > min(size, held_out):
            raise ValueError(f"{world.size} processes cannot share batches of {size} and {held_out} held-out images")
        self.batches = TrainBatches(
            self.splits.train, recipe.augment, recipe.data, seed, size, device, shard=world.shard
        )
        self.epoch_steps = self.batches.steps_per_epoch
        peak = recipe.optimizer.peak_rate(size)
        self.rate_of = rate_of_step(recipe.schedule, peak, self.epoch_steps)
        self.model = self.made_model(seed)
        self.parameters = list(self.model.parameters())
        self.optimiser = make_optimiser(self.model, recipe.optimizer, peak)
        self.precision = forward_precision(recipe.precision, device)
        self.scale = LossScale(active=recipe.precision == "float16")
        self.average = None if recipe.ema == "off" else Average(self.model, recipe.ema)
        self.checkpoint = self.made_checkpoint(seed)
        self.progress = self.checkpoint.restore()
        self.costs = Costs(device, self.progress.spent, world.size, energy_meter(device) if world.size == 1 else None)
        at = self.progress
        # Before the first process replaces the checkpoint that the others have read, if they have.
        world.agree("where the checkpoint ends", f"epoch {at.epoch}, step {at.step}, pieces of {at.micro_batch}")
        self.gradient = self.made_gradient(seed)

    def made_model(self, seed: int) -> nn.Module:
        """The model with its first values, on the device, as the Recipe computes it."""
        recipe = self.recipe
        model = make_model(recipe.model, recipe.data, seed).to(self.device)
        if recipe.compute.channels_last:
            model = model.to(memory_format=torch.channels_last)
        if recipe.compute.checkpoint_activations:
            recompute_blocks(model)
        synchronise(model, self.world)
        return model

    def made_gradient(self, seed: int) -> Gradient:
        """Of the Recipe's loss, in pieces where it says so or where memory has run out before."""
        recipe, world = self.recipe, self.world
        teacher = make_teacher(recipe, self.splits.train, self.folder, self.device)
        objective = Objective(self.model, recipe, teacher)
        images = (recipe.data.channels, recipe.data.image_size, recipe.data.image_size)
        if recipe.compute.compile:
            objective.compile(compiler())
        micro = recipe.schedule.micro_batch
        asked = None if micro == "off" else max(1, micro // world.size)
        return Gradient(
            objective,
            self.precision,
            seed,
            recipe.schedule.batch_size,
            micro_batch=self.progress.micro_batch or asked,
            world=world,
            scale=self.scale,
            draws=not recipe.compute.compile or draws(self.model, images),
        )

    def made_checkpoint(self, seed: int) -> Checkpoint:
        """Of all that changes while it trains."""
        interval_s = float(os.environ.get(INTERVAL_VARIABLE, _INTERVAL_S))
        parts: dict[str, Any] = {"model": self.model, "optimiser": self.optimiser}
        if self.average is not None:
            parts["average"] = self.average
        if self.scale.active:
            parts["scale"] = self.scale
        return Checkpoint(self.folder / "checkpoint", parts, _key(self.recipe, seed), interval_s)

    def run(self) -> dict[str, float]:
        """Train what is left of the epochs, and leave the artifacts."""
        epochs = self.recipe.schedule.epochs
        evaluations: dict[str, Evaluation] = {}
        while self.progress.epoch < epochs:
            pace = self.train_epoch()
            evaluations = self.evaluate()
            progress = self.progress
            row = {
                "train_loss": progress.loss_sum / self.epoch_steps,
                **_metrics(evaluations),
                "learning_rate": self.rate_of((progress.epoch + 1) * self.epoch_steps - 1),
                "gradient_norm": progress.norm_sum / max(1, progress.norms),
                "weight_norm": weight_norm(self.parameters).item(),
                **self.costs.row(),
                **self.incidents(),
            }
            if pace is not None:
                row["images_per_second"] = pace
            self.progress = progress.after_epoch(row["train_loss"])
            if self.world.rank == 0:
                self.report(self.progress.epoch, row)
            self.pause(stopping=self.world.any(self.report.stop_requested))
        # A Trial that was interrupted after its last report has nothing left to train.
        evaluations = evaluations or self.evaluate()
        if self.world.rank == 0:
            write_artifacts(self.folder / "artifacts", self.model, self.average, evaluations, self.splits.skipped)
        return {
            **_metrics(evaluations),
            "train_loss": self.progress.train_loss,
            "parameters": float(count_parameters(self.model)),
            "steps": float(epochs * self.epoch_steps),
            **({"skipped_images": float(len(self.splits.skipped))} if self.recipe.data.faulty == "skip" else {}),
            **self.costs.final(),
            **self.incidents(),
        }

    def train_epoch(self) -> float | None:
        """Make the updates that are left of the epoch; the pace in images per second, None where none was left."""
        progress, started, done_before = self.progress, time.monotonic(), self.progress.step
        unread: list[tuple[torch.Tensor, torch.Tensor]] = []
        for batch in self.costs.batches(self.batches.epoch(progress.epoch, start=progress.step)):
            unread.append(self.update(batch, progress.epoch * self.epoch_steps + progress.step))
            progress.step += 1
            stopping = self.world.any(self.report.stop_requested)
            ended = progress.step == self.epoch_steps
            if stopping or self.saving or ended or len(unread) == _LOOK_EVERY[self.device.type]:
                self.read(unread)
                self.pause(stopping=stopping)
        images = (progress.step - done_before) * self.recipe.schedule.batch_size
        return images / (time.monotonic() - started) if images else None

    def update(self, batch: Batch, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """One update, ``step`` of them made before it; the mean loss, and the gradient's norm before clipping."""
        pieces = self.gradient.micro_batch
        loss = self.gradient(batch, step)
        if self.gradient.micro_batch != pieces:  # memory ran out
            self.progress.micro_batch = self.gradient.micro_batch
        norm = clip_and_step(self.parameters, self.optimiser, self.recipe.optimizer, self.rate_of(step), self.scale)
        if self.average is not None:
            self.average.update(self.model, step)
        return loss, norm

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
            made = math.isfinite(norm.item())
            progress.norms += made
            progress.skipped += not made
            progress.norm_sum += norm.item() if made else 0.0
        unread.clear()

    def incidents(self) -> dict[str, float]:
        """Images that go through the model at a time, where memory ran out; updates that float16 left out so far."""
        size, skipped = self.progress.micro_batch, self.progress.skipped
        reduced = {} if size is None else {"micro_batch": float(size * self.world.size)}
        return reduced | ({"skipped_updates": float(skipped)} if self.scale.active else {})

    @property
    def saving(self) -> bool:
        """Whether a checkpoint is due here: the first process alone writes it."""
        return self.world.rank == 0 and self.checkpoint.due

    def pause(self, *, stopping: bool) -> None:
        """Write a checkpoint where one is due or a stop was requested; raise `Stopped` for the latter."""
        if self.saving or (stopping and self.world.rank == 0):
            self.progress.spent = self.costs.spent()
            self.checkpoint.save(self.progress)
        if stopping:
            raise Stopped

    def evaluate(self) -> dict[str, Evaluation]:
        """On the held-out images, by the prefix of their metrics: of the weights, and of their average if there is one.

        Raises `Diverged` where the last update left no finite loss.
        """
        found = {"": self.judged()}
        if self.average is not None:
            with self.average.applied_to(self.model):
                found[EMA_PREFIX] = self.judged()
        loss = found[""].metrics()["loss"]
        if not math.isfinite(loss):
            raise Diverged(f"the loss on held-out images became {loss} after epoch {self.progress.epoch + 1}")
        return found

    def judged(self) -> Evaluation:
        """The present weights on the held-out images, which the processes share out among themselves."""
        data, shard = self.recipe.data, self.world.shard
        batches = eval_batches(self.splits.held_out, data, EVAL_BATCH_SIZE, self.device, shard)
        return evaluate(self.model, batches, self.precision, self.recipe.loss, self.world)


def _metrics(evaluations: Mapping[str, Evaluation]) -> dict[str, float]:
    return {f"{prefix}{n}": value for prefix, e in evaluations.items() for n, value in e.metrics().items()}


def _key(recipe: Recipe, seed: int) -> str:
    """Whose checkpoint it is. Where data and teacher lie does not matter: they may be moved between attempts."""
    decides = decisive(recipe.resolved())
    decides["data"]["source"] = recipe.data.kind
    if recipe.distillation != "off" and recipe.distillation.teacher.checkpoint.startswith("file:"):
        decides["distillation"]["teacher"]["checkpoint"] = "file"
    return hashlib.sha256(json.dumps([decides, seed], sort_keys=True).encode()).hexdigest()
