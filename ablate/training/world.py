"""The processes that train one Trial together, and what they tell one another.

Each has the same weights and takes its rows of every batch (`Shard`). Gradients of losses that are *summed* over images
and divided by the size of the whole batch add up to that of its mean loss, wherever it was cut: into processes,
unequal ones too, and within them into micro-batches. So they are added up here, by hand, once an update has all of its
own. torch's DistributedDataParallel instead averages over processes while the backward pass still runs. That hides the
exchange behind computation, which is lost here: with gradients of 90 MB (ViT-S) some milliseconds an update within a
machine. But it cannot start a backward pass again that ran out of memory in one process and not in the others, it is
no mean over images where parts are unequal, and it wraps the model, so that every name in it changes.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ablate.data.order import Shard

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

#: Gradients that are exchanged at a time, bytes: fewer would wait for one another, more need memory.
_BUCKET_BYTES = 25 * 2**20
#: How long a process waits for the others. One may well evaluate, or read a folder of images, while they wait.
TIMEOUT = timedelta(minutes=30)


class Disconnected(RuntimeError):  # noqa: N818 - as Python's own ConnectionError says what happened
    """Another process of the Trial has ended, or does not answer."""


@dataclass(frozen=True)
class World:
    """A process among those of its Trial; by default the only one. All must call the same methods in the same order.

    Methods raise `Disconnected` where a process is gone. In a world of one they cost nothing and change nothing.
    """

    rank: int = 0
    """From 0. The first has the journal, the checkpoint and the artifacts."""
    size: int = 1
    local_rank: int = 0
    """Which of the visible GPUs is its own."""

    @property
    def shard(self) -> Shard:
        """The rows of each batch that are this process's."""
        return Shard(self.rank, self.size)

    @staticmethod
    @contextmanager
    def joined() -> Iterator[World]:
        """Join the processes that torchrun started, or a cluster's job of several, which plays torchrun for each Trial.

        They say so in RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT and LOCAL_RANK, which chooses the GPU.
        """
        rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        world = World(rank, size, _on_this_machine(int(os.environ.get("LOCAL_RANK", rank))))
        with _group(world, None):
            yield world

    @staticmethod
    @contextmanager
    def met(rank: int, size: int, store: Store) -> Iterator[World]:
        """Join ``size`` processes of this machine that meet at a store of torch's."""
        world = World(rank, size, _on_this_machine(rank))
        with _group(world, store):
            yield world

    @torch.no_grad()
    def add_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace each gradient by its sum over the processes; it is None only where it is None in all of them.

        The order of summation is fixed, and all processes have the same sums, bit for bit.
        """
        if self.size == 1:
            return
        everything = list(parameters)
        counts = self.total(torch.tensor([p.grad is not None for p in everything], dtype=torch.int32)).tolist()
        gradients = []
        for parameter, count in zip(everything, counts, strict=True):
            if count and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            if count and parameter.grad is not None:
                gradients.append(parameter.grad)
        for bucket in _buckets(gradients):
            sums = self.total(torch.cat([gradient.flatten() for gradient in bucket]))
            for gradient, own in zip(bucket, sums.split([g.numel() for g in bucket]), strict=True):
                gradient.copy_(own.view_as(gradient))

    def total(self, value: Tensor) -> Tensor:
        """The sum over the processes, elementwise; no gradient flows through it."""
        if self.size == 1:
            return value
        import torch.distributed as dist

        total = value.detach().clone(memory_format=torch.contiguous_format)
        with _or_disconnected():
            dist.all_reduce(total)
        return total

    def any(self, flag: bool) -> bool:
        """Whether any process says so. It waits for all of them, though not for what their GPUs still compute."""
        return flag if self.size == 1 else bool(self.total(torch.tensor(int(flag))).item())

    def barrier(self) -> None:
        """Wait until every process is here."""
        self.any(False)

    def gather(self, rows: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The rows of all processes, those of rank 0 first, in each of them.

        Tensors (n, ...) of any kind, with n of the process's own, which may be 0; all else must agree.
        """
        if self.size == 1:
            return rows
        counts = torch.zeros(self.size, dtype=torch.int64)
        counts[self.rank] = len(rows[0])
        lengths = self.total(counts).tolist()
        return tuple(_gathered(tensor, lengths) for tensor in rows)

    def agree(self, what: str, said: str) -> None:
        """Raise RuntimeError, which names ``what``, unless every process has said the same."""
        if self.size == 1:
            return
        digest = int.from_bytes(hashlib.blake2b(said.encode(), digest_size=7).digest(), "little")
        (all_said,) = self.gather((torch.tensor([digest]),))
        if len(set(all_said.tolist())) > 1:
            raise RuntimeError(f"the processes of this Trial do not agree about {what}; this one has {said}")


def _gathered(rows: Tensor, lengths: list[int]) -> Tensor:
    import torch.distributed as dist

    padded = rows.new_zeros(max(lengths), *rows.shape[1:])
    padded[: len(rows)] = rows
    received = [torch.empty_like(padded) for _ in lengths]
    with _or_disconnected():
        dist.all_gather(received, padded)
    return torch.cat([tensor[:length] for tensor, length in zip(received, lengths, strict=True)])


def _buckets(gradients: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Neighbours of one kind, of together at most `_BUCKET_BYTES`, or single ones that are larger."""
    bucket: list[Tensor] = []
    for gradient in gradients:
        held = sum(g.nbytes for g in bucket)
        if bucket and (held + gradient.nbytes > _BUCKET_BYTES or gradient.dtype != bucket[0].dtype):
            yield bucket
            bucket = []
        bucket.append(gradient)
    if bucket:
        yield bucket


def _on_this_machine(local_rank: int) -> int:
    """The number of a process's GPU among those that it sees: a cluster may show each process its own alone."""
    return local_rank % max(1, torch.cuda.device_count())


@contextmanager
def _group(world: World, store: Store | None) -> Iterator[None]:
    """Be a member of torch's process group; gloo serves tensors on the CPU, NCCL those on a GPU."""
    import torch.distributed as dist

    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(world.local_rank)
    hook = sys.excepthook  # torch leaves one that puts the rank before each line of a traceback
    with _or_disconnected():
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if gpu else "gloo",
            init_method=None if store else "env://",
            store=store,
            rank=world.rank,
            world_size=world.size,
            timeout=TIMEOUT,
        )
    try:
        yield
        world.barrier()  # who left early would cut off the others' last words
    finally:
        dist.destroy_process_group()
        sys.excepthook = hook


@contextmanager
def _or_disconnected() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise Disconnected(f"another process of this Trial has ended or does not answer: {error}") from error
