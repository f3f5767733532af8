"""Where a field of the Recipe may show: its own component, what follows from that, and nowhere else.

A component is named as the field of the model's section that makes it. Beside the model there are the batches, the
loss, the learning rates and the updates, by the names that `ablate.training.probe` gives them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ablate.parts import KINDS

if TYPE_CHECKING:
    from ablate.training.probe import Probe

#: A model that is no point of the space, or what in one belongs to no single field.
WHOLE = "model"
_PART = re.compile(
    r"(?:blocks\.\d+\.)?(stem|position|later_positions|mixer|feed_forward|norm|norm_1|norm_2|readout|head"
    r"|distilled_head|scale_1|scale_2|drop_1|drop_2|dropout)(?=[.:]|$)"
)
#: Module of the model -> component, where they are not called the same.
_COMPONENTS = {
    "later_positions": "position",
    "norm_1": "norm",
    "norm_2": "norm",
    "distilled_head": "head",
    "scale_1": "layer_scale",
    "scale_2": "layer_scale",
    "drop_1": "stochastic_depth",
    "drop_2": "stochastic_depth",
}
#: Attribute of the model itself, or of a block, -> component.
_SWITCHES = {
    "position_at": "position",
    "position_covers": "position",
    "biases_attention": "position",
    "reads_blocks": "readout",
    "final_norm": "final_norm",
    "factor": "branch_factor",
}
#: Field of the model's section -> component, where they are not called the same.
_FIELDS = {
    "position_at": "position",
    "position_covers": "position",
    "attention_dropout": "mixer",
    "stochastic_depth_rule": "stochastic_depth",
    "head_bias": "head",
}
_OWN = {*KINDS, "final_norm", "layer_scale", "branch_factor", "stochastic_depth", "dropout", "init"}

_IMAGES = frozenset({"training images", "held-out images"})
_SPLIT = frozenset({"order", "training images", "targets", "held-out images", "held-out labels", "updates an epoch"})
_LOSSES = frozenset({"training loss", "evaluation loss"})
_RATES = frozenset({"learning rates"})
_UPDATE = frozenset({"update"})
#: What two updates on one small batch on the CPU are not meant to show: averages that leave the weights alone, and how
#: numbers are computed.
BEYOND_TWO_UPDATES = ("ema", "judge", "compute", "schedule.micro_batch", "data.faulty")
_OF_IMAGES = ("crop", "padding", "flip", "jitter", "autoaugment", "randaug", "trivialaugment", "erasing")
_OF_PAIRS = ("mixup", "cutmix", "cutmix_share", "mixing_probability")
#: Field or section -> what it may touch beside the model. The longest name that fits counts.
_BESIDE: Mapping[str, frozenset[str]] = {
    "model": _LOSSES,
    "model.dropout": frozenset({"training loss"}),
    "model.stochastic_depth": frozenset({"training loss"}),
    "model.stochastic_depth_rule": frozenset({"training loss"}),
    "model.attention_dropout": frozenset({"training loss"}),
    "data": _SPLIT | _RATES,
    "data.image_size": _IMAGES,
    "data.channels": _IMAGES,
    "data.classes": frozenset({"targets"}),
    "data.mean": _IMAGES,
    "data.std": _IMAGES,
    "data.eval_resize": _IMAGES,  # training images, too, where no crop is drawn
    "data.eval_resampling": _IMAGES,
    "data.evaluate_on": frozenset({"held-out images", "held-out labels"}),
    "augment": frozenset({"order", "training images", "targets"}),
    **dict.fromkeys((f"augment.{name}" for name in _OF_IMAGES), frozenset({"training images"})),
    **dict.fromkeys((f"augment.{name}" for name in _OF_PAIRS), frozenset({"training images", "targets"})),
    "optimizer": _UPDATE,
    "optimizer.learning_rate": _UPDATE | _RATES,
    "optimizer.scaling": _UPDATE | _RATES,
    "schedule": _RATES,
    # An image's partner in MixUp depends on the batch.
    "schedule.batch_size": frozenset({"batch size", "updates an epoch", "training images", "targets"}) | _RATES,
    "loss": _LOSSES,
    "loss.label_smoothing": frozenset({"training loss"}),
    "distillation": frozenset({"training loss"}),
    "precision": _LOSSES,
    **dict.fromkeys(BEYOND_TWO_UPDATES, frozenset[str]()),
}
_UNKNOWN = _LOSSES | _UPDATE | _RATES | {"targets"}
#: Field of the data -> components that are made for it.
_FOR_DATA = {"data.channels": {"stem", WHOLE}, "data.classes": {"head", WHOLE}, "data.image_size": {WHOLE}}


def component_of(name: str) -> str:
    """The component that a module, an attribute (``module:attribute``) or a tensor of the space's model is of."""
    found = _PART.match(name)
    if found:
        return _COMPONENTS.get(found[1], found[1])
    owner, _, attribute = name.partition(":")
    return _SWITCHES.get(attribute, WHOLE) if owner == "" or re.fullmatch(r"blocks\.\d+", owner) else WHOLE


