"""What a model draws for a part of a batch: exactly that which it would have drawn for the whole.

Dropout and stochastic depth draw one number after another from torch's generator, so a batch that is cut, because it
does not fit into memory or because several processes share it, would otherwise meet other luck than an uncut one. Here
each draw is made for the whole batch, and the part takes its rows of it. The trainer seeds the generator with the
update's own seed before each part, so that all of them walk through the same stream.

It is done below autograd, where every way of drawing has come down to a handful of torch's operations, whoever asked
for it: `torch.nn.functional.dropout`, timm's `drop_path`, what hides in `nn.MultiheadAttention`, a user's `torch.rand`.
(One level higher, a `TorchFunctionMode` is not shown what functions written in Python call.)
"""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode  # as torch's own documentation has it

_aten = torch.ops.aten

#: They fill the tensor that they are given first.
_FILL = {
    _aten.bernoulli_.float,
    _aten.cauchy_.default,
    _aten.exponential_.default,
    _aten.geometric_.default,
    _aten.log_normal_.default,
    _aten.normal_.default,
    _aten.uniform_.default,
}
#: They give a tensor like the one that they are given first.
_LIKE = {
    _aten.bernoulli.p,
    _aten.rand_like.default,
    _aten.randint_like.default,
    _aten.randint_like.low_dtype,
    _aten.randn_like.default,
}
#: They make a tensor of a size, which stands at this place of their arguments.
_OF_SIZE = {
    _aten.rand.default: 0,
    _aten.randint.default: 1,
    _aten.randint.low: 2,
    _aten.randn.default: 0,
    _aten.normal.float_float: 2,
}
#: What they draw has no rows that belong to images.
_FOR_NO_IMAGE = {_aten.randperm.default}


@contextmanager
def whole_batch_draws(rows: slice, batch_size: int) -> Iterator[None]:
    """Within it, a model that is given these ``rows`` of a batch draws for them what it would in the whole batch.

    A tensor drawn for the part is known by its first dimension, a multiple of the part's rows: image by image, and
    within an image the windows of a Swin. (Where it is one by chance, as with tokens first and images second, a draw
    is still of the right kind, but not that of the whole batch.) Other draws are the same for each part.

    Drawing costs each part the time and, one layer after another, the memory of drawing for the whole batch. Nothing
    changes where the rows are the whole batch. The backward pass belongs inside where it computes activations again.
    A compiled model runs as if it were not: for such a one, ask `draws` whether any of this is needed.
    On a GPU, attention that drops weights is computed by its formula here, since what a fused kernel draws cannot be
    cut; the uncut batch then has other luck in it. Raises NotImplementedError where a draw cannot be cut.
    """
    if rows.stop - rows.start == batch_size:
        yield
        return
    # Without torch's compiler in this process nothing is compiled, and asking would import it.
    eager = torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()
    with eager, _WrittenOutAttention(), _Draws(rows, batch_size):
        yield


def draws(model: nn.Module, image_shape: Sequence[int]) -> bool:
    """Whether the model, in training, draws anything for images of this shape, (C, S, S); if in doubt, it does.

    Found by a forward pass of shapes alone, for which torch imports its compiler.
    """
    tensors = dict(itertools.chain(model.named_parameters(), model.named_buffers()))
    shapes = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}
    seen = _Seen()
    try:
        with seen, torch.no_grad():
            torch.func.functional_call(model, shapes, torch.empty(2, *image_shape, device="meta"))
    except Exception:  # noqa: BLE001 - a model may look at values, which are not there
        return True
    return seen.drew


class _WrittenOutAttention(TorchFunctionMode):
    """Attention that drops weights by torch's formula instead of its fused kernels."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention and (kwargs.get("dropout_p") or any(args[4:5])):
            with sdpa_kernel(SDPBackend.MATH):
                return func(*args, **kwargs)
        return func(*args, **kwargs)


class _Mode(TorchDispatchMode):
    """A mode that does without torch's compiler."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Or torch would wrap `__torch_dispatch__`, to import its compiler: that costs each process some 2.5 s."""
        return False


