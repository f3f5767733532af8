"""What the Trials of a study would cost on an accelerator: FLOPs, and hours at a share of the device's peak.

The forward pass of each model is counted as it is built (`ablate.models.measure`), whole models and timm's included.
Training takes three times that for each image (the backward pass costs two), a fourth where activations are computed
again, and the teacher's forward pass under distillation, on images of its own size; each epoch ends with a forward pass
over the held-out images, a second one where an average of the weights is judged beside them. Left out are the optimiser
and the average itself, a few operations a parameter and update, and everything that does not multiply matrices: the
share of the peak covers it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ablate.devices import Device, DeviceError
from ablate.estimate import held_out_images, training_images
from ablate.recipe import Data, Model, Recipe, WholeModel
from ablate.study.study import VISION, ResolvedRecipe, Study
from ablate.tracking.spool import Spool

#: Id of a Trial -> its Recipe, or None where the Trial is not known.
RecipeOf = Callable[[str], ResolvedRecipe | None]


class CostError(ValueError):
    """A cost that cannot be told; the message is one line for the user."""


@dataclass(frozen=True)
class TrialCost:
    """One training."""

    forward_flops: int
    """One image's forward pass, two to a multiply-add."""
    flops: float
    """The whole training, evaluations included."""
    hours: float
    """Of one device."""


@dataclass(frozen=True)
class StudyCost:
    """A study's Trials on one kind of device."""

    device: Device
    utilisation: Mapping[str, float]
    """What multiplies (`Peak.units`) -> the share of its peak that is assumed."""
    variants: Mapping[str, TrialCost]
    """Variant, or teacher, -> the cost of one of its Trials."""
    trials: Mapping[str, TrialCost]
    """Trial id -> its cost; one that several Variants share is here once."""
    left: frozenset[str]
    """Ids of the Trials that a run would train."""
    notes: tuple[str, ...]
    """What is not in the numbers."""

    def hours(self, *, left: bool = False) -> float:
        """Hours of one device for all Trials, or for those that are left."""
        return sum(cost.hours for i, cost in self.trials.items() if i in self.left or not left)

    def as_json(self) -> dict[str, Any]:
        """The cost for programs."""
        return {
            "device": self.device.name,
            "source": self.device.source,
            "utilisation": dict(self.utilisation),
            "variants": [
                {
                    "name": name,
                    "forward_flops": cost.forward_flops,
                    "training_flops": cost.flops,
                    "gpu_hours": cost.hours,
                }
                for name, cost in self.variants.items()
            ],
            "training_flops": sum(cost.flops for cost in self.trials.values()),
            "gpu_hours": self.hours(),
            "gpu_hours_left": self.hours(left=True),
            "notes": list(self.notes),
        }


def cost_of(
    study: Study,
    device: Device,
    utilisation: float | None = None,
    *,
    left: Collection[str] = (),
    recipe_of: RecipeOf = lambda _: None,
) -> StudyCost:
    """Count every Trial, the study's teachers included. ``left`` are the ids that a run would train.

    ``utilisation`` is a share of the peak, 0 to 1; None takes what published trainings reach (`ablate.devices`).
    ``recipe_of`` finds a teacher that is a Trial. Raises `CostError`. Imports torch.
    """
    if study.trainable != VISION:
        raise CostError(f"what {study.trainable} computes is not known here: --device is for the built-in trainer")
    known = {trial.id: trial.recipe for trial in study.teachers}
    notes: dict[str, None] = {}
    shares: dict[str, float] = {}
    variants: dict[str, TrialCost] = {}
    trials: dict[str, TrialCost] = {}
    for trial in (*study.teachers, *study.trials):
        if trial.variant not in variants:
            recipe = Recipe.model_validate(trial.recipe)
            try:
                teacher, lacks = _teacher_flops(recipe, lambda i: known.get(i) or recipe_of(i))
                cost, share = _one(recipe, device, utilisation, teacher)
            except (CostError, DeviceError) as error:
                raise CostError(f"{trial.variant}: {error}") from None
            variants[trial.variant] = cost
            shares |= share
            notes |= dict.fromkeys([*lacks, *_unknown(recipe)])
        trials.setdefault(trial.id, variants[trial.variant])
    return StudyCost(device, shares, variants, trials, frozenset(left), tuple(notes))


