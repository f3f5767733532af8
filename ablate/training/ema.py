"""An exponential moving average of a model's weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ablate.recipe import Ema


class Average:
    """The moving average of a model's parameters and running statistics; it begins as what they are.

    After update t, counted from 0, ``average = d * average + (1 - d) * weight`` with ``d = decay``, or with warm-up
    ``d = min(decay, (1 + t) / (10 + t))``, as in TensorFlow's ExponentialMovingAverage. Of buffers, those that the
    model's ``state_dict`` holds: the statistics of batch norms are averaged as parameters are, whole numbers copied
    (timm's ModelEmaV3 and the ModelEma of DeiT). Tables that it does not hold are no part of the training.

    timm's ModelEmaV3 gives the same numbers where it is not told the step, as DeiT's ModelEma never is. Where it is, as
    in timm's train.py, its first update has ``d = 0``, and its warm-up is ``d = min(decay, 1 - (1 + t) ** (-2 / 3))``.

    The model is always the same one, not wrapped for compilation or distribution, for its names to be its own.
    """

    def __init__(self, model: nn.Module, settings: Ema) -> None:
        self._settings = settings
        self._values = {name: value.clone() for name, value in model.state_dict().items()}

    def decay(self, step: int) -> float:
        """The share of the average that is kept after the update before which ``step`` were made."""
        decay = self._settings.decay
        return min(decay, (1 + step) / (10 + step)) if self._settings.warmup else decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after an update, ``step`` of them made before it."""
        now = model.state_dict()
        averaged = [name for name, value in self._values.items() if value.is_floating_point()]
        values, weights = [self._values[name] for name in averaged], [now[name] for name in averaged]
        torch._foreach_lerp_(values, weights, weight=1.0 - self.decay(step))
        for name in self._values.keys() - set(averaged):
            self._values[name].copy_(now[name])

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        """The model with the averaged values, within the context; afterwards with its own again, bit for bit."""
        now = model.state_dict()
        own = {name: value.clone() for name, value in now.items()}
        _copy(self._values, now)
        try:
            yield
        finally:
            _copy(own, now)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged values by the names of the model's own ``state_dict``; the tensors in use, not copies."""
        return dict(self._values)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over what `state_dict` gave. Raises ValueError where it is of other parameters."""
        if self._values.keys() != state.keys():
            raise ValueError(f"the average is of other parameters: {sorted(self._values.keys() ^ state.keys())}")
        _copy(state, self._values)


@torch.no_grad()
def _copy(values: dict[str, Tensor], into: dict[str, Tensor]) -> None:
    for name, value in values.items():
        into[name].copy_(value)
