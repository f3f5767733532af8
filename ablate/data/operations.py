"""One operation of PIL for each image of a batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ablate.data.pieces import in_pieces
from ablate.data.pil_affine import MOVES, Resampling, move
from ablate.data.pil_ops import ON_VALUES


@dataclass(frozen=True)
class Chosen:
    """What happens to each of B images."""

    names: tuple[str, ...]
    """Operations to choose from: keys of `ON_VALUES`, and `MOVES`."""
    places: NDArray[np.int64]
    """(B,): which of the names, or -1 for none."""
    arguments: NDArray[np.float64]
    """(B,): what the operation takes."""
    resampling: NDArray[np.int64]
    """(B,): a `Resampling`, where pixels are moved."""


def apply(images: Tensor, chosen: Chosen, fill: Tensor) -> Tensor:
    """Changed copies of uint8 images (B, C, H, W); images with the same operation go through it together.

    ``fill`` (C,) uint8 is the colour of pixels from outside.
    """
    result = images.clone()
    for place in np.unique(chosen.places[chosen.places >= 0]):
        name = chosen.names[place]
        members = np.flatnonzero(chosen.places == place)
        if name not in MOVES:
            rows = torch.from_numpy(members).to(images.device)
            arguments = torch.from_numpy(chosen.arguments[members]).to(images.device).view(-1, 1, 1, 1)
            result[rows] = in_pieces(ON_VALUES[name], images[rows], arguments)
            continue
        for kind in Resampling:
            own = members[chosen.resampling[members] == kind]
            if len(own):
                rows = torch.from_numpy(own).to(images.device)
                result[rows] = move(images[rows], name, chosen.arguments[own], fill, kind)
    return result
