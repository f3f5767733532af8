"""How a Recipe's weights are updated, and for how long."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from ablate.parts import PartError
from ablate.recipe.section import NEUTRAL, Off, Section
from ablate.timm_source import optimizer_names
from ablate.wording import nearest

#: Trained by torch's fused kernel directly; every other name is timm's factory's.
ADAMW = "adamw"


def _known_optimizer(value: Any) -> Any:
    if isinstance(value, str) and value != ADAMW and value not in optimizer_names():
        names = (ADAMW, *optimizer_names())
        raise PartError(f"timm's factory has no optimizer named {value!r}{nearest(value, names)}")
    return value


class LinearScaling(Section):
    """The learning rate grows with the batch (Goyal et al., arXiv 1706.02677)."""

    rule: Literal["linear"] = "linear"
    """The peak is `learning_rate` times batch size, divided by `batch_size` here."""
    batch_size: Annotated[int, Field(gt=0)]
    """The batch for which `learning_rate` is given (DeiT 512)."""


class Optimizer(Section):
    """How weights are updated."""

    name: Annotated[str, BeforeValidator(_known_optimizer)]
    """`adamw`: AdamW (Loshchilov and Hutter, arXiv 1711.05101), torch's fused implementation. Any other name is that
    of timm's factory: `sgd`, `lamb`, `lion`, ..."""
    learning_rate: Annotated[float, Field(gt=0.0)]
    """Peak learning rate."""
    scaling: Annotated[LinearScaling | Off, NEUTRAL] = "off"
    """How the peak depends on the batch, or `off`: not at all."""
    beta1: Annotated[float, Field(ge=0.0, lt=1.0)]
    """Decay of the first moment; the momentum of optimizers that have no second one."""
    beta2: Annotated[float, Field(ge=0.0, lt=1.0)]
    """Decay of the second moment, for optimizers that have one."""
    eps: Annotated[float, Field(gt=0.0)]
    """Added to the root of the second moment, for optimizers that have one."""
    options: Annotated[dict[str, float | int | bool | str], NEUTRAL] = {}
    """Further options of timm's optimizer, by its own names."""
    weight_decay: Annotated[float, Field(ge=0.0)]
    """Decay of the weights: for `adamw` decoupled, and multiplied by the learning rate, so that big_vision's 1e-4 at
    learning rate 1e-3 is 0.1 here; for timm's as each of them does it."""
    decay: Literal["kernels", "matrices", "all"]
    """`kernels`: only the weights of dense layers and convolutions. `matrices`: every parameter of two dimensions or
    more, but those that the model asks to be left alone: position embeddings and tokens (timm). `all`: every one."""
    layer_decay: Annotated[float, Field(gt=0.0, le=1.0), NEUTRAL] = 1.0
    """Factor of the learning rate from one block to the one below it (BEiT, arXiv 2106.08254); 1 is none."""
    clip_norm: Annotated[float, Field(gt=0.0)] | Off
    """Largest global norm of the gradient, or `off`."""

    @model_validator(mode="after")
    def _options_of_timms(self) -> Optimizer:
        if self.name == ADAMW and self.options:
            raise ValueError("options are for timm's optimizers; those of adamw are fields of their own")
        return self

    def __hash__(self) -> int:
        return hash(self.model_dump_json())  # `options` is a dict, which has no hash of its own

    def peak_rate(self, batch_size: int) -> float:
        """The peak learning rate at a batch size."""
        if self.scaling == "off":
            return self.learning_rate
        return self.learning_rate * batch_size / self.scaling.batch_size


class Schedule(Section):
    """How long, in what portions, and at what rate."""

    epochs: Annotated[int, Field(gt=0)]
    """Passes over the training images."""
    batch_size: Annotated[int, Field(gt=0)]
    """Images per update; the last incomplete batch of an epoch is dropped."""
    micro_batch: Annotated[Annotated[int, Field(gt=0)] | Off, NEUTRAL] = "off"
    """Images that go through the model at a time; their gradients are added up to that of the batch. `off`: all of
    them. The update is the same but for rounding, except with BatchNorm, which then normalises by micro-batch, and with
    layers that draw by other means than torch's, or with images in another dimension than the first."""
    warmup_steps: Annotated[int, Field(ge=0)] | None = None
    """Linear warm-up, in updates. Give this or `warmup_epochs`."""
    warmup_epochs: Annotated[float, Field(ge=0.0)] | None = None
    """Linear warm-up, in epochs. Give this or `warmup_steps`."""
    warmup_rate: Annotated[float, Field(ge=0.0), NEUTRAL] = 0.0
    """Learning rate at which the warm-up begins (DeiT 1e-6)."""
    warmup_inside: Annotated[bool, NEUTRAL] = False
    """Whether the decay has been going on since the first update when the warm-up ends (timm's default), or begins
    there (big_vision; timm's `warmup_prefix`)."""
    decay: Literal["cosine", "linear", "constant"]
    """After the warm-up: half a cosine, or a straight line, down to `final_rate` one past the last update, or none."""
    final_rate: Annotated[float, Field(ge=0.0), NEUTRAL] = 0.0
    """Learning rate at which the decay ends (DeiT and CeiT 1e-5)."""
    rate_changes: Annotated[Literal["every_step", "every_epoch"], NEUTRAL] = "every_step"
    """`every_epoch`: each epoch has one rate, that of its first update (DeiT)."""

    @model_validator(mode="after")
    def _one_warmup(self) -> Schedule:
        if (self.warmup_steps is None) == (self.warmup_epochs is None):
            raise ValueError("give exactly one of warmup_steps and warmup_epochs (set the other to null)")
        return self


class Loss(Section):
    """What is minimised."""

    kind: Annotated[Literal["softmax", "sigmoid"], NEUTRAL] = "softmax"
    """`softmax`: cross-entropy. `sigmoid`: binary cross-entropy, summed over classes (Beyer et al., arXiv
    2006.07159)."""
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0), NEUTRAL] = 0.0
    """Share of the target that is spread evenly over all classes (Szegedy et al., arXiv 1512.00567)."""


class Ema(Section):
    """An exponential moving average of the weights, evaluated beside them."""

    decay: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.9999
    """Share of the average that an update keeps (DeiT .99996)."""
    warmup: bool = False
    """Whether the decay of update t is at most (1 + t) / (10 + t), so that the average forgets the first weights."""


class Compute(Section):
    """How numbers are computed, as far as it may change their last digits."""

    tf32: Annotated[bool, NEUTRAL] = False
    """Matrix products and convolutions in float32 may round their factors to TF32, on GPUs that have it."""
    compile: Annotated[bool, NEUTRAL] = False
    """Compile the model with `torch.compile`. A model that draws runs uncompiled where batches are cut."""
    channels_last: Annotated[bool, NEUTRAL] = False
    """Images and convolutions in channels-last memory format."""
    checkpoint_activations: Annotated[bool, NEUTRAL] = False
    """Compute each block's activations again in the backward pass instead of keeping them. Blocks with batch norms are
    then compiled in pieces only."""
