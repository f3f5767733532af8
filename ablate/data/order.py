"""Which images come in which update, and which of them a process is given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ablate import draws

#: A repeat of an image draws as if it were another image: its number stands in bits that no index reaches.
_REPEAT_BIT = 40


@dataclass(frozen=True)
class Shard:
    """One of several processes that share each batch: they take neighbouring, equal parts of it."""

    rank: int = 0
    world: int = 1

    def rows(self, batch_size: int) -> slice:
        """The rows of a batch of ``batch_size`` that are this process's; some have one more if they cannot be equal."""
        bounds = [batch_size * rank // self.world for rank in (self.rank, self.rank + 1)]
        return slice(*bounds)


def shuffled(indices: Tensor, seed: int, epoch: int) -> Tensor:
    """Positions of all images, (N,), in the order of an epoch, whatever the batch size; ``indices`` (N,) key it."""
    draw = draws.uniform(seed, "order", epoch, indices.numpy(), 1)[:, 0]
    return torch.from_numpy(np.argsort(draw, kind="stable"))


def repeated(order: Tensor, batch_size: int, repeats: int) -> tuple[Tensor, Tensor]:
    """The epoch's batches one after the other with every image ``repeats`` times in a row, and which time it is.

    Positions and numbers of repeats, both (N // batch_size * batch_size,), so that an epoch has as many updates as
    without repeats and sees a share of the images (DeiT's `RASampler`, arXiv 2012.12877, section 5.4). Within a batch
    all images come once before one comes again: neighbours, which MixUp pairs, are then different images, as long as
    ``batch_size >= 2 * repeats``.
    """
    used = len(order) // batch_size * batch_size
    positions = order.repeat_interleave(repeats)[:used].view(-1, batch_size)
    numbers = torch.arange(repeats).repeat(len(order))[:used].view(-1, batch_size)
    first_times_first = numbers.argsort(dim=1, stable=True)
    return positions.gather(1, first_times_first).flatten(), numbers.gather(1, first_times_first).flatten()


def keys(indices: Tensor, numbers: Tensor) -> NDArray[np.int64]:
    """What an image's draws are keyed by, (B,): its index, and another value for each repeat."""
    keyed: NDArray[np.int64] = (indices + (numbers << _REPEAT_BIT)).numpy()
    return keyed
