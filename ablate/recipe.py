"""The Recipe: everything that decides the outcome of one training, and nothing else.

A Recipe is frozen, validated and torch-free. No default hides behind it: what a field is not told stands
in the resolved Recipe all the same (`ablate plan --full` prints it), and the Trial's identity is a hash
of the whole. Durations carry their unit in their name. Where a file is, how many workers read it and
which device computes are not here: they do not decide the outcome.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic.json_schema import WithJsonSchema

from ablate.parts import KINDS, PartError, options_of, target_of
from ablate.wording import EXPECTED, listing, nearest, shown

Off = Literal["off"]
SOURCE_PATTERN = r"^(digits|mnist5k|imagefolder:.+)$"
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Dropout = Annotated[float, Field(ge=0.0, lt=1.0)]


class Section(BaseModel):
    """A frozen group of fields that takes no unknown key and converts no type."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Part(BaseModel):
    """A part of the model by name, with every option it has: in YAML ``sincos2d``, or ``{name: sincos2d, ...}``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    options: dict[str, Any]

    def __hash__(self) -> int:
        return hash((self.name, tuple(sorted(self.options.items()))))


def resolve_part(kind: str, value: Any) -> Part:
    """Check a part of ``kind`` as a study wrote it, and fill in the defaults of its options.

    Raises `PartError` (a ValueError) with the names allowed and the nearest one.
    """
    if isinstance(value, Part):
        return value
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        got = "a mapping without a name" if isinstance(value, Mapping) else shown(value)
        raise PartError(f"a {kind} must be a name, or a mapping with a name and its options, not {got}")
    name, given = value["name"], {k: v for k, v in value.items() if k != "name"}
    options = options_of(target_of(kind, name))
    for key in given:
        if key not in options:
            message = f"{kind} {name!r} has no option {key!r}; {listing(options)}{nearest(key, options)}"
            raise PartError(message, key)
    resolved = {}
    for key, option in options.items():
        if key not in given and option.required:
            raise PartError(f"{kind} {name!r} needs the option {key!r}: {{name: {name}, {key}: ...}}")
        chosen = given.get(key, option.default)
        try:
            resolved[key] = TypeAdapter(option.annotation).validate_python(chosen, strict=True)
        except ValidationError as error:
            found = [EXPECTED.get(e["type"], e["msg"].removeprefix("Input should be ")) for e in error.errors()]
            expected = " or ".join(dict.fromkeys(found))
            message = f"option {key!r} of {kind} {name!r} must be {expected}, not {shown(chosen)}"
            raise PartError(message, key) from None
        except PydanticUserError as error:
            raise PartError(f"option {key!r} of {name!r} has a type that cannot be checked: {error.message}") from None
    return Part(name=name, options=resolved)


def _check_part(value: Any, info: ValidationInfo) -> Part:
    assert info.field_name is not None
    return resolve_part(info.field_name, value)


def _part_schema(kind: str) -> dict[str, Any]:
    own = {"type": "string", "pattern": "^[A-Za-z_][\\w.]*:[A-Za-z_]\\w*$"}
    name = {"anyOf": [{"enum": list(KINDS[kind])}, own]}
    return {"anyOf": [name, {"type": "object", "properties": {"name": name}, "additionalProperties": True}]}


def _flatten_part(part: Part) -> dict[str, Any]:
    return {"name": part.name, **part.options}


_CHECK = BeforeValidator(_check_part)
_DUMP = PlainSerializer(_flatten_part, return_type=dict[str, Any])
Stem = Annotated[Part, _CHECK, _DUMP, WithJsonSchema(_part_schema("stem"))]
Position = Annotated[Part, _CHECK, _DUMP, WithJsonSchema(_part_schema("position"))]
Attention = Annotated[Part, _CHECK, _DUMP, WithJsonSchema(_part_schema("attention"))]
FeedForward = Annotated[Part, _CHECK, _DUMP, WithJsonSchema(_part_schema("feed_forward"))]
Norm = Annotated[Part, _CHECK, _DUMP, WithJsonSchema(_part_schema("norm"))]
Readout = Annotated[Part, _CHECK, _DUMP, WithJsonSchema(_part_schema("readout"))]
Head = Annotated[Part, _CHECK, _DUMP, WithJsonSchema(_part_schema("head"))]


class Model(Section):
    """A vision transformer, part by part."""

    dim: Annotated[int, Field(gt=0)]
    """Width of the tokens."""
    depth: Annotated[int, Field(gt=0)]
    """Number of encoder blocks."""
    stem: Stem
    """From image to patch tokens."""
    position: Position
    """Position embedding, added at the stem."""
    position_covers: Literal["patches", "all"]
    """`patches`: added before the class token is prepended (big_vision).
    `all`: the class token has a position too (ViT, timm)."""
    attention: Attention
    """How tokens mix."""
    feed_forward: FeedForward
    """How channels mix."""
    norm: Norm
    """Normalisation before each branch and at the end."""
    final_norm: Literal["before_pooling", "after_pooling"]
    """Where the last norm stands: before pooling (big_vision), or after it (timm with `avg` pooling)."""
    readout: Readout
    """From tokens to one vector per image."""
    head: Head
    """From that vector to logits."""
    dropout: Dropout
    """Probability of dropout where ViT puts it: after every dense layer except q, k, v, and after the position
    embedding."""
    init: Literal["jax", "truncated_normal"]
    """`jax`: as big_vision (Xavier-uniform q, k, v each and MLP; zero head). `truncated_normal`: std .02
    (timm, DeiT)."""


class Data(Section):
    """Which images, how they are split and how they are scaled."""

    source: Annotated[str, Field(pattern=SOURCE_PATTERN)]
    """`digits`, `mnist5k` or `imagefolder:PATH`. The path is not part of a Trial's identity, what lies there is."""
    image_size: Annotated[int, Field(gt=0)]
    """Side of the square image that the model sees, px."""
    channels: Annotated[int, Field(gt=0)]
    """Channels of an image; checked against the source."""
    classes: Annotated[int, Field(gt=1)]
    """Number of classes; checked against the source."""
    mean: float
    """Subtracted from pixels scaled to [0, 1]."""
    std: Annotated[float, Field(gt=0)]
    """Divides what is left."""
    test_fraction: Annotated[float, Field(ge=0.0, lt=1.0)]
    """Share held out as `test`, stratified by class, from a source that has no test split of its own; 0 where
    it has one."""
    val_fraction: Annotated[float, Field(ge=0.0, lt=1.0)]
    """Share of what is left for training that is carved out as `val`, stratified by class."""
    split_seed: int
    """Seed of both draws; the same for every seed of a study, so that all Trials are judged on the same images."""
    evaluate_on: Literal["val", "test"]
    """The held-out images a Trial is judged on. Tune on `val`, report on `test`."""
    eval_resize: Annotated[int, Field(gt=0)]
    """Shorter side after resizing for evaluation, px, before the centre crop to `image_size`."""

    def location(self) -> Path | None:
        """The folder behind `imagefolder:PATH`; None for a packaged source.

        A relative path starts at `$ABLATE_DATA`, or at the working folder where that is not set.
        """
        kind, _, path = self.source.partition(":")
        if kind != "imagefolder":
            return None
        return Path(os.environ.get("ABLATE_DATA", "."), path)


