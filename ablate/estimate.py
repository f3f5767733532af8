"""How long Trials will take: from Trials like them that have finished, else from their FLOPs.

An estimate says what it rests on. It is for deciding whether to start, not for reporting: reports show
measured times.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from ablate.fit import stem_grid
from ablate.recipe import Data, Recipe, WholeModel
from ablate.study.study import VISION, Study
from ablate.tracking.record import Record

#: Kind of source -> its splits, by the source's own names, and their images; a folder's are counted where it is on this
#: machine.
IMAGES: Mapping[str, Mapping[str, int]] = {
    "digits": {"train": 1797},
    "mnist5k": {"train": 5000},
    "cifar10": {"train": 50_000, "test": 10_000},
    "cifar100": {"train": 50_000, "test": 10_000},
    "imagenet": {"train": 1_281_167, "val": 50_000},
}
IMAGENET_CLASSES = 1000
#: What one slot is taken for as long as nothing was measured: one CPU core, eager PyTorch. Large matrices run
#: at the first figure; small ones spend their time on the second, the cost of launching a step's operators.
ASSUMED_FLOPS_PER_S = 3e10
ASSUMED_STEP_S = 6e-3


@dataclass(frozen=True)
class Estimate:
    """Expected training time of each Trial, s (None where nothing is known), and what that rests on."""

    seconds: Mapping[str, float | None]
    basis: str

    def total(self, trial_ids: Iterable[str]) -> float | None:
        """Time of several Trials one after the other, s; None as soon as one is unknown."""
        total = 0.0
        for trial_id in trial_ids:
            seconds = self.seconds[trial_id]
            if seconds is None:
                return None
            total += seconds
        return total


def estimate(study: Study, finished: Iterable[Record]) -> Estimate:
    """Estimate every Trial of a study from finished ones, of this study or of others with the same Trainable."""
    finished = [r for r in finished if r.status == "finished" and r.trainable == study.trainable and r.seconds > 0]
    if study.trainable != VISION:
        mean = median(r.seconds for r in finished) if finished else None
        basis = _count(finished) if finished else "nothing yet: no Trial of this Trainable has finished here"
        return Estimate({t.id: mean for t in study.all_trials}, basis)
    known: dict[str, float | None] = {}
    """Recipe, as text -> its training's time: a Variant's Trials share one, and so do their Records."""
    modelled, guessed = _filled({t.id: _remembered(training_seconds, t.recipe, known) for t in study.all_trials})
    ratios = []
    for record in finished:
        expected = _remembered(_known_seconds, record.recipe, known)
        if expected:
            ratios.append(record.seconds / expected)
    scale = median(ratios) if ratios else 1.0
    basis = (
        f"{_count(finished)}, scaled by FLOPs and steps"
        if ratios
        else "FLOPs and steps at an assumed speed of one CPU core; no Trial has finished here yet"
    )
    if guessed:
        basis += f"; {guessed} Trials of models without a formula, or of unknown data, are taken for average ones"
    own = {r.trial_id: r.seconds for r in finished}
    return Estimate({i: own.get(i, None if s is None else s * scale) for i, s in modelled.items()}, basis)


def _remembered(
    seconds: Callable[[Mapping[str, Any]], float | None], recipe: Mapping[str, Any], known: dict[str, float | None]
) -> float | None:
    text = json.dumps(recipe)
    if text not in known:
        known[text] = seconds(recipe)
    return known[text]


def _known_seconds(resolved: Mapping[str, Any]) -> float | None:
    """As `training_seconds`; None also for a Recipe of another study that is none here, for want of its parts."""
    try:
        return training_seconds(resolved)
    except ValueError:
        return None


def _filled(modelled: Mapping[str, float | None]) -> tuple[dict[str, float | None], int]:
    """With the median of those that are known in place of those that are not, and how many that were."""
    known = [seconds for seconds in modelled.values() if seconds is not None]
    if not known:
        return dict(modelled), 0
    typical = median(known)
    filled: dict[str, float | None] = {i: typical if s is None else s for i, s in modelled.items()}
    return filled, len(modelled) - len(known)


def _count(finished: list[Record]) -> str:
    return "one finished Trial" if len(finished) == 1 else f"{len(finished)} finished Trials"


def training_seconds(resolved: Mapping[str, Any]) -> float | None:
    """Time of a training at the assumed speed, s; None for a model without a formula, or data of unknown size."""
    recipe = Recipe.model_validate(resolved)
    forward, images = forward_flops(recipe), training_images(recipe)
    if forward is None or images is None:
        return None
    # An epoch keeps its number of updates whatever `augment.repeats` is. The backward pass costs twice the forward
    # pass. A teacher's forward pass is added where its model is known here; an average of the weights costs none.
    steps = recipe.schedule.epochs * (images // recipe.schedule.batch_size)
    passes = forward * (4 if recipe.compute.checkpoint_activations else 3) + (_teacher_flops(recipe) or 0)
    return steps * (ASSUMED_STEP_S + passes * recipe.schedule.batch_size / ASSUMED_FLOPS_PER_S)


def _teacher_flops(recipe: Recipe) -> float | None:
    """Of the teacher's forward pass, one image; None without a teacher, or where its model has no formula here."""
    if recipe.distillation == "off" or recipe.distillation.teacher.model is None:
        return None
    teacher = recipe.distillation.teacher
    size = teacher.image_size or recipe.data.image_size
    data = recipe.data.model_copy(update={"image_size": size})
    return forward_flops(recipe.model_copy(update={"model": teacher.model, "data": data}))


