"""The Recipe: everything that decides the outcome of one training, and nothing else.

A Recipe is frozen, validated and torch-free. No default hides behind it: what a field is not told stands
in the resolved Recipe all the same (`ablate plan --full` prints it), and the Trial's identity is a hash
of it (see `neutral` for the fields that are switched off). Durations carry their unit in their name. Where a file is,
how many workers read it, how many processes train and which device computes are not here: they do not decide the
outcome.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import model_validator

from ablate.recipe.any_model import AnyModel
from ablate.recipe.augment import Augment
from ablate.recipe.data import Data
from ablate.recipe.distillation import Distillation
from ablate.recipe.model import Model
from ablate.recipe.section import JUDGING, NEUTRAL, Off, Section
from ablate.recipe.training import Compute, Ema, Loss, Optimizer, Schedule


class Recipe(Section):
    """Everything that decides the outcome of one training of the built-in vision trainer."""

    model: AnyModel
    """A preset by its name, a model of the space part by part, or a whole model by its name."""
    data: Data
    augment: Augment
    optimizer: Optimizer
    schedule: Schedule
    loss: Annotated[Loss, NEUTRAL] = Loss()
    distillation: Annotated[Distillation | Off, NEUTRAL] = "off"
    """From whom the model learns beside the labels, or `off`."""
    ema: Annotated[Ema | Off, NEUTRAL] = "off"
    """A moving average of the weights, evaluated beside them, or `off`. It leaves the weights themselves alone."""
    judge: Annotated[Literal["weights", "ema"], JUDGING] = "weights"
    """Whose metrics a Trial is compared by: those of the final weights, or of their average. It is not part of the
    training, so that two Variants that differ in it alone share their Trials."""
    precision: Literal["float32", "bfloat16", "float16"]
    """Of the forward pass (autocast); weights and optimiser stay in float32."""
    compute: Annotated[Compute, NEUTRAL] = Compute()

    @model_validator(mode="after")
    def _agreed(self) -> Recipe:
        if self.judge == "ema" and self.ema == "off":
            raise ValueError("judge: ema needs an ema")
        self._check_student()
        micro, batch = self.schedule.micro_batch, self.schedule.batch_size
        if micro != "off" and micro > batch:
            raise ValueError(f"schedule.micro_batch is {micro}, but a batch has only {batch} images")
        return self

    def _check_student(self) -> None:
        """Raise ValueError for a distillation head in a model that is known to have none."""
        if self.distillation == "off" or self.distillation.student != "distillation_head":
            return
        readout = self.model.readout.name if isinstance(self.model, Model) else None
        if readout is None or (":" not in readout and readout != "cls_distilled"):
            own = "a whole model" if readout is None else f"readout {readout}"
            head = "distillation.student is distillation_head"
            raise ValueError(f"{head}: readout cls_distilled has one, {own} has none")

    def resolved(self) -> dict[str, Any]:
        """Every value as plain JSON types, in a stable order."""
        return self.model_dump(mode="json")
