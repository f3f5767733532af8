"""One update, whole or in pieces, with memory that lasts or runs out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ablate.data.batches import Batch, TrainBatches
from ablate.data.sources import load
from ablate.models.build import make_model
from ablate.recipe import Recipe
from ablate.training.loss_scale import LossScale
from ablate.training.objective import Objective
from ablate.training.optimiser import make_optimiser
from ablate.training.update import Gradient, clip_and_step


def prepared(recipe: Recipe, double: bool = True) -> tuple[nn.Module, Batch]:
    """The Recipe's model and its first batch, in float64."""
    model = make_model(recipe.model, recipe.data, 0)
    batches = TrainBatches(load(recipe.data).train, recipe.augment, recipe.data, 0, recipe.schedule.batch_size)
    batch = next(batches.epoch(0))
    if double:
        model.double()
        batch = Batch(batch.images.double(), batch.targets.double(), batch.labels, batch.indices)
    return model, batch


def gradients(recipe: Recipe, **options: Any) -> tuple[dict[str, Tensor], float]:
    model, batch = prepared(recipe)
    gradient = Gradient(Objective(model, recipe, None), nullcontext(), 0, len(batch.images), **options)
    loss = gradient(batch, 7)
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}, loss.item()


@pytest.fixture
def drawing(make_recipe: Callable[..., Recipe]) -> Recipe:
    """A Recipe whose model draws in every layer: dropout, stochastic depth, dropout of attention weights."""
    recipe: Recipe = make_recipe(
        model__depth=3,
        model__dropout=0.3,
        model__stochastic_depth=0.4,
        model__attention_dropout=0.2,
        model__init="truncated_normal",  # a head of zeros would leave the body without a gradient
    )
    return recipe


@pytest.mark.parametrize("size", [1, 7, 32, 63, 64, 1000])
def test_pieces_give_the_gradient_of_the_whole_batch(drawing: Recipe, size: int) -> None:
    """With everything drawn that layers draw, any cut gives the uncut batch's loss and gradient, to 1e-12."""
    whole, loss = gradients(drawing)
    cut, cut_loss = gradients(drawing, micro_batch=size)
    assert cut_loss == pytest.approx(loss, rel=1e-12)
    for name, expected in whole.items():
        torch.testing.assert_close(cut[name], expected, rtol=0, atol=1e-12 * expected.abs().max().item() + 1e-15)


def test_a_batch_norm_sees_the_pieces(make_recipe: Callable[..., Recipe]) -> None:
    """The documented exception: with a batch norm, pieces are normalised by themselves and the gradient is another."""
    feed_forward = {"name": "leff", "ratio": 2.0}
    changes = {"model__feed_forward": feed_forward, "model__depth": 2, "model__init": "truncated_normal"}
    recipe = make_recipe(**changes)
    whole, _ = gradients(recipe)
    cut, _ = gradients(recipe, micro_batch=16)
    assert any(not torch.allclose(cut[n], whole[n], rtol=1e-3) for n in whole)


def test_memory_that_runs_out_halves_the_pieces(drawing: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of memory, the batch begins again in halves until it fits, and the gradient is that of the whole batch."""
    whole, loss = gradients(drawing)
    true, seen = Objective.__call__, []

    def scarce(self: Objective, batch: Batch, precision: Any) -> Tensor:
        seen.append(len(batch.images))
        if len(batch.images) > 20:
            raise torch.OutOfMemoryError("no more than 20 images fit")
        return true(self, batch, precision)

    monkeypatch.setattr(Objective, "__call__", scarce)
    model, batch = prepared(drawing)
    gradient = Gradient(Objective(model, drawing, None), nullcontext(), 0, 64)
    assert gradient(batch, 7).item() == pytest.approx(loss, rel=1e-12)
    assert gradient.micro_batch == 16
    assert seen == [64, 32, 16, 16, 16, 16]
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, whole[name], rtol=1e-9, atol=1e-15)


def test_memory_that_ends_in_the_backward_pass_leaves_nothing_behind(
    drawing: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gradient that was half made when memory ran out does not count."""
    whole, _ = gradients(drawing)
    true, failures = Tensor.backward, [True, True]

    def failing(self: Tensor, *args: Any, **options: Any) -> None:
        true(self, *args, **options)
        if failures.pop() if failures else False:
            raise torch.OutOfMemoryError("too late")

    monkeypatch.setattr(Tensor, "backward", failing)
    again, _ = gradients(drawing)
    for name, expected in whole.items():
        torch.testing.assert_close(again[name], expected, rtol=1e-9, atol=1e-15)


def test_a_single_image_that_does_not_fit_is_an_error(drawing: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing left to halve, and the message says so."""

    def never(*_: Any) -> Tensor:
        raise torch.OutOfMemoryError("no")

    monkeypatch.setattr(Objective, "__call__", never)
    with pytest.raises(torch.OutOfMemoryError, match="a single image does not fit"):
        gradients(drawing)


def test_a_scaled_loss_gives_the_same_gradient(drawing: Recipe) -> None:
    """A factor that is a power of two leaves no trace in float64."""
    whole, loss = gradients(drawing)
    scaled, scaled_loss = gradients(drawing, scale=LossScale(active=True))
    assert scaled_loss == loss
    for name, expected in whole.items():
        torch.testing.assert_close(scaled[name], expected, rtol=1e-12, atol=0)


def test_an_overflow_makes_no_step(drawing: Recipe) -> None:
    """The weights stay, the factor is halved, and the next gradient is used."""
    model, batch = prepared(drawing)
    scale = LossScale(active=True)
    optimiser = make_optimiser(model, drawing.optimizer, 1e-3)
    gradient = Gradient(Objective(model, drawing, None), nullcontext(), 0, 64, scale=scale)
    parameters = list(model.parameters())
    before = [p.detach().clone() for p in parameters]
    gradient(batch, 0)
    parameters[0].grad[...] = float("inf")  # type: ignore[index]
    assert clip_and_step(parameters, optimiser, drawing.optimizer, 1e-3, scale).isinf()
    assert all(map(torch.equal, before, parameters))
    assert scale.factor == 2.0**15
    gradient(batch, 1)
    assert clip_and_step(parameters, optimiser, drawing.optimizer, 1e-3, scale).item() > 0.0
    assert not all(map(torch.equal, before, parameters))


def test_the_factor_is_that_of_torchs_scaler() -> None:
    """Over a sequence of overflows and good updates it has torch's values, and goes on from its state."""
    overflows = [True, False, True, *[False] * 2000, False, True, *[False] * 2001]
    scale = LossScale(active=True)
    reference = torch.amp.GradScaler("cpu")
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=0.0)
    for number, overflowed in enumerate(overflows):
        reference.scale(torch.zeros(()))  # makes the factor, which is lazy
        weight.grad = torch.full((1,), float("inf") if overflowed else 1.0)
        reference.step(optimizer)
        reference.update()
        scale.after(overflowed=overflowed)
        assert scale.factor == reference.get_scale(), number
        if number == 1000:
            resumed = LossScale(active=True)
            resumed.load_state_dict(scale.state_dict())
            scale = resumed
