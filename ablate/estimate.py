"""How long Trials will take: from Trials like them that have finished, else from their FLOPs.

An estimate says what it rests on. It is for deciding whether to start, not for reporting: reports show
measured times.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from ablate.fit import stem_grid
from ablate.recipe import Recipe, WholeModel
from ablate.study.study import VISION, Study
from ablate.tracking.record import Record

#: Images in the packaged sources; a folder's are counted where it is on this machine.
PACKAGED_IMAGES = {"digits": 1797, "mnist5k": 5000}
IMAGENET_IMAGES = 1_281_167
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
        return Estimate({t.id: mean for t in study.trials}, basis)
    modelled, guessed = _filled({t.id: training_seconds(t.recipe) for t in study.trials})
    ratios = []
    for record in finished:
        expected = _known_seconds(record)
        if expected:
            ratios.append(record.seconds / expected)
    scale = median(ratios) if ratios else 1.0
    basis = (
        f"{_count(finished)}, scaled by FLOPs and steps"
        if ratios
        else "FLOPs and steps at an assumed speed of one CPU core; no Trial has finished here yet"
    )
    if guessed:
        basis += f"; {guessed} Trials of whole models, for which there is no formula, are taken for average ones"
    own = {r.trial_id: r.seconds for r in finished}
    return Estimate({i: own.get(i, None if s is None else s * scale) for i, s in modelled.items()}, basis)


def _known_seconds(record: Record) -> float | None:
    """As `training_seconds`; None also for a Recipe of another study that is none here, for want of its parts."""
    try:
        return training_seconds(record.recipe)
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
    """Time of a training at the assumed speed, s; None for a model without a formula."""
    recipe = Recipe.model_validate(resolved)
    forward = forward_flops(recipe)
    if forward is None:
        return None
    images = training_images(recipe)
    steps = recipe.schedule.epochs * (images // recipe.schedule.batch_size)
    # The backward pass costs twice the forward pass.
    return steps * (ASSUMED_STEP_S + 3 * forward * recipe.schedule.batch_size / ASSUMED_FLOPS_PER_S)


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


def training_images(recipe: Recipe) -> int:
    """Images in the training split; ImageNet-1k's number where the folder is not on this machine."""
    data = recipe.data
    location = data.location()
    whole = PACKAGED_IMAGES[data.source] if location is None else _files_in(location / "train") or IMAGENET_IMAGES
    return round(whole * (1 - data.test_fraction) * (1 - data.val_fraction))


@cache
def _files_in(folder: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(folder))
