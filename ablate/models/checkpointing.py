"""Activations that are computed again in the backward pass instead of being kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from ablate.models.block import Block
from ablate.models.pyramid import PyramidBlock


def recompute_blocks(model: nn.Module) -> None:
    """Let each block of the model keep its input alone, and compute the rest again for the backward pass.

    (Chen et al., arXiv 1604.06174.) Outputs, gradients and statistics are the same, bit for bit: random draws are
    repeated, and a BatchNorm counts a batch once. Blocks are those of our own models; a model of timm or of the user's
    has a method ``set_grad_checkpointing(enable)`` (timm's convention) that says what is computed again.

    Raises ValueError for a model that offers neither, and for one of the latter with BatchNorm, which would take the
    statistics of each batch twice.
    """
    blocks = [module for module in model.modules() if isinstance(module, Block | PyramidBlock)]
    for block in blocks:
        # In the module's own dictionary, and not around it: names of parameters stay what they are.
        block.__dict__["forward"] = _recomputed(block)
    if not blocks:
        _ask(model)


def _recomputed(block: nn.Module) -> Any:
    how: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": True}
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]
    if norms:
        how["context_fn"] = partial(_twice, norms)
    return partial(checkpoint, block.forward, **how)


def _twice(norms: list[_BatchNorm]) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """What surrounds the first computation, and the second."""
    return nullcontext(), _counted_already(norms)


@contextmanager
def _counted_already(norms: list[_BatchNorm]) -> Iterator[None]:
    """Statistics stay as they are: the batch's have a weight of 0, and the batch is not counted."""
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, counted) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, counted


def _ask(model: nn.Module) -> None:
    name = type(model).__name__
    refusal = f"{name} cannot compute activations again: set compute.checkpoint_activations to false"
    enable = getattr(model, "set_grad_checkpointing", None)
    if enable is None:
        raise ValueError(f"{refusal} (it has no blocks known here, and no method set_grad_checkpointing)")
    if any(isinstance(module, _BatchNorm) for module in model.modules()):
        raise ValueError(f"{refusal} (its BatchNorm would take the statistics of each batch twice)")
    try:
        enable(True)
    except (AssertionError, NotImplementedError) as error:  # so timm's models say that they cannot
        raise ValueError(f"{refusal} ({error})" if str(error) else refusal) from error