def forward_flops(recipe: Recipe) -> float | None:
    """FLOPs of one image's forward pass, two to a multiply-add; None for a whole model, or one with a mixer or
    feed-forward of the user's own, which have no formula here.

    Only the blocks count, and the projection of linear patches: norms, activations, other stems, readout and head
    are left out. Per block of N tokens (the grid's and the class token's alike) and width D: 8 N D^2 for q, k, v and
    the projection and 4 N^2 D for the two attention products, or 4 N H D for a token MLP of H hidden units, or
    2 N^2 D for a linear layer across patches; and 4 r N D^2 for a feed-forward of ratio r.
    """
    model, data = recipe.model, recipe.data
    if isinstance(model, WholeModel):
        return None
    grid = stem_grid(recipe)
    if grid is None:
        return None
    tokens, dim = math.prod(grid), model.dim
    if ":" in model.mixer.name or ":" in model.feed_forward.name:
        return None
    mixing = {
        "none": 0,
        "token_mlp": 4 * tokens * model.mixer.options.get("hidden", 0) * dim,
        "cross_patch_linear": 2 * tokens**2 * dim,
    }.get(model.mixer.name, 8 * tokens * dim**2 + 4 * tokens**2 * dim)
    block = mixing + 4 * model.feed_forward.options.get("ratio", 4.0) * tokens * dim**2
    patch = model.stem.options.get("patch_size", 0) if model.stem.name == "patches" else 0
    return float(model.depth * block + 2 * tokens * patch**2 * data.channels * dim)


def training_images(recipe: Recipe) -> int | None:
    """Images that an epoch trains on; None where nobody knows.

    A folder's are counted where it is on this machine. Elsewhere, and for timm's readers, a source of 1,000 classes is
    taken for ImageNet-1k.
    """
    data = recipe.data
    whole = _split_images(data, data.train_split)
    return None if whole is None else round(whole * (1 - data.test_fraction) * (1 - data.val_fraction))


def held_out_images(recipe: Recipe) -> int | None:
    """Images that an epoch is evaluated on; None where nobody knows."""
    data = recipe.data
    whole = _split_images(data, data.train_split)
    if data.evaluate_on == "val":
        return None if whole is None else round(whole * (1 - data.test_fraction) * data.val_fraction)
    if data.test_split is None and data.test_fraction:
        return None if whole is None else round(whole * data.test_fraction)
    return _split_images(data, data.test_split or "val")


def _split_images(data: Data, split: str) -> int | None:
    location, known = data.location(), IMAGES.get(data.kind)
    if data.kind in ("imagefolder", "imagenet") and location is not None:
        counted = _files_in(location / split)
        if counted:
            return counted
    if known is None and data.classes == IMAGENET_CLASSES:
        known = IMAGES["imagenet"]
        split = "train" if split == data.train_split else "val"  # as the reader calls them
    return (known or {}).get(split)


@cache
def _files_in(folder: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(folder))
