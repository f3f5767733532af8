"""The optimizers of timm's factory, fed by a Recipe."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from timm.optim import create_optimizer_v2, get_optimizer_info  # type: ignore[attr-defined]  # timm has no __all__ here
from timm.optim.adafactor import Adafactor
from timm.optim.adafactor_bv import AdafactorBigVision
from timm.optim.kron import Kron
from torch import nn

from ablate.recipe import Optimizer
from ablate.training.parameter_groups import parameter_groups
from ablate.wording import listing, nearest

#: Arguments that are decays of a second moment; an optimizer has one of them, or betas, or none.
_SECOND_MOMENT_DECAYS = ("alpha", "rho", "beta2_cap")
#: Whose eps is no guard of a root: it is added to squared gradients, and 1e-8 there would be far too much.
_OWN_EPS = (Adafactor, AdafactorBigVision)


class FactoryOptimiser:
    """An optimizer made by `timm.optim.create_optimizer_v2`, on parameter groups of ours.

    ``decay`` and ``layer_decay`` of the settings therefore mean the same for all. What is done with the weight decay of
    a group is the optimizer's own: ``sgd``, ``adam``, ``lamb`` and others add it to the gradient, and their decoupled
    forms have names of their own (``sgdw``, ``lambw``, ...). Position embeddings and tokens are trained by the AdamW
    that stands in for Muon (``muon``, ``adamuon``, ...) where there is no matrix, as with timm's
    ``fallback_no_weight_decay``.

    ``beta1`` is the momentum where there are no betas. Muon has both, and may be given another ``momentum`` as an
    option. ``beta2`` is RMSprop's ``alpha``, Adadelta's ``rho`` and the ``beta2_cap`` of big_vision's Adafactor. Adan's
    second beta of three, that of differences between gradients, is timm's default. The Adafactors take an ``eps`` of
    their own as an option.

    Raises ValueError for an option that the optimizer does not take or that other settings decide, for a value that
    it refuses, and for an optimizer of second order.
    """

    def __init__(self, model: nn.Module, settings: Optimizer, peak: float) -> None:
        name, info = settings.name, get_optimizer_info(settings.name)
        if info.second_order:
            raise ValueError(f"optimizer {name!r} needs second derivatives, which the training does not compute")
        self._kind: Any = info.opt_class
        groups = parameter_groups(model, settings)
        self._names = [list(group.parameters) for group in groups]
        arguments = _arguments(settings)
        try:
            self._optimizer = create_optimizer_v2(
                [
                    {
                        "params": list(group.parameters.values()),
                        "weight_decay": group.weight_decay,
                        "lr_scale": group.rate_scale,
                        "use_fallback": group.left_alone,
                    }
                    for group in groups
                ],
                name,
                lr=peak,  # the corrected ones (`adamc`, ...) take it for the highest rate that will come
                weight_decay=0.0,
                **arguments,
            )
        except (AssertionError, TypeError, ValueError) as error:
            raise ValueError(f"optimizer {name!r}: {error}") from error

    def step(self, rate: float) -> None:
        """One update from the gradients at hand; a parameter that has none stays as it is."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group["lr_scale"]
        with self._eager():
            self._optimizer.step()

    def _eager(self) -> AbstractContextManager[object]:
        """Kron compiles its products for each shape anew, at most eight of them: a model has more shapes than that."""
        if self._kind is Kron:
            return torch.compiler.set_stance("force_eager")
        return nullcontext()

    def state_dict(self) -> dict[str, Any]:
        """Names of the parameters, group by group, and the optimizer's own state; the tensors in use, not copies."""
        return {"parameters": self._names, "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave. Raises ValueError where it is of other parameters."""
        if state["parameters"] != self._names:
            own, other = ({name for group in names for name in group} for names in (self._names, state["parameters"]))
            raise ValueError(f"the optimiser's state is of other parameters, or groups of them: {sorted(own ^ other)}")
        self._optimizer.load_state_dict(state["optimizer"])


#: Decided elsewhere, or of no use to a training: it minimises, step by step, outside of graphs.
_NOT_OPTIONS = ("self", "params", "lr", "weight_decay", "maximize", "differentiable", "capturable")


def _arguments(settings: Optimizer) -> dict[str, Any]:
    """What the optimizer is made with beside groups and rate. Raises ValueError for an option that it does not take."""
    info = get_optimizer_info(settings.name)
    kind: Any = info.opt_class
    parameters = inspect.signature(kind.__init__).parameters
    decided = _decided(settings, parameters)
    free = [name for name in parameters if name not in (*_NOT_OPTIONS, *decided)]
    arguments: dict[str, Any] = {}
    if info.has_betas and info.has_momentum:
        arguments["momentum"] = settings.beta1
    if kind is Kron:  # else its noise comes from torch's global generator, which is no part of its state
        arguments["deterministic"] = True
    for name, value in settings.options.items():
        if name not in free:
            by = "other settings decide it" if name in parameters else f"{listing(free)}{nearest(name, free)}"
            raise ValueError(f"optimizer {settings.name!r} takes no option {name!r}: {by}")
        arguments[name] = value
    return {**decided, **arguments}


def _decided(settings: Optimizer, parameters: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    """The arguments that ``beta1``, ``beta2`` and ``eps`` of the settings are."""
    info = get_optimizer_info(settings.name)
    found: dict[str, Any] = {}
    if info.has_betas:
        between = parameters["betas"].default[1:-1] if info.num_betas > 2 else ()
        found["betas"] = (settings.beta1, *between, settings.beta2)
    elif "momentum" in parameters:
        found["momentum"] = settings.beta1
    found |= {name: settings.beta2 for name in _SECOND_MOMENT_DECAYS if name in parameters}
    if "eps" in parameters and info.opt_class not in _OWN_EPS:
        found["eps"] = settings.eps
    return found
