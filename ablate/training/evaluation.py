"""How good a model is on the held-out images, and on which of them."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ablate.data.batches import Batch
from ablate.recipe import Loss
from ablate.training.loss import make_evaluation_loss
from ablate.training.world import World


@dataclass(frozen=True)
class Evaluation:
    """One row for each held-out image, in the order of the held-out set."""

    index: NDArray[np.int64]
    """Of the image in its source."""
    label: NDArray[np.int64]
    prediction: NDArray[np.int64]
    """The class with the largest logit; among equals the first."""
    in_top5: NDArray[np.bool_]
    """Whether the label is among the five largest logits, or among all where there are fewer classes."""
    loss: NDArray[np.float32]
    """The Recipe's kind of loss, nats."""

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether the prediction is the label."""
        return self.prediction == self.label

    def metrics(self) -> dict[str, float]:
        """``top1`` and ``top5`` in percent, ``loss`` in nats; each a mean over the images."""
        return {
            "top1": 100.0 * float(self.correct.mean()),
            "top5": 100.0 * float(self.in_top5.mean()),
            "loss": float(self.loss.mean(dtype=np.float64)),
        }


def evaluate(
    model: nn.Module,
    batches: Iterable[Batch],
    precision: AbstractContextManager[object],
    loss: Loss = Loss(),  # noqa: B008 - frozen
    world: World = World(),  # noqa: B008 - frozen
) -> Evaluation:
    """Run the model over the batches, each image once; the model is left in training mode.

    ``loss`` is that of the training; labels are not smoothed here. The processes of a ``world`` each have batches of
    their own, one after the other, and all get the whole.
    """
    loss_of = make_evaluation_loss(loss)
    columns: list[tuple[torch.Tensor, ...]] = []
    model.eval()
    with torch.no_grad():  # what a model keeps from here, a table say, may be used in training
        for batch in batches:
            with precision:
                logits_BK = model(batch.images)
            ranked_BK = logits_BK.argsort(dim=1, descending=True, stable=True)[:, :5]
            hits_BK = ranked_BK == batch.labels[:, None]
            losses_B = loss_of(logits_BK, batch.targets)
            columns.append((batch.indices, batch.labels, ranked_BK[:, 0], hits_BK.any(dim=1), losses_B))
    model.train()
    # One transfer at the end: reading each batch would make an accelerator wait for the next.
    whole = world.gather(tuple(torch.cat(column) for column in zip(*columns, strict=True)))
    return Evaluation(*(column.cpu().numpy() for column in whole))
