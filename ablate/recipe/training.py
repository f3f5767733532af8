"""How a Recipe's weights are updated, and for how long."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ablate.recipe.section import Off, Section


class Optimizer(Section):
    """How weights are updated."""

    name: Literal["adamw"]
    """AdamW (Loshchilov and Hutter, arXiv 1711.05101), torch's fused implementation."""
    learning_rate: Annotated[float, Field(gt=0.0)]
    """Peak learning rate."""
    beta1: Annotated[float, Field(ge=0.0, lt=1.0)]
    """Decay of the first moment."""
    beta2: Annotated[float, Field(ge=0.0, lt=1.0)]
    """Decay of the second moment."""
    eps: Annotated[float, Field(gt=0.0)]
    """Added to the root of the second moment."""
    weight_decay: Annotated[float, Field(ge=0.0)]
    """Decoupled decay, multiplied by the learning rate. big_vision's 1e-4 at learning rate 1e-3 is 0.1 here."""
    decay: Literal["kernels", "all"]
    """`kernels`: only the weights of dense layers and convolutions. `all`: every parameter."""
    clip_norm: Annotated[float, Field(gt=0.0)] | Off
    """Largest global norm of the gradient, or `off`."""


class Schedule(Section):
    """How long, in what portions, and at what rate."""

    epochs: Annotated[int, Field(gt=0)]
    """Passes over the training images."""
    batch_size: Annotated[int, Field(gt=0)]
    """Images per update; the last incomplete batch of an epoch is dropped."""
    warmup_steps: Annotated[int, Field(ge=0)] | None = None
    """Linear warm-up from zero, in updates. Give this or `warmup_epochs`."""
    warmup_epochs: Annotated[float, Field(ge=0.0)] | None = None
    """Linear warm-up from zero, in epochs. Give this or `warmup_steps`."""
    decay: Literal["cosine", "constant"]
    """After the warm-up: half a cosine down to zero at the last update, or none."""

    @model_validator(mode="after")
    def _one_warmup(self) -> Schedule:
        if (self.warmup_steps is None) == (self.warmup_epochs is None):
            raise ValueError("give exactly one of warmup_steps and warmup_epochs (set the other to null)")
        return self
