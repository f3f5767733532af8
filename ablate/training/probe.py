"""What a Recipe is and does in its first two updates, as digests and numbers that can be compared with another's."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ablate.data.batches import Batch, TrainBatches, eval_batches
from ablate.data.image_sets import Splits
from ablate.data.sources import load
from ablate.models.build import make_model
from ablate.models.vision_transformer import count_parameters
from ablate.recipe import Data, Model, Recipe
from ablate.training.device import forward_precision
from ablate.training.loss import make_evaluation_loss
from ablate.training.module_tree import module_tree
from ablate.training.objective import Objective
from ablate.training.optimiser import make_optimiser
from ablate.training.schedule import rate_of_step
from ablate.training.stand_in import StandIn
from ablate.training.teacher import StandInTeacher
from ablate.training.update import Gradient, clip_and_step

#: By which the last gradient is multiplied, so that a bound on its norm acts even if no norm so far came near it.
BEYOND = 1000.0
#: Images whose augmented pixels are compared: enough that an augmentation of one image in ten shows.
_LOOKED_AT = 64
#: Pixels that the model sees at once, but for its first four images: with more, a ViT-S would take a minute.
_PIXELS = 2**18
_CPU = torch.device("cpu")
#: The loss in evaluation with the weights and the running statistics of two updates.
AFTER_TWO = "evaluation loss after two updates"


class UntrainableError(ValueError):
    """A Recipe whose model can be built and whose training cannot begin."""


@dataclass(frozen=True)
class Values:
    """A tensor's shape and a digest of its bytes."""

    shape: tuple[int, ...]
    digest: str

    def __str__(self) -> str:
        return f"{self.shape} {self.digest[:8]}"


@dataclass(frozen=True)
class Probe:
    """One Recipe's side of a comparison. Names of modules and tensors are torch's; none of it is a tensor."""

    in_space: bool
    """Whether the model is of the space of parts, so that the names of its modules say which part they are."""
    modules: Mapping[str, str]
    """``name`` -> class, and ``name:attribute`` -> value, of every module; the model itself is the empty name."""
    parameters: Mapping[str, Values]
    """First values."""
    buffers: Mapping[str, Values]
    """First values; a fixed table is one."""
    parameter_count: int
    stream: Mapping[str, str | int]
    """``order``, ``training images``, ``targets``, ``held-out images``, ``held-out labels``, ``batch size``,
    ``updates an epoch``."""
    losses: Mapping[str, float]
    """``evaluation loss`` and ``training loss`` of the first values; ``loss after one update``; `AFTER_TWO`, which
    alone shows what acts on running statistics, or in evaluation on what is zero at first; all on one batch."""
    norms: Mapping[str, float]
    """``gradient norm`` and ``second gradient norm``, before clipping."""
    rates: str
    """Digest of the learning rate of every update."""
    updated: Mapping[str, Values]
    """Parameters and buffers after two updates at the peak learning rate."""
    beyond: Mapping[str, Values]
    """The same after a third, of the second's gradient multiplied by `BEYOND`."""


def probe(
    recipe: Recipe, seed: int = 0, images: int = 16, *, double: bool = False, splits: Splits | None = None
) -> Probe:
    """Build what a Recipe describes, and make two updates on one batch of at most ``images`` images, on the CPU.

    Large images are fewer, but at least four. With ``double`` the model computes in float64, whatever the Recipe's
    precision, so that what is the same but for rounding can be told from what is not. ``splits`` are the Recipe's
    images where they are loaded already, or a `stand_in` for them. The global random generator is left as it was.
    Raises ValueError for a Recipe whose model cannot be built, and `UntrainableError` for one that cannot be trained.
    """
    splits = splits or load(recipe.data)
    with torch.random.fork_rng(devices=[]):
        model = make_model(recipe.model, recipe.data, seed)
        return _begun(recipe, model, splits, seed, images, double)


@contextmanager
def _untrainable() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        raise UntrainableError(f"{kind}{error}") from error