class _Seen(_Mode):
    """Looks for operations that draw."""

    drew = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self.drew = self.drew or (_is_random(func) and _probability(func, args, kwargs) > 0)
        return func(*args, **kwargs)


class _Draws(_Mode):
    """Replaces torch's operations that draw by their likes for the whole batch."""

    def __init__(self, rows: slice, batch_size: int) -> None:
        super().__init__()
        self._start = rows.start
        self._part = rows.stop - rows.start
        self._whole = batch_size

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not _is_random(func):
            return func(*args, **kwargs)
        if func in _FILL:
            return args[0].copy_(self._cut(args[0], lambda whole: func(whole, *args[1:], **kwargs)))
        if func in _LIKE:
            return self._cut(args[0], lambda whole: func(whole, *args[1:], **kwargs))
        if func is _aten.native_dropout.default:
            return self._dropout(*args)
        if func in _OF_SIZE:
            return self._of_size(func, _OF_SIZE[func], args, kwargs)
        if func in _FOR_NO_IMAGE or not _probability(func, args, kwargs):
            return func(*args, **kwargs)
        raise NotImplementedError(
            f"the model draws by {func}, which cannot be done for a part of a batch; it needs schedule.micro_batch off "
            "and one process to a Trial"
        )

    def _cut(self, like: Tensor, draw: Callable[[Tensor], Tensor]) -> Tensor:
        """What ``draw`` makes of a tensor for the whole batch that is laid out as ``like``; the part's rows of it."""
        if not self._by_image(like.shape):
            return draw(torch.empty_like(like))
        return self._own(draw(_longer(like, len(like) // self._part * self._whole)))

    def _dropout(self, values: Tensor, rate: float, train: bool | None) -> tuple[Tensor, Tensor]:
        """`torch.native_dropout`, which serves GPUs: the values that stay, larger, and which those are."""
        if train is False:
            return _aten.native_dropout.default(values, rate, train)
        stays = self._cut(values, lambda whole: _aten.native_dropout.default(whole.fill_(1), rate, train)[1])
        return values * stays * (1 / (1 - rate) if rate < 1 else 0.0), stays

    def _of_size(self, func: Any, place: int, args: Sequence[Any], kwargs: dict[str, Any]) -> Tensor:
        size = args[place]
        if not self._by_image(size):
            return func(*args, **kwargs)
        longer = [size[0] // self._part * self._whole, *size[1:]]
        return self._own(func(*args[:place], longer, *args[place + 1 :], **kwargs))

    def _by_image(self, size: Sequence[int]) -> bool:
        return len(size) > 0 and size[0] % self._part == 0

    def _own(self, whole: Tensor) -> Tensor:
        """The part's rows, in memory of their own, so that the rest is free again."""
        times = len(whole) // self._whole
        return whole[self._start * times : (self._start + self._part) * times].clone()


@functools.cache
def _is_random(func: Any) -> bool:
    return torch.Tag.nondeterministic_seeded in func.tags


def _probability(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> float:
    """With which an operation drops something; 1 where it has no argument that says so."""
    for place, argument in enumerate(func._schema.arguments):
        if argument.name == "dropout_p":
            given = args[place] if place < len(args) else kwargs.get("dropout_p", argument.default_value)
            return float(given)
    return 1.0


def _longer(like: Tensor, length: int) -> Tensor:
    """An empty tensor whose first dimension is ``length``, its dimensions in memory in the same order."""
    sizes = [length, *like.shape[1:]]
    order = sorted(range(like.dim()), key=like.stride, reverse=True)
    empty = like.new_empty([sizes[dimension] for dimension in order])
    return empty.permute([order.index(dimension) for dimension in range(like.dim())])
