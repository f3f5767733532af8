"""Whole trainings by our optimisers, schedules, losses and averages beside the same ones written with timm's."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import timm
import torch
from timm.loss import BinaryCrossEntropy, SoftTargetCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler.cosine_lr import CosineLRScheduler
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.nn import functional as F

from ablate.recipe import Ema, Loss, Optimizer, Schedule
from ablate.training.ema import Average
from ablate.training.loss import make_loss
from ablate.training.optimiser import make_optimiser
from ablate.training.schedule import rate_of_step

EPOCHS, EPOCH_STEPS, CLASSES, BATCH = 6, 5, 5, 8
DECAY, SMOOTHING, LAYER_DECAY = 0.05, 0.1, 0.75


@dataclass(frozen=True)
class Case:
    """A training, as ours and timm's settings have it."""

    optimizer: str
    peak: float
    loss: str = "softmax"
    every_epoch: bool = False


CASES = {
    "deit": Case("adamw", 1e-3, every_epoch=True),
    "adamw": Case("adamw", 1e-3),
    "resmlp": Case("lamb", 5e-3),
    "sgd": Case("sgd", 1e-1),
    "sigmoid": Case("nadamw", 1e-3, loss="sigmoid"),
}


@pytest.fixture(scope="module")
def start() -> nn.Module:
    """A transformer of timm's in float64."""
    torch.manual_seed(0)
    model = timm.create_model(
        "vit_tiny_patch16_224", img_size=8, patch_size=4, embed_dim=16, depth=2, num_heads=2, in_chans=1,
        num_classes=CLASSES, init_values=0.1,
    )  # fmt: skip
    return model.double()


def batch(step: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(step)
    images = torch.randn(BATCH, 1, 8, 8, generator=generator, dtype=torch.float64)
    return images, torch.randint(CLASSES, (BATCH,), generator=generator)


def ours(case: Case, model: nn.Module) -> dict[str, Tensor]:
    recipe = Optimizer(
        name=case.optimizer, learning_rate=case.peak, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=DECAY,
        decay="matrices", layer_decay=LAYER_DECAY, clip_norm=1.0,
    )  # fmt: skip
    schedule = Schedule(
        epochs=EPOCHS, batch_size=BATCH, warmup_epochs=2.0, decay="cosine", warmup_rate=1e-6, final_rate=1e-5,
        warmup_inside=case.every_epoch, rate_changes="every_epoch" if case.every_epoch else "every_step",
    )  # fmt: skip
    optimiser = make_optimiser(model, recipe, recipe.peak_rate(BATCH))
    rate_of = rate_of_step(schedule, recipe.peak_rate(BATCH), EPOCH_STEPS)
    loss = make_loss(Loss(kind=case.loss, label_smoothing=SMOOTHING))
    average = Average(model, Ema(decay=0.9))

    def update(step: int, images: Tensor, labels: Tensor) -> None:
        targets = F.one_hot(labels, CLASSES).double()
        targets = 0.7 * targets + (1 - 0.7) * targets.flip(0)
        loss(model(images), targets).mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step(rate_of(step))
        average.update(model, step)

    return trained(model, update, average.state_dict)


def timms(case: Case, model: nn.Module) -> dict[str, Tensor]:
    betas: dict[str, Any] = {} if case.optimizer == "sgd" else {"betas": (0.9, 0.999), "eps": 1e-8}
    optimizer = create_optimizer_v2(
        model, case.optimizer, lr=case.peak, weight_decay=DECAY, momentum=0.9, layer_decay=LAYER_DECAY, **betas
    )
    unit = 1 if case.every_epoch else EPOCH_STEPS
    scheduler = CosineLRScheduler(
        optimizer, t_initial=(EPOCHS if case.every_epoch else EPOCHS - 2) * unit, warmup_t=2 * unit,
        warmup_prefix=not case.every_epoch, warmup_lr_init=1e-6, lr_min=1e-5, t_in_epochs=case.every_epoch,
    )  # fmt: skip
    loss = SoftTargetCrossEntropy() if case.loss == "softmax" else BinaryCrossEntropy(SMOOTHING, sum_classes=True)
    average = ModelEmaV3(model, decay=0.9)

    def update(step: int, images: Tensor, labels: Tensor) -> None:
        scheduler.step(step // EPOCH_STEPS)
        scheduler.step_update(step)
        # As timm's Mixup makes them, smoothed before they are mixed; but not in float32.
        one, other = (smoothed(labels), smoothed(labels.flip(0)))
        loss(model(images), 0.7 * one + (1 - 0.7) * other).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        average.update(model)

    return trained(model, update, average.module.state_dict)


def smoothed(labels: Tensor) -> Tensor:
    off = SMOOTHING / CLASSES
    return torch.full((BATCH, CLASSES), off, dtype=torch.float64).scatter_(1, labels[:, None], 1 - SMOOTHING + off)


def trained(
    model: nn.Module, update: Callable[[int, Tensor, Tensor], None], average: Callable[[], dict[str, Tensor]]
) -> dict[str, Tensor]:
    for step in range(EPOCHS * EPOCH_STEPS):
        model.zero_grad()
        update(step, *batch(step))
    return {**model.state_dict(), **{f"average of {name}": value for name, value in average().items()}}


@pytest.mark.parametrize("name", CASES)
def test_a_training_is_timms(name: str, start: nn.Module) -> None:
    """After 30 updates all weights and their averages agree to 1e-9, where they have moved by 1e-3 and more."""
    found, expected = ours(CASES[name], copy.deepcopy(start)), timms(CASES[name], copy.deepcopy(start))
    assert found.keys() == expected.keys()
    for key, value in found.items():
        torch.testing.assert_close(
            value, expected[key], rtol=1e-9, atol=1e-11, msg=lambda text, key=key: f"{key}: {text}"
        )
    moved = max(
        (value - start.state_dict()[key]).abs().max() for key, value in found.items() if key in start.state_dict()
    )
    assert moved > 1e-3
