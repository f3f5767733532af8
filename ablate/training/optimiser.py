"""The optimiser of a Recipe: AdamW by torch's fused kernel, or any other of timm's factory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn
from torch.optim.adamw import adamw

from ablate.recipe import Optimizer
from ablate.recipe.training import ADAMW
from ablate.training.parameter_groups import parameter_groups


class Optimiser(Protocol):
    """What updates a model's parameters, at a rate that it is told at every step."""

    def step(self, rate: float) -> None:
        """One update from the gradients at hand; a parameter that has none stays as it is."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All that decides the next steps, in what `torch.load` reads with ``weights_only``; not copied."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave. Raises ValueError where it is of other parameters."""
        ...


def make_optimiser(model: nn.Module, settings: Optimizer, peak: float) -> Optimiser:
    """The optimiser that ``settings`` describe, for a training whose highest learning rate is ``peak``.

    Raises ValueError for settings that the optimiser or the model does not take.
    """
    if settings.name != ADAMW:
        # Here, because making any optimizer of timm's or torch's imports timm, and torch's compiler.
        from ablate.training.factory_optimiser import FactoryOptimiser

        return FactoryOptimiser(model, settings, peak)
    return AdamW(model, settings)


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
        self._groups = parameter_groups(model, settings)

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One update from the gradients at hand; a parameter that has none stays as it is."""
        for group in self._groups:
            slots = [self._slots[name] for name, parameter in group.parameters.items() if parameter.grad is not None]
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
                lr=rate * group.rate_scale,
                weight_decay=group.weight_decay,
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
