"""Batches for training and for evaluation: order, augmentation, normalisation, targets.

Crop, flip and RandAugment act on uint8 images, in this order; then pixels are normalised and mixed. The draws of
crop, flip, RandAugment and MixUp (per image) are keyed by (seed, purpose, epoch, image), not by the step:
a Variant with another batch size shows the same image in the same way in the same epoch. Only MixUp's
partner, and its share where one is drawn for the whole batch, depend on the batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot

from ablate import draws
from ablate.data.crop import inception_boxes
from ablate.data.errors import DataError
from ablate.data.image_sets import ImageSet
from ablate.data.mixup import mix, shares
from ablate.data.randaugment import RandAugmenter
from ablate.recipe import Augment, Data

_CPU = torch.device("cpu")
_READ_AHEAD = 2
"""Batches decoded while another is in use, for sources that read files."""
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
        values = batch_size * data.channels * data.image_size**2
        self._batches_at_once = 1 if train_set.decodes else max(1, _AT_ONCE // values)
        randaug = augment.randaug
        self._randaug = None if randaug == "off" else RandAugmenter(randaug, data.image_size)

    def order(self, epoch: int) -> Tensor:
        """Positions of all training images, (N,), in the order of this epoch, whatever the batch size."""
        draw = draws.uniform(self._seed, "order", epoch, self._set.indices.numpy(), 1)[:, 0]
        return torch.from_numpy(np.argsort(draw, kind="stable"))

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch (counted from 0) from step ``start`` on."""
        if not 0 <= start <= self.steps_per_epoch:
            raise ValueError(f"start is {start}, but an epoch has {self.steps_per_epoch} steps")
        return self._batches(epoch, start)

    def _batches(self, epoch: int, start: int) -> Iterator[Batch]:
        used = self.order(epoch)[start * self._batch_size : self.steps_per_epoch * self._batch_size]
        chunks = used.split(self._batches_at_once * self._batch_size) if len(used) else ()

        def read(positions: Tensor) -> Tensor:
            return self._read(epoch, positions)

        step = epoch * self.steps_per_epoch + start
        for chunk, cut in _reading(self._set, chunks, read):
            looks = self._augmented(epoch, chunk, cut)
            for positions, images in zip(chunk.split(self._batch_size), looks.split(self._batch_size), strict=True):
                yield self._batch(epoch, step, positions, images)
                step += 1

    def _read(self, epoch: int, positions: Tensor) -> Tensor:
        """The images before anything but the crop happened to them, uint8."""
        crop = self._augment.crop
        if crop == "off":
            return self._set.images(positions)
        indices = self._set.indices[positions].numpy()
        boxes = inception_boxes(crop, self._set.sizes(positions), self._seed, epoch, indices)
        return self._set.images(positions, boxes)

    def _augmented(self, epoch: int, positions: Tensor, images: Tensor) -> Tensor:
        """What happens to each image by itself after the crop: any number of batches gives the same bits."""
        keys = self._set.indices[positions].numpy()
        images = images.to(self._device)
        if self._augment.flip:
            images = flip(images, self._seed, epoch, keys)
        if self._randaug is not None:
            images = self._randaug(images, self._seed, epoch, keys)
        return images

    def _batch(self, epoch: int, step: int, positions: Tensor, images: Tensor) -> Batch:
        keys = self._set.indices[positions].numpy()
        batch = _finished(self._set, positions, images, self._data, self._device)
        mixup = self._augment.mixup
        if mixup == "off":
            return batch
        share = torch.from_numpy(shares(mixup, self._seed, epoch, step, keys)).to(self._device)
        return Batch(mix(batch.images, share), mix(batch.targets, share), batch.labels, batch.indices)


def eval_batches(held_out: ImageSet, data: Data, batch_size: int, device: torch.device = _CPU) -> Iterator[Batch]:
    """Every image of the set once, in order, as evaluation sees it; the last batch may be smaller."""
    chunks = torch.arange(len(held_out)).split(batch_size)
    for positions, images in _reading(held_out, chunks, held_out.images):
        yield _finished(held_out, positions, images.to(device), data, device)


def flip(images: Tensor, seed: int, epoch: int, indices: NDArray[np.int64]) -> Tensor:
    """Mirror each image left and right with probability one half, keyed by (seed, epoch, image)."""
    mirrored = draws.uniform(seed, "flip", epoch, indices, 1)[:, 0] < 0.5
    chosen = torch.from_numpy(mirrored).to(images.device).view(-1, 1, 1, 1)
    return torch.where(chosen, images.flip(-1), images)


def normalise(images: Tensor, mean: float, std: float) -> Tensor:
    """``(pixel / 255 - mean) / std`` in float32."""
    return images.float().div_(255.0).sub_(mean).div_(std)


def _finished(image_set: ImageSet, positions: Tensor, images: Tensor, data: Data, device: torch.device) -> Batch:
    labels = image_set.labels[positions].to(device)
    return Batch(
        normalise(images, data.mean, data.std),
        one_hot(labels, data.classes).float(),
        labels,
        image_set.indices[positions].to(device),
    )


def _reading(
    image_set: ImageSet, chunks: tuple[Tensor, ...], read: Callable[[Tensor], Tensor]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Each chunk of positions with its images, read ahead in a thread where the set decodes files."""
    if not image_set.decodes:
        for positions in chunks:
            yield positions, read(positions)
        return
    waiting: deque[tuple[Tensor, Future[Tensor]]] = deque()
    with ThreadPoolExecutor(1) as reader:
        try:
            for positions in chunks:
                waiting.append((positions, reader.submit(read, positions)))
                if len(waiting) > _READ_AHEAD:
                    first, images = waiting.popleft()
                    yield first, images.result()
            while waiting:
                first, images = waiting.popleft()
                yield first, images.result()
        finally:  # a consumer that stops early need not wait for batches nobody will see
            reader.shutdown(wait=False, cancel_futures=True)
