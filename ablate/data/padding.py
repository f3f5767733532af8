"""The crop of CIFAR's recipes (He et al., arXiv 1512.03385, section 4.2): a box of an image with zeros around it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from ablate import draws


class PaddedCrop:
    """Puts zeros around uint8 images (B, C, H, W) and cuts a box of their size out at a random place."""

    def __init__(self, padding: int) -> None:
        self.padding = padding

    def __call__(self, images: Tensor, seed: int, epoch: int, keys: NDArray[np.int64]) -> Tensor:
        """Return the boxes; all places are as likely, keyed by (seed, epoch, ``keys`` (B,))."""
        batch, channels, height, width = images.shape
        draw = draws.uniform(seed, "padding", epoch, keys, 2)
        start = torch.from_numpy(np.floor(draw * (2 * self.padding + 1)).astype(np.int64)).to(images.device)
        rows = (start[:, :1] + torch.arange(height, device=images.device)).view(batch, 1, height, 1)
        columns = (start[:, 1:] + torch.arange(width, device=images.device)).view(batch, 1, 1, width)
        padded = pad(images, [self.padding] * 4)
        cut = padded.gather(2, rows.expand(-1, channels, -1, padded.shape[3]))
        return cut.gather(3, columns.expand(-1, channels, height, -1))
