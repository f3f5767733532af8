"""AdamW, with weight decay only where the Recipe decays."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.optim.adamw import adamw

from ablate.recipe import Optimizer

# _ConvNd is what torch calls the base of all its convolutions; it has no public name.
_KERNELS = (nn.Linear, nn.modules.conv._ConvNd)


@dataclass(frozen=True)
class _Slot:
    """A parameter, and what AdamW keeps of it."""

    parameter: nn.Parameter
    first_moment: torch.Tensor
    second_moment: torch.Tensor
    updates: torch.Tensor


class AdamW:
    """AdamW (Loshchilov and Hutter, arXiv 1711.05101, algorithm 2), by torch's fused kernel.

    torch multiplies the decay by the learning rate: ``w -= rate * weight_decay * w``. big_vision's 1e-4 at a
    peak rate of 1e-3 is therefore a ``weight_decay`` of 0.1, and follows the schedule in both.

    This calls the function behind `torch.optim.AdamW`. Making an object of that class imports torch's compiler,
    which costs each process some 2.5 s, a third of what a small Trial takes.
    """

    def __init__(self, model: nn.Module, settings: Optimizer) -> None:
        self._settings = settings
        self._slots = {
            name: _Slot(p, torch.zeros_like(p), torch.zeros_like(p), torch.zeros((), device=p.device))
            for name, p in model.named_parameters()
            if p.requires_grad
        }
        decayed = decayed_names(model, settings.decay)
        self._groups = (
            (settings.weight_decay, [slot for name, slot in self._slots.items() if name in decayed]),
            (0.0, [slot for name, slot in self._slots.items() if name not in decayed]),
        )

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One update from the gradients at hand; a parameter that has none stays as it is."""
        for weight_decay, group in self._groups:
            slots = [slot for slot in group if slot.parameter.grad is not None]
            adamw(
                [slot.parameter for slot in slots],
                [slot.parameter.grad for slot in slots if slot.parameter.grad is not None],
                [slot.first_moment for slot in slots],
                [slot.second_moment for slot in slots],
                [],
                [slot.updates for slot in slots],
                fused=True,
                amsgrad=False,
                beta1=self._settings.beta1,
                beta2=self._settings.beta2,
                lr=rate,
                weight_decay=weight_decay,
                eps=self._settings.eps,
                maximize=False,
            )

    def state_dict(self) -> dict[str, tuple[torch.Tensor, ...]]:
        """Parameter's name -> first moment, second moment and number of updates; the tensors in use, not copies."""
        return {n: (slot.first_moment, slot.second_moment, slot.updates) for n, slot in self._slots.items()}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, tuple[torch.Tensor, ...]]) -> None:
        """Take over what `state_dict` gave. Raises ValueError where it is of other parameters."""
        own = self.state_dict()
        if own.keys() != state.keys():
            raise ValueError(f"the optimiser's state is of other parameters: {sorted(own.keys() ^ state.keys())}")
        for name, tensors in own.items():
            for mine, theirs in zip(tensors, state[name], strict=True):
                mine.copy_(theirs)


def decayed_names(model: nn.Module, decay: str) -> set[str]:
    """Names of the parameters that decay: every one for ``all``, else the kernels.

    A kernel is the ``weight`` of a dense layer or a convolution, as big_vision's ``.*/kernel$``. Biases, norms,
    position embeddings and class tokens are none, nor is what a part of the user's own holds as a bare parameter.
    """
    if decay == "all":
        return {name for name, _ in model.named_parameters()}
    kernels = {id(module.weight) for module in model.modules() if isinstance(module, _KERNELS)}
    return {name for name, parameter in model.named_parameters() if id(parameter) in kernels}
