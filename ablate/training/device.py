"""Where a Trial computes, and in which precision; neither is a decision of the trainer's."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

_HALF = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def default_device(local_rank: int = 0) -> torch.device:
    """The accelerator of this process's number (a slot sees its own alone), else the CPU."""
    return torch.device("cuda", local_rank) if torch.cuda.is_available() else torch.device("cpu")


def forward_precision(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The context of a forward pass: autocast for half precisions, nothing for ``float32``. It may be entered again."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=_HALF[precision])


@contextmanager
def tensor_float_32(*, allowed: bool) -> Iterator[None]:
    """Let matrix products and convolutions in float32 round their factors to TF32, or not, on GPUs that have it."""
    backends: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = allowed
    try:
        yield
    finally:
        for backend, value in zip(backends, before, strict=True):
            backend.allow_tf32 = value


def compiler() -> Callable[[Any], Any]:
    """`torch.compile`, such that a Trial does not depend on those that its process has trained before.

    torch keeps eight compiled forms of a function, and runs further ones uncompiled without a word; so what it kept is
    dropped. Compiled layers draw from torch's own generator, as uncompiled ones do.
    """
    import torch._dynamo as dynamo  # seconds, for those alone who compile

    dynamo.reset()
    return functools.partial(torch.compile, options={"fallback_random": True})


def seed_generator(device: torch.device, seed: int) -> None:
    """Seed the generator from which the device's layers draw (dropout).

    `torch.manual_seed` would seed every kind of device, which takes 0.3 ms, 2 % of a small model's update.
    """
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)
