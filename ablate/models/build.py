"""From a Recipe's model section to a model: find each part's class, give it its context and its options."""

from __future__ import annotations

import copy
import importlib
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from ablate.draws import derive
from ablate.fit import drops_attention, no_attention_to_drop
from ablate.models.block import Block
from ablate.models.init import initialise
from ablate.models.layer_scale import LayerScale
from ablate.models.stochastic_depth import RATES, StochasticDepth
from ablate.models.timm_door import build_timm
from ablate.models.vision_transformer import VisionTransformer
from ablate.parts import MODELS, takes, target_of
from ablate.recipe import Data, Model, Part, WholeModel
from ablate.recipe.whole import model_target


def make_model(model: Model | WholeModel, data: Data, seed: int) -> nn.Module:
    """The model that a Recipe describes, with its first weights, on the CPU.

    A model of the space draws each parameter from a stream of its own (`ablate.models.init`). So does a whole model
    of ours beside the space; any other one, timm's among them, draws in its constructor from torch's generator,
    which is seeded for it. The global generator is left as it was. Raises ValueError as `build` does.
    """
    built = build(model, data, seed=derive(seed, "init"))
    if isinstance(model, Model):
        initialise(built, model.init, seed)
        if model.head_bias:
            _raise_head_bias(built, model.head_bias, data.classes)
    elif model.name in MODELS:
        initialise(built, str(built.scheme), seed)
    return built


@torch.no_grad()
def _raise_head_bias(model: Any, value: float, classes: int) -> None:
    """Add to the biases of each head's last layer. Raises ValueError where a head has none."""
    for head in filter(None, (model.head, model.distilled_head)):
        last = [m for m in head.modules() if isinstance(m, nn.Linear) and m.out_features == classes]
        if not last or last[-1].bias is None:
            raise ValueError(f"head_bias is {value}, and {type(head).__name__} ends in no dense layer with a bias")
        last[-1].bias.add_(value)


def build(
    model: Model | WholeModel, data: Data, *, seed: int = 0, image_size: tuple[int, int] | None = None
) -> nn.Module:
    """The model that ``model`` describes, for images and classes as in ``data``, on the current default device.

    Parameters of the space's models are placeholders until `initialise` has drawn them; ``seed`` is for what a model
    or a part of the user's own draws while it is made. ``image_size`` (height, width), px, stands in for the data's.
    The global random generator is left as it was. Raises ValueError, with the kind and name of the part and the
    reason, where a part does not fit its context, cannot be imported, or asks for a context that it is not offered.
    """
    size = image_size or (data.image_size, data.image_size)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return _space(model, data, size) if isinstance(model, Model) else _whole(model, data, size)


def _whole(model: WholeModel, data: Data, size: tuple[int, int]) -> nn.Module:
    if model.timm_name is not None:
        return build_timm(model.timm_name, model.options, size, data.channels, data.classes)
    context = {"image_size": size, "channels": data.channels, "classes": data.classes}
    return _construct("model", model.name, model_target(model.name), model.options, context)


def _space(model: Model, data: Data, size: tuple[int, int]) -> VisionTransformer:
    context: dict[str, Any] = {"dim": model.dim, "depth": model.depth, "dropout": model.dropout}
    heads = model.mixer.options.get("heads")
    with_heads = {} if heads is None else {"heads": heads}

    def make(kind: str, **more: Any) -> nn.Module:
        part: Part = getattr(model, kind)
        return _construct(kind, part.name, target_of(kind, part.name), part.options, context | more)

    stem = make("stem", image_size=size, channels=data.channels)
    grid = _exposed("stem", stem, "grid")
    readout = make("readout", grid=grid, **with_heads)
    prefix = _exposed("readout", readout, "prefix_tokens")
    _check_readout(model, prefix)
    covered = prefix if model.position_covers == "all" else 0
    own = model.depth if model.position_at == "every_layer" else 1
    positions = [make("position", grid=grid, prefix_tokens=covered, **with_heads) for _ in range(own)]
    _check_position(model, positions[0])
    _check_attention_dropout(model)
    place = {"grid": grid, "prefix_tokens": prefix}
    rates = RATES[model.stochastic_depth_rule](model.stochastic_depth, model.depth)
    return VisionTransformer(
        stem=stem,
        positions=positions,
        blocks=[_block(model, make, block, rate, place) for block, rate in enumerate(rates)],
        norm=make("norm"),
        readout=readout,
        heads=[make("head", classes=data.classes) for _ in range(getattr(readout, "representations", 1))],
        position_at=model.position_at,
        position_covers=model.position_covers,
        final_norm=model.final_norm,
        dropout=model.dropout,
    )


