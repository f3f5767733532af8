"""A trained model for images of another size."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ablate.models.build import build
from ablate.models.vision_transformer import VisionTransformer
from ablate.recipe import Data, Model, WholeModel


@torch.no_grad()
def at_image_size(
    model: nn.Module, recipe: Model | WholeModel, data: Data, image_size: tuple[int, int]
) -> VisionTransformer:
    """A copy of a model of the space for images of ``image_size``, (height, width), px (ViT, arXiv 2010.11929, 3.2).

    ``recipe`` and ``data`` are what the model was built from. Parts whose parameters have one value a place resample
    them from the old grid of patches to the new one; all other parameters, and what training has left in buffers, are
    copied. At the size that the model was built for, it computes the same to the last bit. Precision, device and mode
    are the model's. Raises ValueError for a model beside the space, where a part does not fit the size, and, with the
    parameter's name, where one has values for places and its part has no method ``resampled``, as for layers along
    the tokens: also where the new grid has as many places as the old one, 2 x 8 for 4 x 4, as they lie elsewhere.
    """
    if not (isinstance(model, VisionTransformer) and isinstance(recipe, Model)):
        raise ValueError(f"only models of the space can be given another image size, not {type(model).__name__}")
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
    new_grid: Any = made.stem.grid
    if new_grid != old_grid:
        for name in _bound_to_places(model, recipe, data):
            if not hasattr(made.get_submodule(name.rpartition(".")[0]), "resampled"):
                grids = f"a grid of {old_grid[0]} x {old_grid[1]} and are not those of {new_grid[0]} x {new_grid[1]}"
                raise ValueError(f"{name} has weights for the places of {grids}, and cannot be resampled")
    made.load_state_dict(state)
    return made


def _bound_to_places(model: VisionTransformer, recipe: Model, data: Data) -> list[str]:
    """The parameters and buffers that have values for places: those of another shape in images twice as large."""
    with torch.device("meta"):
        larger = build(recipe, data, image_size=(2 * data.image_size, 2 * data.image_size)).state_dict()
    return [name for name, values in model.state_dict().items() if values.shape != larger[name].shape]


def _for(made: VisionTransformer, name: str, values: Tensor, old_grid: tuple[int, int]) -> Tensor:
    """The values of a parameter for the model's own grid."""
    owner, _, own_name = name.rpartition(".")
    resampled = getattr(made.get_submodule(owner), "resampled", None)
    return values if resampled is None else resampled(own_name, values, old_grid)
