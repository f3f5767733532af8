"""A trained model for images of another size."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ablate.models.build import build
from ablate.models.vision_transformer import VisionTransformer
from ablate.recipe import Data, Model


@torch.no_grad()
def at_image_size(
    model: VisionTransformer, recipe: Model, data: Data, image_size: tuple[int, int]
) -> VisionTransformer:
    """A copy of a model of the space for images of ``image_size``, (height, width), px (ViT, arXiv 2010.11929, 3.2).

    ``recipe`` and ``data`` are what the model was built from. Parts whose parameters have one value a place resample
    them from the old grid of patches to the new one; all other parameters, and what training has left in buffers, are
    copied. At the size that the model was built for, it computes the same to the last bit. Precision, device and mode
    are the model's. Raises ValueError where a part does not fit the size, and, with the parameter's name, where one
    would need another shape and its part has no method ``resampled``, as for layers along the tokens.
    """
    made = build(recipe, data, image_size=image_size)
    assert isinstance(made, VisionTransformer)
    some = next(model.parameters())
    made.to(some.device, some.dtype).train(model.training)
    old_grid: Any = model.stem.grid
    needed = made.state_dict()
    state = {name: _for(made, name, values, old_grid) for name, values in model.state_dict().items()}
    for name, values in state.items():
        if values.shape != needed[name].shape:
            before, after = tuple(values.shape), tuple(needed[name].shape)
            size = f"{image_size[0]} x {image_size[1]} px"
            raise ValueError(f"{name} is {before}, would have to be {after} for {size}, and cannot be resampled")
    made.load_state_dict(state)
    return made


def _for(made: VisionTransformer, name: str, values: Tensor, old_grid: tuple[int, int]) -> Tensor:
    """The values of a parameter for the model's own grid."""
    owner, _, own_name = name.rpartition(".")
    resampled = getattr(made.get_submodule(owner), "resampled", None)
    return values if resampled is None else resampled(own_name, values, old_grid)
