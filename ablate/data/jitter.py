"""Colour jitter as torchvision's `ColorJitter`: brightness, contrast, saturation and hue, in an order drawn anew."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ablate import draws, recipe
from ablate.data.pieces import in_pieces
from ablate.data.pil_ops import brightness, color, contrast


class ColorJitterer:
    """Applies the Recipe's colour jitter to batches of uint8 images (B, C, S, S), any C."""

    def __init__(self, settings: recipe.ColorJitter) -> None:
        self.settings = settings
        self._steps: tuple[tuple[float, Callable[[Tensor, Tensor], Tensor]], ...] = (
            (settings.brightness, brightness),
            (settings.contrast, contrast),
            (settings.saturation, color),
            (settings.hue, turn_hue),
        )

    def __call__(self, images: Tensor, seed: int, epoch: int, keys: NDArray[np.int64]) -> Tensor:
        """Return augmented copies; ``keys`` (B,) are what draws are keyed by."""
        order, factors = self.choose(draws.uniform(seed, "jitter", epoch, keys, 8))
        images = images.clone()
        for turn in range(len(self._steps)):
            for kind, (strength, change) in enumerate(self._steps):
                members = np.flatnonzero(order[:, turn] == kind)
                if strength and len(members):
                    rows = torch.from_numpy(members).to(images.device)
                    own = torch.from_numpy(factors[members, kind]).to(images.device).view(-1, 1, 1, 1)
                    images[rows] = in_pieces(change, images[rows], own)
        return images

    def choose(self, draw: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Which of the four comes first, second, ..., and their factors, both (B, 4), from uniforms (B, 8)."""
        s = self.settings
        strengths = np.array([s.brightness, s.contrast, s.saturation])
        low = np.append(np.maximum(0.0, 1.0 - strengths), -s.hue)
        high = np.append(1.0 + strengths, s.hue)
        return np.argsort(draw[:, :4], axis=1), low + draw[:, 4:] * (high - low)


def turn_hue(images: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue of RGB images by a share of the circle, (n, 1, 1, 1); images of other channels stay as they are.

    In float32 between uint8, as torchvision does for tensors; PIL's hue has 256 steps.
    """
    if images.shape[1] != 3:
        return images
    pixels = images.float() / 255.0
    red, green, blue = pixels.split(1, dim=1)
    value = pixels.amax(1, keepdim=True)
    chroma = value - pixels.amin(1, keepdim=True)
    divisor = torch.where(chroma > 0, chroma, 1.0)
    sixths = torch.where(
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, 2.0 + (blue - red) / divisor, 4.0 + (red - green) / divisor),
    )
    corners = torch.tensor([5.0, 3.0, 1.0], device=images.device).view(1, 3, 1, 1)
    k = (corners + sixths + 6.0 * turn.float()) % 6.0
    turned = value - chroma * torch.minimum(k, 4.0 - k).clamp_(0.0, 1.0)
    return (turned * 255.999).to(torch.uint8)  # torchvision's scaling to uint8, truncated
