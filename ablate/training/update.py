"""One update of the weights: the gradient of a batch's mean loss, in pieces where it does not fit, and a step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ablate.data.batches import Batch
from ablate.data.order import Shard
from ablate.draws import derive
from ablate.recipe import Optimizer
from ablate.training.device import seed_generator
from ablate.training.loss_scale import LossScale
from ablate.training.objective import Objective
from ablate.training.optimiser import Optimiser
from ablate.training.whole_batch import whole_batch_draws
from ablate.training.world import World


class Gradient:
    """Leaves the gradient of a batch's mean loss with the parameters, however the batch is cut.

    The batch may be shared out among the processes of a `World`, and each part may go through the model in pieces of at
    most ``micro_batch`` images. Losses are summed and divided by the images of the whole batch, and layers draw what
    they would for it, so that the update is that of the uncut batch but for rounding. Batch norms are the exception:
    they see the pieces (and, of each, all processes' together).
    """

    def __init__(
        self,
        objective: Objective,
        precision: AbstractContextManager[object],
        seed: int,
        batch_size: int,
        *,
        micro_batch: int | None = None,
        world: World = World(),  # noqa: B008 - alone, and frozen
        scale: LossScale | None = None,
        draws: bool = True,
    ) -> None:
        """``draws``: whether the model draws in training; where it is known not to, it can stay compiled."""
        self.objective = objective
        self.micro_batch = micro_batch
        """Images that go through the model at a time in one process; None: all at once. Halved where memory ends."""
        self._parameters = list(objective.model.parameters())
        self._precision = precision
        self._seed = seed
        self._batch_size = batch_size
        self._world = world
        self._draws = draws
        self._has_batch_norm = any(isinstance(m, _BatchNorm) for m in objective.model.modules())
        self._scale = scale or LossScale(active=False)

    def __call__(self, batch: Batch, step: int) -> Tensor:
        """The mean loss over the whole batch, of which ``batch`` is this process's part.

        ``step`` updates were made before: what the model itself draws, dropout above all, is keyed by it.
        Out of memory, the pieces are halved and the part begins again; raises torch.OutOfMemoryError when a single
        image does not fit.
        """
        loss = self._attempted(batch, step)
        while loss is None:
            loss = self._attempted(batch, step)
        self._world.add_gradients(self._parameters)
        if self._scale.factor != 1.0:
            torch._foreach_div_([p.grad for p in self._parameters if p.grad is not None], self._scale.factor)
        return self._world.total(loss)

    def _attempted(self, batch: Batch, step: int) -> Tensor | None:
        """The sum of this part's losses over the images of the whole batch; None where memory ended somewhere."""
        running = _running_statistics(self.objective.model) if batch.images.is_cuda else {}
        try:
            loss = self._accumulated(batch, step)
        except torch.OutOfMemoryError:
            if self._has_batch_norm and self._world.size > 1:
                raise  # the other processes wait inside a layer, where nobody can tell them
            loss = None
        if not self._world.any(loss is None):
            return loss
        for buffer, value in running.items():
            buffer.copy_(value)
        self._halve()
        return None

    def _halve(self) -> None:
        if self._at_a_time == 1:
            raise torch.OutOfMemoryError("a single image does not fit into memory")
        self.micro_batch = math.ceil(self._at_a_time / 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    @property
    def _largest_part(self) -> int:
        """Images of the process that has most of a batch."""
        return math.ceil(self._batch_size / self._world.size)

    @property
    def _at_a_time(self) -> int:
        return min(self.micro_batch or self._largest_part, self._largest_part)

    def _accumulated(self, batch: Batch, step: int) -> Tensor:
        for parameter in self._parameters:
            parameter.grad = None
        total = torch.zeros((), device=batch.images.device)
        for piece in self._pieces(len(batch.images)):
            seed_generator(batch.images.device, derive(self._seed, "dropout", step))
            with whole_batch_draws(self._rows(piece), self._batch_size) if self._draws else nullcontext():
                losses = self.objective(batch.rows(piece), self._precision)
                loss = losses.mean() if len(losses) == self._batch_size else losses.sum() / self._batch_size
                (loss if self._scale.factor == 1.0 else loss * self._scale.factor).backward()
            total = total + loss.detach()
        return total

    def _pieces(self, images: int) -> Iterator[slice]:
        """As many in each process, so that all meet in a batch norm that they share; equal but for one image."""
        count = math.ceil(self._largest_part / self._at_a_time)
        if self._has_batch_norm and self._world.size > 1 and count > images:
            raise ValueError(f"{images} images of a process cannot be cut into {count} pieces for a batch norm")
        pieces = (Shard(number, count).rows(images) for number in range(count))
        return (piece for piece in pieces if piece.stop > piece.start)

    def _rows(self, piece: slice) -> slice:
        """Where a piece of this process's part lies in the whole batch."""
        first = self._world.shard.rows(self._batch_size).start
        return slice(first + piece.start, first + piece.stop)


def _running_statistics(model: nn.Module) -> dict[Tensor, Tensor]:
    """What a forward pass in training changes, and a copy of it."""
    return {buffer: buffer.clone() for buffer in model.buffers()}


def clip_and_step(
    parameters: Sequence[nn.Parameter],
    optimiser: Optimiser,
    settings: Optimizer,
    rate: float,
    scale: LossScale | None = None,
) -> Tensor:
    """Bound the gradient's global norm, where the Recipe does, and step; the norm before it was bounded.

    In float16, a gradient that overflowed makes no step, and its norm is not finite.
    """
    norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    if scale is not None and scale.active:
        overflowed = not math.isfinite(norm.item())
        scale.after(overflowed=overflowed)
        if overflowed:
            return norm
    if settings.clip_norm != "off":
        torch.nn.utils.clip_grads_with_norm_(parameters, settings.clip_norm, norm)
    optimiser.step(rate)
    return norm