def _one(
    recipe: Recipe, device: Device, utilisation: float | None, teacher_flops: float
) -> tuple[TrialCost, dict[str, float]]:
    """The cost of one training, and the share of the peak that it rests on."""
    images = training_images(recipe)
    if images is None:
        raise CostError(f"how many images {recipe.data.source} has is not known here")
    forward = _forward_flops(_without_chance(recipe.model), recipe.data, recipe.data.image_size)
    peak = device.peak(recipe)
    share = peak.usual_share if utilisation is None else utilisation
    batch, epochs = recipe.schedule.batch_size, recipe.schedule.epochs
    passes = 4 if recipe.compute.checkpoint_activations else 3
    an_epoch = images // batch * batch * (passes * forward + teacher_flops)
    judged = 1 if recipe.ema == "off" else 2
    flops = epochs * (an_epoch + judged * (held_out_images(recipe) or 0) * forward)
    return TrialCost(forward, flops, flops / (peak.flops_per_s * share) / 3600), {peak.units: share}


def _unknown(recipe: Recipe) -> list[str]:
    if held_out_images(recipe) is None:
        return [f"how many images of {recipe.data.source} are held out is not known here: evaluations are left out"]
    return []


def _teacher_flops(recipe: Recipe, recipe_of: RecipeOf) -> tuple[float, list[str]]:
    """FLOPs of the teacher's forward pass, one image, and what is not known of it."""
    if recipe.distillation == "off":
        return 0, []
    teacher = recipe.distillation.teacher
    model, data, size = teacher.model, recipe.data, teacher.image_size
    if model is None:
        resolved = recipe_of(teacher.checkpoint.partition(":")[2])
        if resolved is None:
            return 0, [f"the teacher {teacher.checkpoint} is not known here: its forward passes are left out"]
        own = Recipe.model_validate(resolved)
        model, data, size = own.model, own.data, size or own.data.image_size
    return _forward_flops(_without_chance(model), data, size or recipe.data.image_size), []


def recipes_in(home: Path) -> RecipeOf:
    """Looks Trials up in a spool."""

    def recipe_of(trial_id: str) -> ResolvedRecipe | None:
        record = Spool(home).records([trial_id]).get(trial_id)
        return None if record is None else record.recipe

    return recipe_of


def _without_chance(model: Model | WholeModel) -> Model | WholeModel:
    """The same model but for what does not act in a forward pass, so that each is counted once."""
    if isinstance(model, WholeModel):
        return model
    return model.model_copy(
        update={"dropout": 0.0, "attention_dropout": 0.0, "stochastic_depth": 0.0, "init": "truncated_normal"}
    )


def _forward_flops(model: Model | WholeModel, data: Data, size: int) -> int:
    return _counted(model, data.model_copy(update={"image_size": size}))


@cache
def _counted(model: Model | WholeModel, data: Data) -> int:
    """FLOPs of one image's forward pass of the model as it is built. Raises `CostError` where it cannot be."""
    import torch

    from ablate.models.build import build
    from ablate.models.measure import forward_flops

    try:
        with torch.device("meta"):
            made = build(model, data)
        return forward_flops(made, (data.image_size, data.image_size), data.channels)
    except Exception as error:  # whatever a model of the user's own raises
        line = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise CostError(f"its model cannot be counted: {line}") from error


def render_cost(cost: StudyCost) -> RenderableType:
    """The cost for the terminal: Variant by Variant, and in total."""
    table = Table(title="cost of one Trial", title_justify="left", box=None)
    for heading in ("Variant", "forward, an image", "training", "GPU-hours"):
        table.add_column(heading, justify="left" if heading == "Variant" else "right", overflow="fold")
    for name, one in cost.variants.items():
        table.add_row(Text(name), f"{one.forward_flops / 1e9:.3g} GFLOPs", f"{one.flops:.2e} FLOPs", _hours(one.hours))
    shares = " and ".join(f"{share:.0%} of the peak in {units}" for units, share in cost.utilisation.items())
    total = (
        f"{len(cost.trials)} Trials: {_hours(cost.hours())} GPU-hours of {cost.device.name}, "
        f"{_hours(cost.hours(left=True))} of them still to train, at {shares} ({cost.device.source})"
    )
    return Group(Text(""), table, Text("\n".join(["", total, *cost.notes])))


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.3g}"
