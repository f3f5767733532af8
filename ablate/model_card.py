"""What `ablate model` shows: a model's parts, its size and its cost, and how two models differ."""

from __future__ import annotations

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
from ablate.recipe.any_model import AnyModel
from ablate.study.checking import findings
from ablate.study.document import parse_setting
from ablate.study.errors import StudyError
from ablate.study.load import find_modules_in
from ablate.study.models import spelled_out
from ablate.study.overrides import OverrideError, differences, flatten

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
    find_modules_in(Path.cwd())
    changes = {}
    for text in sets:
        try:
            field, value = parse_setting(text)
        except StudyError as error:
            raise ModelError(str(error)) from None
        field = field.removeprefix("model.")
        if field in ("name", "preset"):
            raise ModelError(f"--set {text}: another model is not a change of {name}; ask for it by its name")
        changes[field] = value
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
        # What the error begins with is said here already.
        reason = str(error).removeprefix(f"{name} cannot be built so: ").removeprefix(f"model {name!r}: ")
        raise ModelError(f"{name} cannot be built for {_of(images)}: {reason}") from None
    try:
        cost = measure(made, (images.size, images.size), images.channels, images.classes)
    except Exception as error:  # whatever the forward of a model of the user's own raises
        raise ModelError(f"{name} cannot be run on {_of(images)}: {_one_line(error)}") from error
    return ModelCard(" ".join([name, *sets]), model.model_dump(mode="json"), images, cost, dict(_parameters_of(made)))


def _one_line(error: Exception) -> str:
    """An error's first line, after its type where that is no plain refusal."""
    line = next(iter(str(error).strip().splitlines()), "")
    if type(error) in (RuntimeError, ValueError) and line:
        return line
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def _parameters_of(model: nn.Module) -> list[tuple[str, int]]:
    from ablate.models.vision_transformer import count_parameters

    inner = [(name, count_parameters(child)) for name, child in model.named_children()]
    own = sum(p.numel() for p in model.parameters(recurse=False))
    return [(name, count) for name, count in [*inner, ("(itself)", own)] if count]


def render_card(card: ModelCard) -> RenderableType:
    """The card for the terminal: every option of every part."""
    table = _table("part" if _of_space(card) else "option", "what it is")
    for field, value in card.resolved.items():
        table.add_row(Text(field), Text(_text(value)))
    sizes = Table(box=None, show_header=False)
    sizes.add_column("where", overflow="fold")
    sizes.add_column("how many", justify="right", overflow="fold")
    for name, count in card.parameters_of.items():
        sizes.add_row(Text(name), f"{count:,}")
    title = Text(f"{card.name}, for {_of(card.images)}", style="italic")
    heading = Text("parameters", style="italic")
    return Group(title, table, Text(""), heading, sizes, Text(""), Text("\n".join(_totals(card))))


def render_diff(first: ModelCard, second: ModelCard) -> RenderableType:
    """Which parts differ, with all their options, and what that does to size and cost."""
    title = Text(f"{first.name} against {second.name}", style="italic")
    changes = model_differences(first, second)
    table = _table("field", first.name, second.name)
    for field, (before, after) in changes.items():
        table.add_row(
            Text(field), Text(_text(_in_full(first, field, before))), Text(_text(_in_full(second, field, after)))
        )
    for label, a, b in zip(_LABELS, _figures(first), _figures(second), strict=True):
        table.add_row(Text(label), Text(a), Text(b))
    alike = [] if changes else [Text(f"no {'part' if _of_space(first) else 'option'} differs")]
    return Group(title, *alike, table)


def _table(*headings: str) -> Table:
    """A table that folds what does not fit, and never cuts it off."""
    table = Table(box=None)
    for heading in headings:
        table.add_column(Text(heading), overflow="fold")
    return table


def _of_space(card: ModelCard) -> bool:
    return "name" not in card.resolved


def _in_full(card: ModelCard, field: str, value: Any) -> Any:
    """A value that differs, with all its options where it is a part or the whole model."""
    return card.resolved if field == "model" else card.resolved[field] if field in KINDS else value


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
    """A part or whole model by its name and options, in one line; a model of the space with a line for each field."""
    if not isinstance(value, Mapping):
        return str(value)
    if "name" not in value:
        return "\n".join(f"{field}: {_text(inner)}" for field, inner in value.items())
    return ", ".join([str(value["name"]), *(f"{key} {inner}" for key, inner in flatten(value) if key != "name")])
