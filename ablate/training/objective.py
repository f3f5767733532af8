"""What is minimised: the loss of each image of a batch, from the labels and, where there is one, from a teacher."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ablate.data.batches import Batch
from ablate.recipe import Recipe
from ablate.training.distillation import distillation_loss
from ablate.training.loss import make_loss


class Teaches(Protocol):
    """A teacher, as far as a student knows it."""

    def logits(self, batch: Batch) -> Tensor:
        """The teacher's logits for the images of a batch, (B, K), without a gradient."""
        ...


class Objective:
    """The loss of each image, (B,), in nats.

    Without a teacher it is the Recipe's loss of the model's logits. With one it is ``(1 - w) * labels + w * teacher``
    (DeiT, arXiv 2012.12877, eqs. 2 and 3). A distillation head learns from the teacher alone, and the class head then
    from the labels alone; otherwise the model's logits learn from both.
    Raises ValueError where the Recipe asks for a distillation head that the model does not have.
    """

    def __init__(self, model: nn.Module, recipe: Recipe, teacher: Teaches | None) -> None:
        self.model = model
        self._loss = make_loss(recipe.loss)
        self._distillation = recipe.distillation
        self._teacher = teacher
        self._channels_last = recipe.compute.channels_last
        self._forward: Callable[[Tensor], Any] = model
        if self._two_heads:
            if getattr(model, "distilled_head", None) is None:
                raise ValueError(
                    "distillation.student is distillation_head, but the model has none: readout cls_distilled"
                )
            self._forward = model.forward_heads  # type: ignore[assignment]  # torch knows no module's own methods

    @property
    def _two_heads(self) -> bool:
        return self._distillation != "off" and self._distillation.student == "distillation_head"

    def compile(self, compiler: Callable[[Any], Any]) -> None:
        """Put the forward pass through a compiler."""
        self._forward = compiler(self._forward)

    def __call__(self, batch: Batch, precision: AbstractContextManager[object]) -> Tensor:
        """Run the model, which is in training, in the Recipe's precision."""
        images = batch.images.contiguous(memory_format=torch.channels_last) if self._channels_last else batch.images
        with precision:
            output = self._forward(images)
        of_labels, of_teacher = output if self._two_heads else (output, output)
        losses = self._loss(of_labels, batch.targets)
        if self._distillation == "off" or self._teacher is None:
            return losses
        taught = distillation_loss(self._distillation, of_teacher, self._teacher.logits(batch))
        weight = self._distillation.weight
        return (1.0 - weight) * losses + weight * taught
