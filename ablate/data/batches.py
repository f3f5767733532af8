"""Batches for training and for evaluation: order, augmentation, normalisation, targets.

The crop acts as images are read, the other augmentations of single images on uint8 batches on the device; then pixels
are normalised, erased and mixed. Draws for an image are keyed by (seed, purpose, epoch, image), not by the step:
a Variant with another batch size shows the same image in the same way in the same epoch. Only an image's partner in
mixing, and what is drawn for a whole batch, depend on the batch. Several processes that share a batch (`Shard`) see,
together, the very batch that one would.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import tee

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot

from ablate.data.augmenting import Augmenter, normalise
from ablate.data.errors import DataError
from ablate.data.image_sets import ImageSet
from ablate.data.looks import EvaluationLook, TrainingLook
from ablate.data.mixing import Mixer
from ablate.data.order import Shard, keys, repeated, shuffled
from ablate.data.reading import Reader, Request
from ablate.recipe import Augment, Data

_CPU = torch.device("cpu")
_AT_ONCE = 2**22
"""Pixel values augmented in one go where images lie in memory; below some thousands of images, what each
operation costs to start is most of its time."""


@dataclass(frozen=True)
class Batch:
    """Images and what they show, all on one device."""

    images: Tensor
    """(B, C, S, S) float32, normalised."""
    targets: Tensor
    """(B, K) float32; rows sum to one, and are soft where images are mixed."""
    labels: Tensor
    """(B,) int64, of the images before mixing."""
    indices: Tensor
    """(B,) int64, stable in the whole source."""

    def rows(self, chosen: slice) -> Batch:
        """Some of its rows."""
        return Batch(self.images[chosen], self.targets[chosen], self.labels[chosen], self.indices[chosen])


@dataclass(frozen=True)
class _Rows:
    """Positions in the training set, and which time each comes in its batch."""

    positions: Tensor
    repeats: Tensor

    def __len__(self) -> int:
        return len(self.positions)

    def split(self, size: int) -> Iterator[_Rows]:
        """In pieces."""
        return map(_Rows, self.positions.split(size), self.repeats.split(size))


class TrainBatches:
    """Epochs of augmented batches; any step of any epoch can be had without those before it.

    Raises `DataError` if a batch is larger than the training set. The incomplete batch at the end of an
    epoch is dropped.
    """

    def __init__(
        self,
        train_set: ImageSet,
        augment: Augment,
        data: Data,
        seed: int,
        batch_size: int,
        device: torch.device = _CPU,
        shard: Shard = Shard(),  # noqa: B008 - frozen
    ) -> None:
        if batch_size > len(train_set):
            raise DataError(
                f"schedule.batch_size is {batch_size}, but there are only {len(train_set)} images to train on"
            )
        self.steps_per_epoch = len(train_set) // batch_size
        self._set = train_set
        self._augment = augment
        self._data = data
        self._seed = seed
        self._batch_size = batch_size
        self._device = device
        self._shard = shard
        self._augmenter = Augmenter(augment, data)
        self._mixer = Mixer(augment)
        # A CPU augments where it reads, which may be ahead of use; an accelerator augments by itself.
        self._augments_later = device.type != "cpu"
        look = TrainingLook(train_set, augment, seed, None if self._augments_later else self._augmenter)
        self._reader = Reader(look, decodes=train_set.decodes, device=device)
        values = batch_size * data.channels * data.image_size**2
        self._batches_at_once = 1 if train_set.decodes else max(1, _AT_ONCE // values)

    def close(self) -> None:
        """End what reads ahead; the next epoch would start it again."""
        self._reader.close()

    def order(self, epoch: int) -> Tensor:
        """Positions of all training images, (N,), in the order of this epoch, whatever the batch size."""
        return shuffled(self._set.indices, self._seed, epoch)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch (counted from 0) from step ``start`` on; of a shard, its rows of each."""
        if not 0 <= start <= self.steps_per_epoch:
            raise ValueError(f"start is {start}, but an epoch has {self.steps_per_epoch} steps")
        return self._batches(epoch, start)

    def _batches(self, epoch: int, start: int) -> Iterator[Batch]:
        rows, size = self._own(epoch, start)
        chunks = rows.split(self._batches_at_once * size) if len(rows) else iter(())

        asked, answered = tee(chunks)
        requests = (Request(chunk.positions.numpy(), self._keys(chunk), epoch) for chunk in asked)
        step = epoch * self.steps_per_epoch + start
        for chunk, looks in zip(answered, self._reader(requests), strict=True):
            if self._augments_later:
                looks = self._augmenter.pixels(looks, self._seed, epoch, self._keys(chunk))
            for own, images in zip(chunk.split(size), looks.split(size), strict=True):
                yield self._batch(epoch, step, own, images)
                step += 1

    def _own(self, epoch: int, start: int) -> tuple[_Rows, int]:
        """The rows of the shard, batch after batch from step ``start`` on, and how many there are in each.

        Where images are mixed, the one before a shard's first comes first: it is that one's partner.
        """
        size = self._batch_size
        positions, repeats = repeated(self.order(epoch), size, self._augment.repeats)
        places = torch.arange(size)[self._shard.rows(size)]
        if self._shard.world > 1 and self._mixer.pairs:
            places = torch.cat([(places[:1] - 1) % size, places])
        taken = (torch.arange(start, self.steps_per_epoch)[:, None] * size + places).flatten()
        return _Rows(positions[taken], repeats[taken]), len(places)

    def _keys(self, rows: _Rows) -> NDArray[np.int64]:
        return keys(self._set.indices[rows.positions], rows.repeats)

    def _batch(self, epoch: int, step: int, rows: _Rows, images: Tensor) -> Batch:
        own = self._keys(rows)
        batch = _finished(self._set, rows.positions, images, self._data, self._device)
        values = self._augmenter.values(batch.images, self._seed, epoch, own)
        if not self._mixer.pairs:
            return Batch(values, batch.targets, batch.labels, batch.indices)
        paired, targets = _with_partners(values, self._shard), _with_partners(batch.targets, self._shard)
        kept = slice(len(values) - len(paired[0]), None)
        mixed = self._mixer(paired, targets, self._seed, epoch, step, own[kept])
        return Batch(*mixed, batch.labels[kept], batch.indices[kept])


def eval_batches(
    held_out: ImageSet,
    data: Data,
    batch_size: int,
    device: torch.device = _CPU,
    shard: Shard = Shard(),  # noqa: B008 - frozen
) -> Iterator[Batch]:
    """Every image of the set once, in order, as evaluation sees it; the last batch may be smaller.

    Of a shard, its neighbouring part of the set.
    """
    chunks = torch.arange(len(held_out))[shard.rows(len(held_out))].split(batch_size)
    reader = Reader(EvaluationLook(held_out), decodes=held_out.decodes, device=device)
    try:
        for positions, images in zip(chunks, reader(Request(c.numpy()) for c in chunks), strict=True):
            yield _finished(held_out, positions, images, data, device)
    finally:
        reader.close()


def _with_partners(values: Tensor, shard: Shard) -> tuple[Tensor, Tensor]:
    """Values and those of the image before each: a roll by one, to which a shard was given the first."""
    return (values, values.roll(1, dims=0)) if shard.world == 1 else (values[1:], values[:-1])


def _finished(image_set: ImageSet, positions: Tensor, images: Tensor, data: Data, device: torch.device) -> Batch:
    labels = image_set.labels[positions].to(device)
    return Batch(
        normalise(images, data.mean, data.std),
        one_hot(labels, data.classes).float(),
        labels,
        image_set.indices[positions].to(device),
    )