@_untrainable()
def _begun(recipe: Recipe, model: nn.Module, splits: Splits, seed: int, images: int, double: bool) -> Probe:
    batch = _batch(recipe, splits, seed)
    modules, parameters = module_tree(model), _values(model.named_parameters())
    buffers = _values(model.named_buffers())
    count = splits.train_images if isinstance(splits, StandIn) else len(splits.train)
    seen = _cut(batch, recipe.data, images, double)
    losses, norms, updated, beyond = _updates(recipe, model, seen, seed, double)
    return Probe(
        in_space=isinstance(recipe.model, Model),
        modules=modules,
        parameters=parameters,
        buffers=buffers,
        parameter_count=count_parameters(model),
        stream=_stream(recipe, splits, batch, seed, count),
        losses=losses,
        norms=norms,
        rates=_rates(recipe, count // recipe.schedule.batch_size),
        updated=updated,
        beyond=beyond,
    )


def _batch(recipe: Recipe, splits: Splits, seed: int) -> Batch:
    """A batch of the first epoch. Its last one: that is made alone, the first together with many others."""
    size = min(_LOOKED_AT, recipe.schedule.batch_size, len(splits.train))
    batches = TrainBatches(splits.train, recipe.augment, recipe.data, seed, size)
    return next(batches.epoch(0, start=batches.steps_per_epoch - 1))


def _cut(batch: Batch, data: Data, images: int, double: bool) -> Batch:
    few = max(4, min(images, _PIXELS // data.image_size**2))
    pixels = batch.images[:few].double() if double else batch.images[:few]
    return Batch(pixels, batch.targets[:few], batch.labels[:few], batch.indices[:few])


def _stream(recipe: Recipe, splits: Splits, batch: Batch, seed: int, count: int) -> dict[str, str | int]:
    # The order is that of any batch size; with the Recipe's own this raises where the training set is smaller.
    size = recipe.schedule.batch_size if count == len(splits.train) else 1
    order = TrainBatches(splits.train, recipe.augment, recipe.data, seed, size).order(0)
    held_out = next(eval_batches(splits.held_out, recipe.data, 16))
    return {
        "order": _digest(splits.train.indices[order]),
        "training images": _digest(batch.images),
        "targets": _digest(batch.targets),
        "held-out images": _digest(held_out.images),
        "held-out labels": _digest(torch.stack((splits.held_out.indices, splits.held_out.labels))),
        "batch size": recipe.schedule.batch_size,
        "updates an epoch": count // recipe.schedule.batch_size,
    }


def _rates(recipe: Recipe, epoch_steps: int) -> str:
    rate_of = rate_of_step(recipe.schedule, _peak_rate(recipe), epoch_steps)
    rates = np.fromiter(map(rate_of, range(recipe.schedule.epochs * epoch_steps)), np.float64)
    return hashlib.blake2b(rates.tobytes(), digest_size=8).hexdigest()


def _updates(
    recipe: Recipe, model: nn.Module, batch: Batch, seed: int, double: bool
) -> tuple[dict[str, float], dict[str, float], dict[str, Values], dict[str, Values]]:
    """Losses, norms, and the weights after two updates and after one more of a gradient that is far too large."""
    if double:
        model.double()
    with _default_dtype(torch.float64 if double else torch.get_default_dtype()):
        return _made(recipe, model, batch, seed, double)


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """For what a forward makes itself (a table, an identity matrix): its dtype is the default one."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _made(
    recipe: Recipe, model: nn.Module, batch: Batch, seed: int, double: bool
) -> tuple[dict[str, float], dict[str, float], dict[str, Values], dict[str, Values]]:
    precision = nullcontext() if double else forward_precision(recipe.precision, _CPU)
    parameters, rate = list(model.parameters()), _peak_rate(recipe)
    optimiser = make_optimiser(model, recipe.optimizer, rate)
    gradient = Gradient(Objective(model, recipe, _teacher(recipe)), precision, seed, len(batch.images))
    loss_of = make_evaluation_loss(recipe.loss)

    def step() -> float:
        return clip_and_step(parameters, optimiser, recipe.optimizer, rate).item()

    def evaluated() -> float:
        model.eval()
        with torch.no_grad(), precision:
            logits_BK = model(batch.images)
        model.train()
        return loss_of(logits_BK, batch.targets).mean().item()

    losses, norms = {"evaluation loss": evaluated()}, {}
    names = (("training loss", "gradient norm"), ("loss after one update", "second gradient norm"))
    for made, (loss_name, norm_name) in enumerate(names):
        losses[loss_name] = gradient(batch, made).item()
        norms[norm_name] = step()
    losses[AFTER_TWO] = evaluated()
    updated = _state(model)
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad.mul_(BEYOND)
    step()
    return losses, norms, updated, _state(model)


def _peak_rate(recipe: Recipe) -> float:
    return recipe.optimizer.peak_rate(recipe.schedule.batch_size)


def _teacher(recipe: Recipe) -> StandInTeacher | None:
    """Nobody has trained the teacher yet: another one stands in for each."""
    if recipe.distillation == "off":
        return None
    settings = recipe.distillation.teacher.model_dump_json().encode()
    seed = int.from_bytes(hashlib.blake2b(settings, digest_size=4).digest(), "little")
    return StandInTeacher(recipe.data.classes, seed)


def _state(model: nn.Module) -> dict[str, Values]:
    return _values(itertools.chain(model.named_parameters(), model.named_buffers()))


def _values(named: Iterable[tuple[str, Tensor]]) -> dict[str, Values]:
    return {name: Values(tuple(tensor.shape), _digest(tensor)) for name, tensor in named}


def _digest(tensor: Tensor) -> str:
    flat = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
    return hashlib.blake2b(flat.numpy().data, digest_size=8).hexdigest()
