"""Labels and a teacher in one loss, and what of the Recipe becomes of the forward pass."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ablate.data.batches import Batch
from ablate.models.build import make_model
from ablate.recipe import Recipe
from ablate.training.device import tensor_float_32
from ablate.training.objective import Objective

TEACHER = {"checkpoint": "trial:0123456789abcdef"}


class Fixed:
    """A teacher that says the same of every batch."""

    def __init__(self, logits_BK: Tensor) -> None:
        self.logits_BK = logits_BK

    def logits(self, batch: Batch) -> Tensor:
        return self.logits_BK


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(6, 1, 8, 8, generator=generator)
    targets = torch.softmax(torch.randn(6, 10, generator=generator), 1)
    return Batch(images, targets, torch.arange(6), torch.arange(6))


def made(make_recipe: Callable[..., Recipe], **changes: Any) -> tuple[Recipe, Any]:
    changes = {"model__init": "truncated_normal", "model__dropout": 0.0, **changes}
    recipe = make_recipe(**changes)
    return recipe, make_model(recipe.model, recipe.data, 0).train()


@pytest.mark.parametrize("weight", [0.1, 1.0])
def test_class_head_learns_from_labels_and_teacher(
    make_recipe: Callable[..., Recipe], batch: Batch, weight: float
) -> None:
    """Soft distillation to the class head is DeiT's eq. 2 with the temperature's square, image by image, to 1e-6."""
    distillation = {"teacher": TEACHER, "kind": "soft", "temperature": 3.0, "weight": weight}
    recipe, model = made(make_recipe, distillation=distillation)
    said = torch.randn(6, 10)
    losses = Objective(model, recipe, Fixed(said))(batch, nullcontext())
    logits = model(batch.images)
    labels = -(batch.targets * logits.log_softmax(1)).sum(1)
    taught = 9 * F.kl_div((logits / 3).log_softmax(1), (said / 3).softmax(1), reduction="none").sum(1)
    torch.testing.assert_close(losses, (1 - weight) * labels + weight * taught, rtol=1e-5, atol=1e-6)


def test_a_head_of_its_own_learns_from_the_teacher_alone(make_recipe: Callable[..., Recipe], batch: Batch) -> None:
    """Hard distillation to a distillation head is DeiT's eq. 3: each head has the gradient of its own half."""
    distillation = {"teacher": TEACHER, "kind": "hard", "weight": 0.5, "student": "distillation_head"}
    recipe, model = made(make_recipe, distillation=distillation, model__readout="cls_distilled")
    said = torch.randn(6, 10)
    losses = Objective(model, recipe, Fixed(said))(batch, nullcontext())
    of_class, of_distillation = model.forward_heads(batch.images)
    labels = -(batch.targets * of_class.log_softmax(1)).sum(1)
    taught = F.cross_entropy(of_distillation, said.argmax(1), reduction="none")
    torch.testing.assert_close(losses, 0.5 * labels + 0.5 * taught, rtol=1e-5, atol=1e-6)
    losses.mean().backward()
    own = torch.autograd.grad(0.5 * taught.mean(), model.distilled_head.parameters())
    for parameter, gradient in zip(model.distilled_head.parameters(), own, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-7)


def test_a_distillation_head_must_be_there(make_recipe: Callable[..., Recipe]) -> None:
    """A model with one head cannot learn with two: its Recipe is refused, and so is a user's readout without it."""
    distillation = {"teacher": TEACHER, "student": "distillation_head"}
    with pytest.raises(ValueError, match="readout cls_distilled has one, readout gap has none"):
        made(make_recipe, distillation=distillation)
    recipe, _ = made(make_recipe, distillation=distillation, model__readout="cls_distilled")
    _, single = made(make_recipe)
    with pytest.raises(ValueError, match="the model has none: readout cls_distilled"):
        Objective(single, recipe, Fixed(torch.zeros(6, 10)))


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_labels_alone_are_the_recipes_loss(make_recipe: Callable[..., Recipe], batch: Batch, kind: str) -> None:
    """Without a teacher the loss is that of the Recipe's kind, smoothed as it says."""
    recipe, model = made(make_recipe, loss={"kind": kind, "label_smoothing": 0.1})
    losses = Objective(model, recipe, None)(batch, nullcontext())
    logits, targets = model(batch.images), 0.9 * batch.targets + 0.01
    expected = {
        "softmax": F.cross_entropy(logits, targets, reduction="none"),
        "sigmoid": F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(1),
    }
    torch.testing.assert_close(losses, expected[kind], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("allowed", [True, False])
def test_tf32_is_as_the_recipe_says_and_afterwards_as_before(allowed: bool) -> None:
    """For matrices and for convolutions, whose default in torch is another."""
    backends: list[Any] = [torch.backends.cuda.matmul, torch.backends.cudnn]
    before = [backend.allow_tf32 for backend in backends]
    with tensor_float_32(allowed=allowed):
        assert [backend.allow_tf32 for backend in backends] == [allowed, allowed]
    assert [backend.allow_tf32 for backend in backends] == before
