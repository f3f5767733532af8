"""The teacher while a student trains: a model that is asked for its logits, and not trained.

It sees what the student sees, augmentation and mixing included (DeiT, arXiv 2012.12877, section 4), in its own size
and normalisation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ablate.data.batches import Batch, eval_batches
from ablate.data.image_sets import ImageSet
from ablate.draws import derive
from ablate.recipe import Augment, Data, Recipe, Teacher
from ablate.training.device import forward_precision
from ablate.training.objective import Teaches
from ablate.training.teacher_weights import trained_model

_AT_ONCE = 256
"""Images for which a teacher is asked in one go where its answers are kept."""
_STAND_IN_SIDE = 16
_KEPT_BYTES = 2**30
"""Answers of more than this are not kept: they would take the model's own memory."""


def make_teacher(recipe: Recipe, train_set: ImageSet, folder: Path, device: torch.device) -> Teaches | None:
    """The teacher of a Recipe, ready to be asked, or None where it has none; in the Recipe's precision.

    Where training images look the same in every epoch, and its answers are not too many, all are shown to it now, and
    it is not kept. Raises ValueError as `load_teacher` does.
    """
    if recipe.distillation == "off":
        return None
    precision = forward_precision(recipe.precision, device)
    teacher = load_teacher(recipe.distillation.teacher, recipe.data, folder, device, precision)
    if not caches(recipe.augment) or 4 * len(train_set) * recipe.data.classes > _KEPT_BYTES:
        return teacher
    return KeptLogits(teacher, eval_batches(train_set, recipe.data, _AT_ONCE, device))


def caches(augment: Augment) -> bool:
    """Whether a training image looks the same whenever it comes."""
    return augment == Augment(crop="off", flip=False, randaug="off", mixup="off", repeats=augment.repeats)


def load_teacher(
    settings: Teacher,
    data: Data,
    folder: Path,
    device: torch.device,
    precision: AbstractContextManager[object] = nullcontext(),  # noqa: B008 - it has no state
) -> TeacherModel:
    """The model that ``settings`` name, for a student that sees images as ``data`` say.

    A Trial's Recipe and weights are read from ``folder/needs/ID/``. Raises ValueError, in a sentence, where weights
    are missing or do not fit the model, and where the teacher knows other classes, channels or sizes of images.
    """
    model, own = trained_model(settings, data, folder)
    teacher = TeacherModel(model, own, data, device, precision)
    probe = torch.zeros(1, data.channels, data.image_size, data.image_size, device=device)
    try:
        shape = tuple(teacher.ask(probe).shape)
    except Exception as error:
        size = f"{own.image_size} x {own.image_size} px"
        raise ValueError(f"teacher {settings.checkpoint} cannot look at images of {size}: {error}") from error
    if shape != (1, data.classes):
        raise ValueError(f"teacher {settings.checkpoint} gives {shape} for one image, not (1, {data.classes}) logits")
    return teacher


class TeacherModel:
    """A trained model in eval mode, which looks at the student's images in its own size and normalisation.

    Images are resized bicubically, with antialiasing, as PIL does but for rounding and clipping: erased and mixed
    pixels may lie outside the range of colours. A model with two heads answers with the mean of theirs.
    """

    def __init__(
        self,
        model: nn.Module,
        own: Data,
        student: Data,
        device: torch.device,
        precision: AbstractContextManager[object] = nullcontext(),  # noqa: B008 - it has no state
    ) -> None:
        self._model = model.to(device).eval().requires_grad_(False)
        self._precision = precision
        self._size = own.image_size
        factor, shift = _renormalisation(student, own)
        self._normalised_alike = bool((factor == 1.0).all() and (shift == 0.0).all())
        self._factor, self._shift = (torch.from_numpy(v).float().to(device).view(-1, 1, 1) for v in (factor, shift))

    def logits(self, batch: Batch) -> Tensor:
        """See `Teaches`."""
        return self.ask(batch.images)

    @torch.no_grad()
    def ask(self, images_BCHW: Tensor) -> Tensor:
        """Logits (B, K), float32, for images as the student sees them."""
        own_BCHW = images_BCHW if self._normalised_alike else images_BCHW * self._factor + self._shift
        if own_BCHW.shape[-2:] != (self._size, self._size):
            own_BCHW = F.interpolate(own_BCHW, size=(self._size, self._size), mode="bicubic", antialias=True)
        with self._precision:
            logits_BK: Tensor = self._model(own_BCHW)
        return logits_BK.float()


class KeptLogits:
    """What a teacher says of each image of a set, asked once and kept on the device.

    All are asked in the set's order and in batches of one size, so that answers do not depend on the order of an epoch:
    a Trial that goes on from a checkpoint gets the same bits as one that was never stopped. Matrix products round
    otherwise in batches of another size, so that these differ from what the teacher would say of a batch of the
    training in their last digits.
    """

    def __init__(self, teacher: TeacherModel, batches: Iterable[Batch]) -> None:
        asked = [(batch.indices, teacher.ask(batch.images)) for batch in batches]
        indices_N = torch.cat([indices for indices, _ in asked])
        logits_NK = torch.cat([logits for _, logits in asked])
        # An image that was not asked for would make the loss NaN, and not go unnoticed.
        self._kept = logits_NK.new_full((int(indices_N.max()) + 1, logits_NK.shape[1]), math.nan)
        self._kept[indices_N] = logits_NK

    def logits(self, batch: Batch) -> Tensor:
        """See `Teaches`; the images themselves are not looked at."""
        return self._kept[batch.indices]


class StandInTeacher:
    """In place of one that is not trained yet: a random projection of the images, in their precision.

    It tells images apart, and says the same of the same image; another seed is another teacher. Images are first
    averaged to at most 16 x 16 px, as a projection from 224 x 224 px to 1,000 classes would be larger than a model.
    """

    def __init__(self, classes: int, seed: int) -> None:
        self._classes = classes
        self._seed = derive(seed, "stand-in teacher")

    @torch.no_grad()
    def logits(self, batch: Batch) -> Tensor:
        """See `Teaches`."""
        images_BCHW = batch.images
        height, width = (min(length, _STAND_IN_SIDE) for length in images_BCHW.shape[-2:])
        values_BX = F.adaptive_avg_pool2d(images_BCHW, (height, width)).flatten(1)
        shape = (values_BX.shape[1], self._classes)
        projection_XK = np.random.default_rng(self._seed).standard_normal(shape) / math.sqrt(shape[0])
        return values_BX @ torch.from_numpy(projection_XK).to(values_BX)


def _renormalisation(student: Data, own: Data) -> tuple[np.ndarray, np.ndarray]:
    """Factor and shift, one for all channels or one for each, from one normalisation to another."""
    mean, std, own_mean, own_std = (np.atleast_1d(v) for v in (student.mean, student.std, own.mean, own.std))
    return std / own_std, (mean - own_mean) / own_std
