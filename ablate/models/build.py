"""From a Recipe's model section to a model: find each part's class, give it its context and its options."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from ablate.models.block import Block
from ablate.models.vision_transformer import VisionTransformer
from ablate.parts import target_of
from ablate.recipe import Data, Model, Part


def build(model: Model, data: Data) -> VisionTransformer:
    """The model that ``model`` describes, for images and classes as in ``data``, on the CPU.

    Its parameters are placeholders until `ablate.models.init.initialise` has drawn them. The global random
    generator is left as it was. Raises ValueError, with the kind and name of the part and the reason, where
    a part does not fit its context, cannot be imported, or asks for a context that its kind is not offered.
    """
    context: dict[str, Any] = {"dim": model.dim, "depth": model.depth, "dropout": model.dropout}

    def make(kind: str, **more: Any) -> nn.Module:
        return _construct(kind, getattr(model, kind), context | more)

    with torch.random.fork_rng(devices=[]):
        # Whatever a part of the user's own draws beside its parameters is the same in every process.
        torch.default_generator.manual_seed(0)
        stem = make("stem", image_size=data.image_size, channels=data.channels)
        grid = _exposed("stem", stem, "grid")
        readout = make("readout", grid=grid)
        prefix = _exposed("readout", readout, "prefix_tokens")
        covered = prefix if model.position_covers == "all" else 0
        place = {"grid": grid, "prefix_tokens": prefix}
        return VisionTransformer(
            stem=stem,
            position=make("position", grid=grid, prefix_tokens=covered),
            blocks=[_block(make, block, place) for block in range(model.depth)],
            norm=make("norm"),
            readout=readout,
            head=make("head", classes=data.classes),
            position_covers=model.position_covers,
            final_norm=model.final_norm,
            dropout=model.dropout,
        )


def _block(make: Callable[..., nn.Module], block: int, place: Mapping[str, Any]) -> Block:
    return Block(
        norm_1=make("norm"),
        attention=make("attention", block=block, **place),
        norm_2=make("norm"),
        feed_forward=make("feed_forward", block=block, **place),
    )


def _construct(kind: str, part: Part, context: Mapping[str, Any]) -> nn.Module:
    """Call the part's class with what its positional parameters ask for by name, and with its options."""
    cls = _load(kind, part.name)
    arguments = []
    for parameter in inspect.signature(cls).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            continue
        if parameter.name not in context:
            offered = ", ".join(sorted(context))
            raise ValueError(f"{kind} {part.name!r} asks for {parameter.name!r}; a {kind} is offered {offered}")
        arguments.append(context[parameter.name])
    try:
        made: nn.Module = cls(*arguments, **part.options)
    except ValueError as error:
        raise ValueError(f"{kind} {part.name!r}: {error}") from error
    return made


def _load(kind: str, name: str) -> type[nn.Module]:
    module, _, class_name = target_of(kind, name).partition(":")
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
