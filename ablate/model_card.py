"""What `ablate model` shows: a model's parts, its size and its cost, and how two models differ."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ablate.parts import KINDS
from ablate.presets import PRESETS
from ablate.recipe import Data, Model, WholeModel
from ablate.recipe.recipe import AnyModel
from ablate.study.checking import findings
from ablate.study.document import parse_value
from ablate.study.errors import StudyError
from ablate.study.models import spelled_out
from ablate.study.overrides import OverrideError, differences, flatten, shortest_form

if TYPE_CHECKING:
    from torch import nn

    from ablate.models.measure import Cost


class ModelError(ValueError):
    """A model that does not exist or cannot be built; the message is one line for the user."""


@dataclass(frozen=True)
class Images:
    """What a model is measured for."""

    size: int = 224
    channels: int = 3
    classes: int = 1000

    def data(self) -> Data:
        """A data section of these images; nothing is read."""
        return Data(
            source="digits",
            image_size=self.size,
            channels=self.channels,
            classes=self.classes,
            mean=0.0,
            std=1.0,
            test_fraction=0.0,
            val_fraction=0.0,
            split_seed=0,
            evaluate_on="test",
            eval_resize=self.size,
        )


@dataclass(frozen=True)
class ModelCard:
    """A model, what it is made of and what it costs."""

    name: str
    resolved: Mapping[str, Any]
    """The model section of a Recipe, every value spelled out."""
    images: Images
    cost: Cost
    parameters_of: Mapping[str, int]
    """Top-level module -> trainable values in it."""

    def as_json(self) -> dict[str, Any]:
        """The card for programs; FLOPs are two to a multiply-add, ``macs`` the papers' count."""
        return {
            "name": self.name,
            "image_size": self.images.size,
            "channels": self.images.channels,
            "classes": self.images.classes,
            "parameters": self.cost.parameters,
            "flops": self.cost.flops,
            "macs": self.cost.macs,
            "activation_bytes": self.cost.activation_bytes,
            "parameters_of": dict(self.parameters_of),
            "model": dict(self.resolved),
        }


def resolve_model(name: str, sets: Sequence[str] = ()) -> Model | WholeModel:
    """A preset, ``timm/NAME`` or ``module:Class`` by name, with changes ``field=value``. Raises `ModelError`.

    The working folder is put at the end of `sys.path`, where a module of the user's own is found.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    changes = {}
    for text in sets:
        field, separator, value = text.partition("=")
        if not separator:
            raise ModelError(f"--set takes field=value, not {text!r}")
        field = field.strip().removeprefix("model.")
        if field in ("name", "preset"):
            raise ModelError(f"--set {text}: another model is not a change of {name}; ask for it by its name")
        try:
            changes[field] = parse_value(value)
        except StudyError as error:
            raise ModelError(f"--set {text}: {error}") from None
    tree = {"preset": name, **changes} if name in PRESETS else {"name": name, **changes} if changes else name
    try:
        return TypeAdapter(AnyModel).validate_python(spelled_out(tree))
    except OverrideError as error:
        raise ModelError(str(error)) from None
    except ValidationError as error:
        told = findings(error, Model, tree if isinstance(tree, dict) else {})
        raise ModelError("; ".join(dict.fromkeys(message for message, _ in told))) from None


def make_card(name: str, sets: Sequence[str], images: Images) -> ModelCard:
    """Build the model without memory for its weights, and measure it. Raises `ModelError`."""
    import torch

    from ablate.models.build import build
    from ablate.models.measure import measure

    model = resolve_model(name, sets)
    try:
        with torch.device("meta"):
            made = build(model, images.data())
    except ValueError as error:
        raise ModelError(f"{name} cannot be built for {_of(images)}: {error}") from None
    try:
        cost = measure(made, (images.size, images.size), images.channels)
    except RuntimeError as error:  # shapes that do not fit, in a model of the user's own
        raise ModelError(f"{name} cannot be run on {_of(images)}: {str(error).splitlines()[0]}") from error
    return ModelCard(" ".join([name, *sets]), model.model_dump(mode="json"), images, cost, dict(_parameters_of(made)))


def _parameters_of(model: nn.Module) -> list[tuple[str, int]]:
    from ablate.models.vision_transformer import count_parameters

    inner = [(name, count_parameters(child)) for name, child in model.named_children()]
    own = sum(p.numel() for p in model.parameters(recurse=False))
    return [(name, count) for name, count in [*inner, ("(itself)", own)] if count]


def render_card(card: ModelCard) -> RenderableType:
    """The card for the terminal."""
    table = Table(box=None)
    table.add_column("part" if "name" not in card.resolved else "option")
    table.add_column("what it is")
    for field, value in card.resolved.items():
        written = shortest_form(field, value) if field in KINDS else value
        table.add_row(Text(field), Text(_text(written)))
    sizes = Table(title="parameters", title_justify="left", box=None, show_header=False)
    sizes.add_column("where")
    sizes.add_column("how many", justify="right")
    for name, count in card.parameters_of.items():
        sizes.add_row(Text(name), f"{count:,}")
    title = Text(f"{card.name}, for {_of(card.images)}", style="italic")
    return Group(title, table, Text(""), sizes, Text(""), Text("\n".join(_totals(card))))


def render_diff(first: ModelCard, second: ModelCard) -> RenderableType:
    """Which parts differ, and what that does to size and cost."""
    table = Table(title=f"{first.name} against {second.name}", title_justify="left", box=None)
    for heading in ("field", first.name, second.name):
        table.add_column(Text(heading))
    for field, (before, after) in model_differences(first, second).items():
        table.add_row(Text(field), Text(_text(before)), Text(_text(after)))
    for label, a, b in zip(_LABELS, _figures(first), _figures(second), strict=True):
        table.add_row(Text(label), Text(a), Text(b))
    return table


def model_differences(first: ModelCard, second: ModelCard) -> dict[str, tuple[Any, Any]]:
    """Field -> its value in either, where they differ."""
    found = differences({"model": first.resolved}, {"model": second.resolved})
    return {field.removeprefix("model."): both for field, both in found.items()}


_LABELS = ("parameters", "multiply-adds", "FLOPs", "activations")


def _figures(card: ModelCard) -> tuple[str, str, str, str]:
    cost = card.cost
    return (
        f"{cost.parameters:,}",
        _scaled(cost.macs, 1000, ("", "k", "M", "G", "T")),
        _scaled(cost.flops, 1000, ("", "k", "M", "G", "T")),
        _scaled(cost.activation_bytes, 1024, ("B", "KiB", "MiB", "GiB")),
    )


def _totals(card: ModelCard) -> list[str]:
    parameters, macs, flops, memory = _figures(card)
    return [
        f"{parameters} parameters",
        f'{macs} multiply-adds = {flops} FLOPs forward, per image (papers\' "FLOPs" are mostly the multiply-adds)',
        f"about {memory} of activations kept for the backward pass, per image, in float32",
    ]


def _scaled(number: float, base: int, units: Sequence[str]) -> str:
    step = 0
    while number >= base and step < len(units) - 1:
        number, step = number / base, step + 1
    return f"{number:.{3 if number < 1000 else 4}g} {units[step]}".strip()


def _of(images: Images) -> str:
    return f"{images.classes:,} classes of {images.size} x {images.size} px with {images.channels} channels"


def _text(value: Any) -> str:
    """A value in one line: a part or whole model by its name and options, a model of the space part by part."""
    if not isinstance(value, Mapping):
        return str(value)
    named = [str(value["name"])] if "name" in value else []
    return ", ".join([*named, *(f"{key} {inner}" for key, inner in flatten(value) if key != "name")])
