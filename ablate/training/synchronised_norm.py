"""Batch normalisation over a batch that several processes share."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from ablate.training.world import World


def synchronise(model: nn.Module, world: World) -> bool:
    """Make batch normalisations of the model normalise over all processes in training; whether it has any.

    As with `torch.nn.SyncBatchNorm`, which needs a GPU, is another class and leaves out what is derived from
    BatchNorm, as timm's are. Names, parameters and buffers stay. Running statistics are those of the whole batch, the
    same in every process. Every process must send the same number of micro-batches through the model, and a backward
    pass through each: they wait for one another in each layer, so none can repeat its part alone.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    if world.size > 1:
        for norm in norms:
            kind = type(norm)
            norm.__class__ = type(kind.__name__, (_Synchronised, kind), {"__module__": kind.__module__, "world": world})
    return bool(norms)


class _Synchronised(nn.Module):
    """Goes before the class of a batch normalisation."""

    world: World

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the class does, with another `torch.nn.functional.batch_norm`."""
        with _OverAllProcesses(self.world):
            return super().forward(*args, **kwargs)


class _OverAllProcesses(TorchFunctionMode):
    """Within a layer, so that whatever it does besides normalising, timm's activations say, is left to it."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        return _batch_norm(self._world, *args, **kwargs) if func is F.batch_norm else func(*args, **kwargs)


def _batch_norm(
    world: World,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.batch_norm`, by its own names, of all processes' rows together."""
    if not training:
        return F.batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    values = input.to(torch.promote_types(input.dtype, torch.float32))
    normed, mean, variance, count = _Normalised.apply(values, eps, world)
    if running_mean is not None and running_var is not None:
        running_mean.lerp_(mean.to(running_mean.dtype), momentum)
        running_var.lerp_((variance * (count / (count - 1))).to(running_var.dtype), momentum)
    if weight is not None:
        normed = normed * _along_channels(weight, normed)
    if bias is not None:
        normed = normed + _along_channels(bias, normed)
    return normed.to(input.dtype)


class _Normalised(torch.autograd.Function):
    """(x - mean) / sqrt(variance + eps), for each channel over all else (Ioffe and Szegedy, arXiv 1502.03167).

    With x' for the result, n values a channel in all processes and g the gradient for x', that for x is
    (g - sum(g) / n - x' sum(g x') / n) / sqrt(variance + eps), where sums run over all processes, too.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, eps: float, world: World) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """x', and mean, variance (with n) and n, which no gradient flows through."""
        others = [dimension for dimension in range(values.dim()) if dimension != 1]
        own = values.new_full((1,), values.numel() // values.shape[1])
        sums = world.total(torch.cat([values.sum(others), own]))
        count = sums[-1]
        mean = sums[:-1] / count
        # In a second pass, since a difference of squares would lose what digits a small variance has.
        centred = values - _along_channels(mean, values)
        variance = world.total(centred.square().sum(others)) / count
        scale = (variance + eps).rsqrt()
        normed = centred * _along_channels(scale, values)
        ctx.save_for_backward(normed, scale, count)
        ctx.world = world
        ctx.mark_non_differentiable(mean, variance, count)
        return normed, mean, variance, count

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """From the gradient for the first output."""
        gradient = gradients[0]
        normed, scale, count = ctx.saved_tensors
        others = [dimension for dimension in range(gradient.dim()) if dimension != 1]
        sums = ctx.world.total(torch.cat([gradient.sum(others), (gradient * normed).sum(others)])) / count
        plain, along = (_along_channels(part, gradient) for part in sums.chunk(2))
        return (gradient - plain - normed * along) * _along_channels(scale, gradient), None, None


def _along_channels(vector_C: Tensor, like: Tensor) -> Tensor:
    return vector_C.view(-1, *[1] * (like.dim() - 2))
