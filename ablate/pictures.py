"""Held-out images as pictures, and what their classes are called, for a report's page: where the data are here."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from ablate.data.class_names import names_here
from ablate.data.errors import DataError
from ablate.data.packaged import PACKAGED, Arrays
from ablate.data.resampling import to_image
from ablate.data.splits import held_out
from ablate.recipe import Data
from ablate.study.study import ResolvedRecipe

_Views = Iterable[NDArray[np.uint8]]
"""Images (H, W, C), as evaluation sees them."""


def pictures(recipe: ResolvedRecipe, indices: Sequence[int]) -> list[bytes] | None:
    """A PNG for each held-out image, in the size and the view in which the Recipe's model is judged on it.

    `recipe` is one of the built-in vision trainer's, whose `data` says where images are; an index is an image's place
    in its source, as in `per_example.npz`. None where they are not here: of other Recipes, of data that are read over
    a network or by timm's readers, of folders that are not on this machine or have changed, and of images that are
    neither gray nor RGB. Packaged images in their own size are read without torch.
    """
    data = _data(recipe)
    if data is None or data.channels not in (1, 3):
        return None
    if data.source in PACKAGED and _as_they_are(data, arrays := PACKAGED[data.source]()):
        views = _of_arrays(data, arrays, indices)
    else:
        views = _as_evaluated(data, indices)
    return None if views is None else [_png(view) for view in views]


def class_names(recipe: ResolvedRecipe) -> list[str] | None:
    """A name for each class of a vision Recipe's data, in the order of their labels; None where they have none, or are
    not on this machine. No images are read.
    """
    data = _data(recipe)
    return None if data is None else names_here(data)


def _data(recipe: ResolvedRecipe) -> Data | None:
    """None for a Recipe that is not the built-in trainer's."""
    if not isinstance(recipe.get("data"), Mapping):
        return None
    try:
        return Data.model_validate(recipe["data"])
    except ValidationError:
        return None


def _as_they_are(data: Data, arrays: Arrays) -> bool:
    """Whether evaluation sees the images (N, C, H, W) of a source unchanged."""
    pixels, labels = arrays
    size = (data.channels, data.image_size, data.image_size)
    return pixels.shape[1:] == size and data.eval_resize == data.image_size and data.classes == labels.max() + 1


def _of_arrays(data: Data, arrays: Arrays, indices: Sequence[int]) -> _Views | None:
    pixels, labels = arrays
    test, val = held_out(data, labels, np.arange(len(labels), dtype=np.int64))
    judged = set(np.flatnonzero(val if data.evaluate_on == "val" else test).tolist())
    return pixels[list(indices)].transpose(0, 2, 3, 1) if judged.issuperset(indices) else None


def _as_evaluated(data: Data, indices: Sequence[int]) -> _Views | None:
    # Late: it imports torch, and a report that shows no such images does without.
    import torch

    from ablate.data.sources import IN_MEMORY, load

    location = data.location()
    if data.kind not in IN_MEMORY and location is None:
        return None
    if location is not None and not location.is_dir():
        return None
    try:
        judged = load(data).held_out
        place = {index: position for position, index in enumerate(judged.indices.tolist())}
        if any(index not in place for index in indices):
            return None
        positions = torch.tensor([place[i] for i in indices], dtype=torch.int64)
        views: NDArray[np.uint8] = judged.images(positions).permute(0, 2, 3, 1).contiguous().numpy()
    except DataError:
        return None
    return views


def _png(view_HWC: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    to_image(view_HWC).save(file, "PNG", optimize=True)
    return file.getvalue()
