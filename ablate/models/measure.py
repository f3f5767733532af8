"""What a model costs: parameters, arithmetic, and memory for its activations."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count


@dataclass(frozen=True)
class Cost:
    """The size of a model and what one image costs it."""

    parameters: int
    """Trainable values; one that several layers share counts once."""
    macs: int
    """Multiply-adds of the forward pass in evaluation, one image: what most papers call FLOPs."""
    flops: int
    """Two for each multiply-add. Matrix products, convolutions and attention count; norms, activations, softmax and
    other work on single values do not, as is the papers' habit."""
    activation_bytes: int
    """What autograd keeps for the backward pass in training, float32, for each further image in the batch. Parameters
    and images are not in it, nor is what an operation needs only while it runs. It is what the CPU's kernels keep, the
    fused one of attention included; CUDA's differ a little: dropout's mask has 4 bytes a value here and 1 there."""


def measure(model: nn.Module, image_size: tuple[int, int], channels: int, classes: int | None = None) -> Cost:
    """The cost of a model for images of ``image_size``, (height, width) px.

    It is run on tensors that have a shape and no values, so that it takes neither memory nor time to speak of, and the
    model may be on any device, the meta device included. Its parameters, buffers and mode, and the random generators,
    are afterwards what they were.

    Raises what the model's forward raises, and, where ``classes`` is given, ValueError for logits that are not
    (B, classes).
    """
    with _one_report(), FakeTensorMode(allow_non_fake_inputs=True):
        values = _stand_ins(model)
        with _mode(model, training=False):
            flops, output = _forward(model, values, torch.empty(1, channels, *image_size))
        if classes is not None:
            _check_logits(output, classes)
        with _mode(model, training=True):
            # The difference of two batches leaves out what is kept once a batch. BatchNorm needs two images.
            two, three = (_saved_bytes(model, values, torch.empty(batch, channels, *image_size)) for batch in (2, 3))
    parameters = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return Cost(parameters=parameters, macs=flops // 2, flops=flops, activation_bytes=three - two)


def forward_flops(model: nn.Module, image_size: tuple[int, int], channels: int) -> int:
    """The ``flops`` of `measure` alone. Raises what the model's forward raises."""
    with _one_report(), FakeTensorMode(allow_non_fake_inputs=True), _mode(model, training=False):
        return _forward(model, _stand_ins(model), torch.empty(1, channels, *image_size))[0]


def _stand_ins(model: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers without values, on the CPU, in float32 where they are no whole numbers."""
    made = {}
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
        made[name] = torch.empty(tensor.shape, dtype=dtype).requires_grad_(tensor.requires_grad)
    return made


@contextmanager
def _mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """The model in training or evaluation, and then each of its modules as it was."""
    before = {module: module.training for module in model.modules()}
    model.train(training)
    try:
        yield
    finally:
        for module, was in before.items():
            module.training = was


@contextmanager
def _one_report() -> Iterator[None]:
    """Keep torch from logging the traceback of an error that is raised as well."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _check_logits(output: Any, classes: int) -> None:
    """Raise ValueError unless it is the logits of one image."""
    if not isinstance(output, Tensor):
        raise ValueError(f"the model gives a {type(output).__name__}, not logits; it must give (B, classes)")
    if output.shape != (1, classes):
        # One image was given: a leading 1 is the batch, anything else is as it came.
        sizes = ["B" if place == 0 and size == 1 else str(size) for place, size in enumerate(output.shape)]
        raise ValueError(f"the model gives ({', '.join(sizes)}) for {classes} classes; it must give (B, classes)")


def _fused_attention_flops(q: Any, k: Any, v: Any, *_others: Any, **_named: Any) -> int:
    return sdpa_flop_count(q, k, v)


#: torch counts the fused attention of GPUs, but not (in 2.14) that of the CPU, which would be nothing.
_CPU_ATTENTION = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _fused_attention_flops}


# With gradients: without them the counter's module hooks fail where a block is given a view of a parameter, and
# torch's own attention modules take a path that is not counted.
@torch.enable_grad()
def _forward(model: nn.Module, values: dict[str, Tensor], images_BCHW: Tensor) -> tuple[int, Any]:
    """The FLOPs of the forward pass, and what it gives."""
    with FlopCounterMode(display=False, custom_mapping=_CPU_ATTENTION) as counter:
        output = functional_call(model, values, (images_BCHW,))
    return int(counter.get_total_flops()), output


@torch.enable_grad()
def _saved_bytes(model: nn.Module, values: dict[str, Tensor], images_BCHW: Tensor) -> int:
    given = {_storage(tensor) for tensor in (*values.values(), images_BCHW)}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        # A view keeps all of its storage. The tensor is held here, so that no other storage gets its address.
        kept.setdefault(_storage(tensor), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = functional_call(model, values, (images_BCHW,))
    del output
    return sum(tensor.untyped_storage().nbytes() for storage, tensor in kept.items() if storage not in given)


def _storage(tensor: Tensor) -> int:
    """What tells one storage from another while both live."""
    return tensor.untyped_storage()._cdata
