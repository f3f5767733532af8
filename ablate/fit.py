"""Whether the parts of a Recipe's model fit together and fit the images: told when the study is loaded.

Each part says in its constructor what it cannot be built for; `dry_build` reads that. What concerns several parts
at once stands here. Nothing is imported, so a plan of a study stays torch-free.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ablate.dry_build import DryPart, dry_build
from ablate.parts import SourceError, target_of
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
    grid: tuple[int, int] | None = space.stem().attributes.get("grid")
    return grid


def _whole(model: WholeModel, context: Mapping[str, Any]) -> Iterator[Misfit]:
    if model.timm_name is not None:
        return  # timm tells when it is built
    part = dry_build(model_target(model.name), {**model.options, **context})
    if part.refusal:
        yield Misfit("model", f"model {model.name!r}: {part.refusal}")


class _Space:
    """A model of the space, part by part, in the order in which they are assembled."""

    def __init__(self, model: Model, images: Mapping[str, Any], classes: int) -> None:
        self.model, self.images, self.classes = model, images, classes
        self.context: dict[str, Any] = {"dim": model.dim, "depth": model.depth, "dropout": model.dropout}

    def misfits(self) -> Iterator[Misfit]:
        model = self.model
        stem = self.stem()
        yield from _refusal("stem", model.stem, stem)
        if stem.refusal:
            return  # the other parts would be judged on a grid that there is not
        grid = {"grid": stem.attributes["grid"]} if "grid" in stem.attributes else {}
        heads = model.mixer.options.get("heads")
        with_heads = {} if heads is None else {"heads": heads}
        readout = self._dry("readout", **grid, **with_heads)
        yield from _refusal("readout", model.readout, readout)
        prefix = readout.attributes.get("prefix_tokens", 0)
        place = {**grid, "prefix_tokens": prefix, "block": 0}
        for kind in ("mixer", "feed_forward"):
            yield from _refusal(kind, getattr(model, kind), self._dry(kind, **place))
        covered = prefix if model.position_covers == "all" else 0
        position = self._dry("position", **grid, prefix_tokens=covered, **with_heads)
        yield from _refusal("position", model.position, position)
        yield from self._bias(position)
        yield from _refusal("norm", model.norm, self._dry("norm"))
        yield from _refusal("head", model.head, self._dry("head", classes=self.classes))

    def stem(self) -> DryPart:
        """The stem, as far as its source tells."""
        return self._dry("stem", **self.images)

    def _bias(self, position: DryPart) -> Iterator[Misfit]:
        name = self.model.position.name
        if position.attributes.get("acts_on") != "attention":
            return
        if self.model.position_at == "stem":
            both = "every_layer or every_layer_shared"
            yield Misfit("model.position", f"position {name!r} is a bias of each block's attention: set position_at to {both}")
        if "heads" not in self.model.mixer.options:
            mixer = self.model.mixer.name
            yield Misfit("model.position", f"position {name!r} is a bias of attention, and mixer {mixer!r} has no attention")

    def _dry(self, kind: str, **context: Any) -> DryPart:
        part: Part = getattr(self.model, kind)
        try:
            return dry_build(target_of(kind, part.name), {**self.context, **context, **part.options})
        except SourceError:  # a user's source that went away since its options were read
            return DryPart()


def _refusal(kind: str, part: Part, dry: DryPart) -> Iterator[Misfit]:
    if dry.refusal:
        yield Misfit(f"model.{kind}", f"{kind} {part.name!r}: {dry.refusal}")