def is_part(name: str) -> bool:
    """Whether a name is that of a component's own module, so that its class is which part it is."""
    return _PART.fullmatch(name) is not None


@dataclass(frozen=True)
class Reach:
    """What a set of changed fields may touch."""

    components: frozenset[str]
    """These may be other ones, with all that is in them."""
    following: frozenset[str]
    """These are told another grid, other prefix tokens or other heads: shapes and attributes may follow."""
    beside: frozenset[str]
    everywhere: bool = False
    """The whole model may be another one."""
    first_values: bool = False
    """First values of parameters of the same shape may differ everywhere."""
    attributes: bool = False
    """Attributes of modules may differ everywhere, and modules without parameters come and go."""


def reach_of(changes: Iterable[str], baseline: Probe, variant: Probe) -> Reach:
    """What these dotted fields may touch in this Variant."""
    fields = list(changes)
    in_space = baseline.in_space and variant.in_space
    own = {f: _own_field(f) for f in fields if f.split(".")[0] == "model"}
    components = {_FIELDS.get(field, field) for field in own.values() if field is not None}
    for field in fields:
        components |= _FOR_DATA.get(field, set())
    beside = frozenset[str]().union(*map(_beside, fields))
    if beside & {"order", "training images", "targets"}:
        beside |= _LOSSES | ({"training images", "targets"} if "order" in beside else set())
    if "training loss" in beside:
        beside |= _UPDATE
    whole = any(field is None for field in own.values()) or (bool(own) and not in_space)
    for_data = not in_space and any(field in _FOR_DATA for field in fields)
    return Reach(
        frozenset(components) - {"init", "dropout"},
        _following(fields, components, baseline, variant),
        beside,
        everywhere=whole or for_data,
        first_values="init" in components,
        attributes="dropout" in components,
    )


def _own_field(field: str) -> str | None:
    """The field of the model's section, or None for one on which the whole model depends."""
    name = field.split(".")[1] if "." in field else None
    return name if name in _OWN or name in _FIELDS else None


def _beside(field: str) -> frozenset[str]:
    keys = field.split(".")
    names = [".".join(keys[:count]) for count in range(len(keys), 0, -1)]
    return next((_BESIDE[name] for name in names if name in _BESIDE), _UNKNOWN)


def _following(fields: list[str], components: set[str], baseline: Probe, variant: Probe) -> frozenset[str]:
    def differs(attribute: str) -> bool:
        return baseline.modules.get(attribute) != variant.modules.get(attribute)

    following: set[str] = set()
    if "data.image_size" in fields:
        following |= {"stem"}
    if ("stem" in components or "data.image_size" in fields) and differs("stem:grid"):
        following |= {"position", "mixer", "feed_forward", "readout"}
    if "readout" in components and differs("readout:prefix_tokens"):
        following |= {"position", "mixer", "feed_forward"}
    if "readout" in components and differs("readout:representations"):
        following |= {"head"}
    if "mixer" in components:  # its heads are offered to both
        following |= {"position", "readout"}
    return frozenset(following)


def allows_module(reach: Reach, name: str) -> bool:
    """Whether a module or an attribute may be another one, or be on one side alone."""
    component = component_of(name)
    if reach.everywhere or component in reach.components or (reach.attributes and not is_part(name)):
        return True
    if component not in reach.following:
        return False
    return not is_part(name) or (component == "head" and name == "distilled_head")


def allows_tensor(reach: Reach, name: str, before: Any, after: Any, owner_differs: bool) -> bool:
    """Whether the first values of a parameter or a buffer may differ; None stands for a side that lacks it.

    ``owner_differs``: something else in its own module differs, on which its distribution may depend.
    """
    component = component_of(name)
    if reach.everywhere or component in reach.components:
        return True
    same_shape = before is not None and after is not None and before.shape == after.shape
    if reach.first_values and same_shape:
        return True
    return component in reach.following and (not same_shape or owner_differs)
