"""What `ablate attention` does: a finished Trial's attention and features on given images, as pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ablate.data.augmenting import normalise
from ablate.data.errors import DataError
from ablate.data.folder import FolderImages
from ablate.data.image_sets import ImageSet, MemoryImages
from ablate.data.sources import IN_MEMORY, class_names, load
from ablate.models.attention_maps import NoAttentionError, attention, intermediate_layers
from ablate.models.readouts.layer_wise_cls import LayerWiseClassToken
from ablate.recipe import Data
from ablate.reporting.figures.attention import Reading, Seen, draw, pictures
from ablate.reporting.figures.style import paper_style, to_png
from ablate.trained import Trained, load_trained

Show = Literal["attention", "features", "both"]
_HELD_OUT = re.compile(r"(test|val):(.*)", re.DOTALL)


def draw_attention(
    trial: str,
    images: Sequence[str],
    *,
    home: Path,
    out: Path,
    block: int | None = None,
    show: Show = "attention",
    tracking_uri: str | None = None,
    import_from: Sequence[Path] = (),
) -> list[Path]:
    """Write ``out/<trial>/<image>/overview.png``, and each picture beside it; the overviews, in the order of images.

    ``trial`` is the id of a finished Trial in the spool ``home``, or the beginning of one; by its full id it may be in
    the Store as well, and is then kept in the spool. An image is the path of a file, or ``test:INDEX`` or
    ``val:INDEX``: a held-out image of the Trial's own data, counted from 0 in the order of `per_example.npz`. The model
    computes on the CPU in float32. ``block`` counts from 1; None is the last. Of a model without attention, ``both``
    draws the features and says why they are alone. Parts of the user's own are looked for in ``import_from``.

    Raises ValueError, with one line for the user, where the Trial, an image or the model does not allow it, and
    where nothing can be written to ``out``.
    """
    trained = load_trained(trial, home, tracking_uri, import_from)
    source = _Images(trained.recipe.data)
    shown = [source.find(given) for given in images]  # all of them first: a mistake in the last one costs no time
    overviews = []
    for image, name in zip(shown, _names(images), strict=True):
        seen = _look(trained, image, source.classes, block, show)
        overviews.append(_write(seen, out / trained.name / name))
    return overviews


@dataclass(frozen=True)
class _Shown:
    """One image, as evaluation sees it."""

    given: str
    pixels: Tensor
    """uint8, (C, S, S)."""
    label: int | None
    """Its true class, where that is known."""


class _Images:
    """Images by the names that users give them, for a model of these data."""

    def __init__(self, data: Data) -> None:
        self.data = data
        self._held_out: dict[str, ImageSet] = {}

    @cached_property
    def classes(self) -> list[str]:
        """The names of the classes: those of the source, where it is there, else their numbers."""
        try:
            return class_names(self.data)
        except DataError:  # an image can be looked at wherever the model's data are
            return [str(k) for k in range(self.data.classes)]

    def find(self, given: str) -> _Shown:
        """Raises ValueError where there is no such image."""
        held_out = _HELD_OUT.fullmatch(given)
        if held_out is None:
            return _Shown(given, self._read(Path(given)), None)
        split, index = held_out.groups()
        if split not in self._held_out:
            self._held_out[split] = load(self.data.model_copy(update={"evaluate_on": split})).held_out
        images = self._held_out[split]
        if not re.fullmatch(r"[0-9]+", index) or int(index) >= len(images):
            last = len(images) - 1
            raise ValueError(f"{given}: there are {len(images)} {split} images, {split}:0 to {split}:{last}")
        position = torch.tensor([int(index)])
        return _Shown(given, images.images(position)[0], int(images.labels[position]))

    def _read(self, path: Path) -> Tensor:
        """An image file as evaluation sees an image of these data, uint8 (C, S, S)."""
        data = self.data
        if data.channels not in (1, 3):
            raise ValueError(f"{path}: the model sees {data.channels} channels; an image file is gray or has three")
        if path.is_dir():
            raise ValueError(f"{path} is a folder; name the image files in it that are to be shown")
        if not path.is_file():
            raise ValueError(f"there is no image {path}; one that is held out is named test:INDEX or val:INDEX")
        none, first = np.zeros(1, dtype=np.int64), torch.zeros(1, dtype=torch.int64)
        view = (data.channels, data.image_size, data.eval_resize, data.eval_resampling)
        file = FolderImages([path], none, none, *view)
        if data.kind not in IN_MEMORY:
            return file.images(first)[0]
        file.sizes(first)  # refuses what is no image, or has more than 8 bits a channel
        try:
            with Image.open(path) as image:
                pixels = np.array(image.convert("L" if data.channels == 1 else "RGB"))
        except OSError as error:
            raise DataError(f"cannot read the image {path}: {error}") from error
        pixels_NCHW = torch.from_numpy(pixels.reshape(1, *pixels.shape[:2], data.channels)).permute(0, 3, 1, 2)
        return MemoryImages(pixels_NCHW, first, first, *view[1:]).images(first)[0]


def _look(trained: Trained, shown: _Shown, classes: list[str], block: int | None, show: Show) -> Seen:
    """What the model sees in one image."""
    data, model = trained.recipe.data, trained.model
    images_BCHW = normalise(shown.pixels[None], data.mean, data.std)
    image_HWC = shown.pixels.permute(1, 2, 0).numpy()
    with torch.inference_mode():
        chances_K = model(images_BCHW)[0].softmax(-1)
        seen = Seen(
            title=f"{shown.given} · {_prediction(chances_K, shown.label, classes)}",
            subtitle=_about(trained),
            image=image_HWC[..., 0] if data.channels == 1 else image_HWC,
            block=0,
            readings=(),
            no_rollout="",
            features=(),
        )
        if show != "features":
            seen = _with_attention(seen, trained, images_BCHW, block, show)
        if show != "attention":
            maps = intermediate_layers(model, images_BCHW)
            seen = replace(seen, features=tuple(map_BDHW[0].permute(1, 2, 0).numpy() for map_BDHW in maps))
    return seen


def _with_attention(seen: Seen, trained: Trained, images_BCHW: Tensor, block: int | None, show: Show) -> Seen:
    try:
        found = attention(trained.model, images_BCHW, block)
    except NoAttentionError as error:
        if show == "both":  # the features are still there; the picture says why they are alone
            return replace(seen, no_attention=str(error))
        raise ValueError(
            f"the model of Trial {trained.name} has no attention to draw: {error}; its features can be drawn with "
            "--show features"
        ) from error
    readings = tuple(
        Reading(r.query, r.maps[0].numpy(), None if r.rollout is None else r.rollout[0].numpy()) for r in found.readings
    )
    layer_wise = isinstance(getattr(trained.model, "readout", None), LayerWiseClassToken)
    note = "The readout's own attention, over the class tokens of all layers, is not shown" if layer_wise else ""
    return replace(seen, block=found.block, readings=readings, no_rollout=found.no_rollout, note=note)


def _prediction(chances_K: Tensor, label: int | None, classes: list[str]) -> str:
    predicted = int(chances_K.argmax())
    text = f"predicted {classes[predicted]} ({100 * float(chances_K[predicted]):.1f} %)"
    return text if label is None else f"{text}, label {classes[label]}"


def _about(trained: Trained) -> str:
    model: Any = trained.record.recipe["model"]
    named = model.get("name") or f"{model['mixer']['name']}, dim {model['dim']}, depth {model['depth']}"
    return f"Trial {trained.name} · seed {trained.record.seed} · {named}"


def _names(images: Sequence[str]) -> list[str]:
    """A folder's name for each image, no two alike."""
    names: list[str] = []
    for given in images:
        stem = given if _HELD_OUT.fullmatch(given) else Path(given).stem
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.") or "image"
        same = sum(other == name or other.startswith(f"{name}~") for other in names)
        names.append(f"{name}~{same + 1}" if same else name)
    return names


def _write(seen: Seen, folder: Path) -> Path:
    """The overview's path."""
    with paper_style():
        files = {"overview.png": to_png(draw(seen)), **pictures(seen)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise ValueError(f"cannot write to {folder}: {error.strerror}") from error
    return folder / "overview.png"
