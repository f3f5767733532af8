"""Which parameters of a model decay, and at what share of the learning rate each is trained."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

from torch import nn

from ablate.models.vision_transformer import VisionTransformer
from ablate.recipe import Optimizer

# _ConvNd is what torch calls the base of all its convolutions; it has no public name.
_KERNELS = (nn.Linear, nn.modules.conv._ConvNd)
#: Roles of a part's parameters (`ablate.models.init`) that are no weights of a layer.
_LEFT_ALONE = ("position", "token")


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that an optimiser treats alike."""

    parameters: Mapping[str, nn.Parameter]
    """By their names in the model, in its order."""
    weight_decay: float
    rate_scale: float
    """By which the learning rate is multiplied."""
    left_alone: bool
    """Whether they are among `left_alone`."""


def parameter_groups(model: nn.Module, settings: Optimizer) -> list[ParameterGroup]:
    """All trainable parameters of a model as an optimiser's settings treat them, each in one group.

    Raises ValueError as `layer_scales` does.
    """
    decayed, alone = decayed_names(model, settings.decay), left_alone(model)
    scales = layer_scales(model, settings.layer_decay)
    groups: dict[tuple[float, float, bool], dict[str, nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = settings.weight_decay if name in decayed else 0.0, scales[name], name in alone
            groups.setdefault(key, {})[name] = parameter
    return [ParameterGroup(parameters, *key) for key, parameters in groups.items()]


def decayed_names(model: nn.Module, decay: str) -> set[str]:
    """Names of the parameters that decay: every one for ``all``, else the ``kernels`` or the ``matrices``.

    A kernel is the ``weight`` of a dense layer or a convolution, as big_vision's ``.*/kernel$``. Biases, norms,
    position embeddings and class tokens are none, nor is what a part of the user's own holds as a bare parameter.
    A matrix is what timm decays (`param_groups_layer_decay`): whatever has two dimensions or more and is not
    `left_alone`.
    """
    named = dict(model.named_parameters())
    if decay == "all":
        return set(named)
    if decay == "matrices":
        return {name for name, parameter in named.items() if parameter.ndim > 1} - left_alone(model)
    kernels = {id(module.weight) for module in model.modules() if isinstance(module, _KERNELS)}
    return {name for name, parameter in named.items() if id(parameter) in kernels}


def left_alone(model: nn.Module) -> set[str]:
    """Names of the parameters that the model asks not to decay: position embeddings and tokens.

    They are those with such a role in a part of the space, and those that the model names in ``no_weight_decay()``,
    as timm's models do; a name there may be a pattern. As in timm and in CeiT's official code, the probe of attention
    pooling and CeiT's layer embedding are none of them.
    """
    asked: Any = getattr(model, "no_weight_decay", None)
    patterns = set(asked()) if callable(asked) else set()
    patterns |= {
        f"{prefix}.{name}" if prefix else name
        for prefix, module in model.named_modules()
        for name, role in _roles(module).items()
        if isinstance(role, str) and role in _LEFT_ALONE
    }
    named = [name for name, _ in model.named_parameters()]
    return {name for name, pattern in itertools.product(named, patterns) if fnmatch(name, pattern)}


def layer_scales(model: nn.Module, decay: float) -> dict[str, float]:
    """Name of each parameter -> ``decay ** (last layer - its layer)`` (BEiT, arXiv 2106.08254, appendix H).

    In a model of the space, stem, positions and tokens are layer 0, block i and the positions before it, which every
    layer but the first may have, are layer i + 1, and the rest (final norm, readout, heads) is the last one, as in
    BEiT's official code. A model with timm's ``group_matcher`` is grouped as `timm.optim.param_groups_layer_decay`
    does: for most of timm's transformers a final norm before the pooling then belongs to the last block.
    Raises ValueError for any other model, and for one that is a single layer, unless ``decay`` is 1.
    """
    if decay == 1.0:
        return {name: 1.0 for name, _ in model.named_parameters()}
    if isinstance(model, VisionTransformer):
        layers, last = _layers_of_space(model), len(model.blocks) + 1
    elif hasattr(model, "group_matcher"):
        layers = _layers_of_timm(model)
        last = max(layers.values())
    else:
        raise ValueError(f"layer_decay needs a model that says which layers it has; {type(model).__name__} does not")
    if last == 0:
        raise ValueError(f"layer_decay has nothing to act on: {type(model).__name__} says that it is one layer")
    return {name: decay ** (last - layers.get(name, last)) for name, _ in model.named_parameters()}


def _layers_of_space(model: VisionTransformer) -> dict[str, int]:
    alone, layers = left_alone(model), {}
    for name, _ in model.named_parameters():
        kind, _, rest = name.partition(".")
        if kind == "blocks":
            layers[name] = int(rest.partition(".")[0]) + 1
        elif kind == "later_positions":
            layers[name] = int(rest.partition(".")[0]) + 2
        elif kind in ("stem", "position") or name in alone:
            layers[name] = 0
    return layers


def _layers_of_timm(model: Any) -> dict[str, int]:
    from timm.models import group_parameters  # here, so that models of the space need no timm

    layers: dict[str, int] = group_parameters(model, model.group_matcher(coarse=False), reverse=True)
    return layers


def _roles(module: nn.Module) -> Mapping[str, Any]:
    roles = getattr(module, "roles", None)
    return roles if isinstance(roles, Mapping) else {}
