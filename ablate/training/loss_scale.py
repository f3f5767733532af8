"""Scaling the loss, so that small gradients are not lost in half precision."""

from __future__ import annotations

import torch

from ablate.trainable import Diverged

#: As in `torch.amp.GradScaler`.
_FIRST, _GROWTH, _BACKOFF, _INTERVAL = 2.0**16, 2.0, 0.5, 2000
#: A gradient that overflows at this factor is not too large for float16, it is not finite at all.
_SMALLEST = 2.0**-14


class LossScale:
    """The factor of the loss in float16: halved when a gradient overflows, doubled after 2,000 updates without that.

    The rule and its constants are those of `torch.amp.GradScaler` (Micikevicius et al., arXiv 1710.03740, section 3.2),
    which only knows torch's own optimizers. Where it is not ``active`` the factor stays 1.
    """

    def __init__(self, *, active: bool) -> None:
        self.active = active
        self.factor = _FIRST if active else 1.0
        self._good = 0

    def after(self, *, overflowed: bool) -> None:
        """Adapt the factor to what became of an update's gradient. Raises `Diverged` where no factor would help."""
        if not self.active:
            return
        if overflowed and self.factor <= _SMALLEST:
            raise Diverged(
                f"the gradient is not finite, although the loss was multiplied by no more than {self.factor:g}"
            )
        self._good = 0 if overflowed else self._good + 1
        if overflowed:
            self.factor *= _BACKOFF
        elif self._good == _INTERVAL:
            self.factor, self._good = self.factor * _GROWTH, 0

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Factor and number of updates without overflow since it changed."""
        return {"factor": torch.tensor(self.factor, dtype=torch.float64), "good": torch.tensor(self._good)}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Take over what `state_dict` gave."""
        self.factor, self._good = float(state["factor"]), int(state["good"])
