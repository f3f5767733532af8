"""One update of the weights: the gradient of a batch's loss, clipped, and a step of the optimiser."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from ablate.data.batches import Batch
from ablate.draws import derive
from ablate.recipe import Optimizer
from ablate.training.device import seed_generator
from ablate.training.loss import cross_entropy
from ablate.training.optimiser import AdamW


def gradient(model: nn.Module, batch: Batch, precision: AbstractContextManager[object], seed: int, step: int) -> Tensor:
    """Leave the gradient of the batch's mean loss with the parameters, and give the loss.

    ``step`` updates were made before: what the model itself draws, dropout above all, is keyed by it.
    """
    for parameter in model.parameters():
        parameter.grad = None
    seed_generator(batch.images.device, derive(seed, "dropout", step))
    loss = mean_loss(model, batch, precision)
    loss.backward()
    return loss.detach()


def mean_loss(model: nn.Module, batch: Batch, precision: AbstractContextManager[object]) -> Tensor:
    """The mean over the batch of softmax cross-entropy, in nats."""
    with precision:
        logits_BK = model(batch.images)
    return cross_entropy(logits_BK, batch.targets).mean()


def clip_and_step(parameters: Sequence[nn.Parameter], optimiser: AdamW, settings: Optimizer, rate: float) -> Tensor:
    """Bound the gradient's global norm, where the Recipe does, and step; the norm before it was bounded."""
    norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    if settings.clip_norm != "off":
        torch.nn.utils.clip_grads_with_norm_(parameters, settings.clip_norm, norm)
    optimiser.step(rate)
    return norm