def _check_position(model: Model, position: nn.Module) -> None:
    """Raise ValueError where a position that biases attention has none to bias."""
    if getattr(position, "acts_on", "tokens") != "attention":
        return
    name = model.position.name
    if model.position_at == "stem":
        raise ValueError(f"position {name!r} biases the attention of blocks: set position_at to every_layer[_shared]")
    if not takes(target_of("mixer", model.mixer.name), "forward", "bias"):
        raise ValueError(f"position {name!r} is a bias of attention, and mixer {model.mixer.name!r} has no attention")


def _check_attention_dropout(model: Model) -> None:
    """Raise ValueError where there are no attention weights to drop."""
    if model.attention_dropout and not drops_attention(model.mixer):
        raise ValueError(no_attention_to_drop(model.mixer))


def _check_readout(model: Model, prefix_tokens: int) -> None:
    """Raise ValueError where the token that is read can see nothing."""
    if model.mixer.name == "none" and prefix_tokens:
        reads = f"readout {model.readout.name!r} reads a token of its own"
        raise ValueError(f"{reads}, which mixer 'none' lets see no patch")


def _block(model: Model, make: Callable[..., nn.Module], block: int, rate: float, place: Mapping[str, Any]) -> Block:
    return Block(
        norm_1=make("norm"),
        mixer=make("mixer", block=block, attention_dropout=model.attention_dropout, **place),
        norm_2=make("norm"),
        feed_forward=make("feed_forward", block=block, **place),
        scale=None if model.layer_scale == "off" else partial(LayerScale, model.dim, model.layer_scale),
        drop=partial(StochasticDepth, rate) if rate else None,
        factor=model.branch_factor,
    )


def _construct(kind: str, name: str, target: str, options: Mapping[str, Any], context: Mapping[str, Any]) -> nn.Module:
    """Call a class with what its positional parameters ask for by name, and with its options."""
    cls = _load(kind, name, target)
    arguments = []
    for parameter in inspect.signature(cls).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            continue
        if parameter.name not in context:
            if parameter.default is not parameter.empty:
                break  # what follows has its default, too
            offered = ", ".join(sorted(context))
            raise ValueError(f"{kind} {name!r} asks for {parameter.name!r}; this {kind} is offered {offered}")
        arguments.append(context[parameter.name])
    try:
        # A list is the Recipe's own: a part that changes it must not change the Recipe.
        made: nn.Module = cls(*arguments, **copy.deepcopy(dict(options)))
    except ValueError as error:
        raise ValueError(f"{kind} {name!r}: {error}") from error
    except Exception as error:
        if target.startswith("ablate."):
            raise
        raise ValueError(f"{kind} {name!r}: {type(error).__name__}: {error}") from error
    return made


def _load(kind: str, name: str, target: str) -> type[nn.Module]:
    module, _, class_name = target.partition(":")
    try:
        cls = getattr(importlib.import_module(module), class_name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{kind} {name!r} cannot be imported: {error}") from error
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise ValueError(f"{kind} {name!r} is not a subclass of torch.nn.Module")
    return cls


def _exposed(kind: str, made: nn.Module, attribute: str) -> Any:
    if not hasattr(made, attribute):
        raise ValueError(f"{kind} {type(made).__name__} must have an attribute {attribute!r}")
    return getattr(made, attribute)