class InceptionCrop(Section):
    """A random area and aspect ratio, resized to the image size (Szegedy et al., arXiv 1409.4842)."""

    min_area: Annotated[float, Field(gt=0.0, le=1.0)] = 0.05
    """Smallest share of the image's area (SimpleViT .05; timm and torchvision .08)."""
    min_aspect: Annotated[float, Field(gt=0.0)] = 0.75
    """Smallest ratio of width to height."""
    max_aspect: Annotated[float, Field(gt=0.0)] = 1.33
    """Largest ratio of width to height (SimpleViT 1.33; timm and torchvision 4/3)."""

    @model_validator(mode="after")
    def _ordered(self) -> InceptionCrop:
        if self.min_aspect > self.max_aspect:
            raise ValueError("min_aspect must not be larger than max_aspect")
        return self


class RandAugment(Section):
    """RandAugment (Cubuk et al., arXiv 1909.13719), in the operations and magnitudes of big_vision."""

    layers: Annotated[int, Field(gt=0)] = 2
    """Operations applied to each image, N of the paper."""
    level: Annotated[float, Field(gt=0.0, le=30.0)] = 10.0
    """Magnitude, M of the paper, in big_vision's formulas; 10 is the published setting.

    It is no even scale of strength: Color, Contrast, Brightness and Sharpness do nothing at 5, and at levels 3, 5,
    10 and 15 Posterize keeps 1, 2, 4 and 6 bits and Solarize inverts from 76, 128, 0 and 128 on."""
    probability: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """With which each operation is applied (1 in the paper, .5 in timm)."""


class MixUp(Section):
    """MixUp (Zhang et al., arXiv 1710.09412)."""

    alpha: Annotated[float, Field(gt=0.0)] = 0.2
    """Parameter of Beta(alpha, alpha), from which the share of the first image is drawn."""
    draw: Literal["image", "batch"] = "image"
    """One share for each image, or one for the whole batch (big_vision)."""


class Augment(Section):
    """What happens to training images, in this order."""

    crop: InceptionCrop | Off
    """Random crop, or `off`: the evaluation's resize and centre crop."""
    flip: bool
    """Mirror left and right with probability one half."""
    randaug: RandAugment | Off
    """RandAugment, or `off`."""
    mixup: MixUp | Off
    """MixUp, or `off`."""


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


class Recipe(Section):
    """Everything that decides the outcome of one training of the built-in vision trainer."""

    model: Model
    data: Data
    augment: Augment
    optimizer: Optimizer
    schedule: Schedule
    precision: Literal["float32", "bfloat16"]
    """Of the forward pass (autocast); weights and optimiser stay in float32."""

    def resolved(self) -> dict[str, Any]:
        """Every value as plain JSON types, in a stable order."""
        return self.model_dump(mode="json")
