"""Held-out images as pictures for a report's page, where the data are on this machine."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from ablate.recipe import Data
from ablate.study.study import ResolvedRecipe


def pictures(recipe: ResolvedRecipe, indices: Sequence[int]) -> list[bytes] | None:
    """A PNG for each held-out image, in the size and the view in which the Recipe's model is judged on it.

    `recipe` is one of the built-in vision trainer's, whose `data` says where images are; an index is an image's place
    in its source, as in `per_example.npz`. None where they are not here: of other Recipes, of data that are read over
    a network or by timm's readers, of folders that are not on this machine or have changed, and of images that are
    neither gray nor RGB.
    """
    if not isinstance(recipe.get("data"), Mapping):
        return None
    try:
        data = Data.model_validate(recipe["data"])
    except ValidationError:
        return None
    if data.channels not in (1, 3):
        return None

    # Late: a report that shows no images does without torch.
    import torch

    from ablate.data.errors import DataError
    from ablate.data.resampling import to_image
    from ablate.data.sources import IN_MEMORY, load

    location = data.location()
    if data.kind not in IN_MEMORY and location is None:
        return None
    if location is not None and not location.is_dir():
        return None
    try:
        held_out = load(data).held_out
        place = {index: position for position, index in enumerate(held_out.indices.tolist())}
        if any(index not in place for index in indices):
            return None
        views_NHWC = held_out.images(torch.tensor([place[i] for i in indices], dtype=torch.int64)).permute(0, 2, 3, 1)
    except DataError:
        return None
    made = []
    for view_HWC in views_NHWC.contiguous().numpy():
        file = io.BytesIO()
        to_image(view_HWC).save(file, "PNG", optimize=True)
        made.append(file.getvalue())
    return made
