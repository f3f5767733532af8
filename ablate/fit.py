"""Whether the parts of a Recipe's model fit together and fit the images: told when the study is loaded.

Each part says in its constructor what it cannot be built for; `dry_build` reads that. What concerns several parts
at once stands here. Nothing is imported, so a plan of a study stays torch-free.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ablate.dry_build import DryPart, dry_build
from ablate.dry_world import NOT_KNOWN
from ablate.parts import SourceError, takes, target_of
from ablate.recipe import Model, Part, Recipe, WholeModel
from ablate.recipe.whole import model_target


@dataclass(frozen=True)
class Misfit:
    """Why a Recipe's model cannot be built, and the dotted field that says so."""

    field: str
    reason: str


def find_misfits(recipe: Recipe) -> Iterator[Misfit]:
    """Every reason that can be told without building the model."""
    size = (recipe.data.image_size, recipe.data.image_size)
    images = {"image_size": size, "channels": recipe.data.channels}
    if isinstance(recipe.model, WholeModel):
        yield from _whole(recipe.model, {**images, "classes": recipe.data.classes})
    else:
        yield from _Space(recipe.model, images, recipe.data.classes).misfits()


def stem_grid(recipe: Recipe) -> tuple[int, int] | None:
    """Rows and columns of the tokens that the stem makes; None for a whole model, or where the source does not tell."""
    if isinstance(recipe.model, WholeModel):
        return None
    size = (recipe.data.image_size, recipe.data.image_size)
    space = _Space(recipe.model, {"image_size": size, "channels": recipe.data.channels}, recipe.data.classes)
    match space.stem().attributes.get("grid"):
        case (int(rows), int(columns)):
            return rows, columns
    return None


def drops_attention(mixer: Part) -> bool:
    """Whether a mixer asks for the model's ``attention_dropout``. An option of its own by that name is another."""
    taken = takes(target_of("mixer", mixer.name), "__init__", "attention_dropout")
    return taken and "attention_dropout" not in mixer.options


def no_attention_to_drop(mixer: Part) -> str:
    """Why a mixer can have no attention dropout."""
    return f"attention_dropout needs a mixer that takes it, and mixer {mixer.name!r} has no attention weights to drop"


def _whole(model: WholeModel, context: Mapping[str, Any]) -> Iterator[Misfit]:
    if model.timm_name is not None:
        return  # timm tells when it is built
    part = dry_build(model_target(model.name), {**model.options, **context})
    for name in part.asks:
        offered = ", ".join(sorted(context))
        yield Misfit("model", f"model {model.name!r} asks for {name!r}; this model is offered {offered}")
    if part.refusal:
        yield Misfit("model", f"model {model.name!r}: {part.refusal}")


class _Space:
    """A model of the space, part by part, in the order in which they are assembled."""

    def __init__(self, model: Model, images: Mapping[str, Any], classes: int) -> None:
        self.model, self.images, self.classes = model, images, classes
        self.context: dict[str, Any] = {"dim": model.dim, "depth": model.depth, "dropout": model.dropout}

    def misfits(self) -> Iterator[Misfit]:
        model = self.model
        yield from self._of("stem", stem := self.stem(), self.images)
        if stem.refusal:
            return  # the other parts would be judged on a grid that there is not
        grid = {"grid": stem.attributes.get("grid", NOT_KNOWN)}
        heads = {"heads": model.mixer.options["heads"]} if model.mixer.options.get("heads") is not None else {}
        readout = self._dry("readout", grid | heads)
        yield from self._of("readout", readout, grid | heads)
        prefix = readout.attributes.get("prefix_tokens", NOT_KNOWN)
        place = {**grid, "prefix_tokens": prefix, "block": 0}
        if model.mixer.name == "none" and isinstance(prefix, int) and prefix:
            reason = f"readout {model.readout.name!r} reads a token of its own, which mixer 'none' lets see no patch"
            yield Misfit("model.readout", reason)
        mixing = {**place, "attention_dropout": model.attention_dropout}
        yield from self._of("mixer", self._dry("mixer", mixing), mixing)
        if model.attention_dropout and not drops_attention(model.mixer):
            yield Misfit("model.attention_dropout", no_attention_to_drop(model.mixer))
        yield from self._of("feed_forward", self._dry("feed_forward", place), place)
        covered = {**grid, "prefix_tokens": prefix if model.position_covers == "all" else 0, **heads}
        position = self._dry("position", covered)
        if position.attributes.get("acts_on") == "attention":
            yield from self._bias()
        if position.attributes.get("acts_on") != "attention" or heads:
            yield from self._of("position", position, covered)
        yield from self._of("norm", self._dry("norm", {}), {})
        classes = {"classes": self.classes}
        yield from self._of("head", self._dry("head", classes), classes)

    def stem(self) -> DryPart:
        """The stem, as far as its source tells."""
        return self._dry("stem", self.images)

    def _bias(self) -> Iterator[Misfit]:
        name, mixer = self.model.position.name, self.model.mixer
        if self.model.position_at == "stem":
            place = "set position_at to every_layer or every_layer_shared"
            yield Misfit("model.position", f"position {name!r} is a bias of each block's attention: {place}")
        if not takes(target_of("mixer", mixer.name), "forward", "bias"):
            reason = f"position {name!r} is a bias of attention, and mixer {mixer.name!r} has no attention"
            yield Misfit("model.position", reason)

    def _of(self, kind: str, dry: DryPart, context: Mapping[str, Any]) -> Iterator[Misfit]:
        part: Part = getattr(self.model, kind)
        for name in dry.asks:
            offered = ", ".join(sorted({**self.context, **context}))
            yield Misfit(f"model.{kind}", f"{kind} {part.name!r} asks for {name!r}; this {kind} is offered {offered}")
        if dry.refusal:
            yield Misfit(f"model.{kind}", f"{kind} {part.name!r}: {dry.refusal}")

    def _dry(self, kind: str, context: Mapping[str, Any]) -> DryPart:
        part: Part = getattr(self.model, kind)
        try:
            return dry_build(target_of(kind, part.name), {**self.context, **context, **part.options})
        except SourceError:  # a user's source that went away since its options were read
            return DryPart()
