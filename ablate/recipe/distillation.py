"""From whom a Recipe's model learns beside the labels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ablate.recipe.any_model import AnyModel
from ablate.recipe.data import Deviation, DeviationPerChannel, Number, PerChannel
from ablate.recipe.section import NEUTRAL, Section
from ablate.recipe.whole import WholeModel

CHECKPOINT_PATTERN = r"^(study:[^\s=,/\\*?\[\]:.][^\s=,/\\*?\[\]:]*|trial:[0-9a-f]{16}|file:.+|timm)$"


class Teacher(Section):
    """A trained model whose logits are learnt from. It is never trained itself here."""

    checkpoint: Annotated[str, Field(pattern=CHECKPOINT_PATTERN)]
    """`study:NAME`: one of the study's own `teachers`, trained first; a resolved Recipe has its Trial's id here.
    `trial:ID`: a finished Trial. `file:PATH`: weights (a `state_dict`, or a file with one under `model`, `state_dict`
    or `model_ema`); a relative path starts at `$ABLATE_DATA`. `timm`: the weights that timm has for `model`,
    downloaded. Where a file lies is not part of a Trial's identity, what is in it is."""
    model: Annotated[AnyModel | None, NEUTRAL] = None
    """The teacher's model; for `file:PATH` and `timm`. A Trial knows its own."""
    tag: Annotated[str | None, NEUTRAL] = None
    """Which of timm's weights for `model`, for `timm`: `deit_in1k`, say. null: timm's first choice."""
    image_size: Annotated[Annotated[int, Field(gt=0)] | None, NEUTRAL] = None
    """Side of the images that the teacher sees, px: resized from the student's, bicubically. null: the Trial's
    own or timm's, else the student's."""
    mean: Annotated[Number | PerChannel | None, NEUTRAL] = None
    """Of the teacher's normalisation. null: the Trial's own or timm's, else the student's."""
    std: Annotated[Deviation | DeviationPerChannel | None, NEUTRAL] = None
    """Of the teacher's normalisation. null: the Trial's own or timm's, else the student's."""

    @model_validator(mode="after")
    def _known_model(self) -> Teacher:
        own = self.checkpoint.startswith(("study:", "trial:"))
        if own and self.model is not None:
            raise ValueError(f"the model of {self.checkpoint} is that of its Trial; leave 'model' out")
        if not own and self.model is None:
            raise ValueError(f"{self.checkpoint} needs the 'model' whose weights these are")
        if self.tag is not None and self.checkpoint != "timm":
            raise ValueError(f"'tag' chooses among timm's weights, and the checkpoint is {self.checkpoint}")
        if self.checkpoint == "timm" and not (isinstance(self.model, WholeModel) and self.model.timm_name):
            raise ValueError("weights of timm's need a 'model' of timm's: timm/NAME")
        return self


class Distillation(Section):
    """Knowledge distillation (Hinton et al., arXiv 1503.02531; DeiT, arXiv 2012.12877, section 4)."""

    teacher: Teacher
    """Whose logits are learnt."""
    kind: Literal["soft", "hard"] = "hard"
    """`hard`: cross-entropy with the teacher's decision (DeiT, eq. 3). `soft`: Kullback-Leibler divergence from the
    teacher's softened distribution, times the squared temperature (DeiT, eq. 2)."""
    temperature: Annotated[float, Field(gt=0.0)] = 3.0
    """Divides both logits where the kind is `soft`."""
    weight: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """Share of the teacher's term in the loss; the labels' has the rest (DeiT .5 for hard, .1 for soft)."""

    @model_validator(mode="after")
    def _of_its_kind(self) -> Distillation:
        if self.kind == "hard" and self.temperature != 3.0:
            raise ValueError("temperature is for kind: soft; a hard decision has none")
        return self

    student: Literal["class_head", "distillation_head"] = "class_head"
    """Which of the model's heads learns from the teacher: that which learns from the labels, or one of its own, which
    the readout `cls_distilled` has."""
