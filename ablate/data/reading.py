"""Reading images ahead of their use, and moving them to the device that computes.

Images that lie in memory are read as they are asked for, encoded ones ahead: in a thread, or in worker processes
(torch's DataLoader) where there are cores to spare. Either way the same images come in the same order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ablate.data.workers import Workers, default_workers

T = TypeVar("T")

_CPU = torch.device("cpu")
_READ_AHEAD = 2
"""Requests read while another is in use, by a thread."""


@dataclass(frozen=True)
class Request:
    """Images that are asked for together: of a batch, or of several."""

    positions: NDArray[np.int64]
    """(B,) in the image set."""
    keys: NDArray[np.int64] | None = None
    """(B,) what an image's draws are keyed by; None where nothing is drawn."""
    epoch: int = 0

    def split(self, size: int) -> Iterator[Request]:
        """In pieces of at most ``size`` images."""
        for start in range(0, len(self.positions), size):
            rows = slice(start, start + size)
            yield Request(self.positions[rows], None if self.keys is None else self.keys[rows], self.epoch)


Read = Callable[[Request], Tensor]
"""Gives images (B, ...) on the CPU. It runs in threads and in forked processes: it must depend on nothing but the
request, whatever else was asked for before, and image by image; it may change nothing."""


class Reader:
    """Answers requests in order. Workers start with the first one, and stay until `close`, or until it is dropped."""

    def __init__(self, read: Read, *, decodes: bool, device: torch.device = _CPU, workers: int | None = None) -> None:
        """``read`` must not refer to the reader, which could then not be dropped; ``workers`` is None for the default.

        ``decodes`` is `ImageSet.decodes`. Raises `DataError` where `$ABLATE_WORKERS` is no number.
        """
        self._read = read
        self._device = device
        workers = (default_workers(device) if workers is None else workers) if decodes else 0
        self._workers = Workers(read, workers, pin=device.type == "cuda") if workers else None
        self._ahead = decodes or device.type != "cpu"

    def __call__(self, requests: Iterable[Request]) -> Iterator[Tensor]:
        """The images of each request, on the device; those of the next are on their way while one is in use.

        One such iterator at a time: a new one ends the one before. Raises what ``read`` raised, and RuntimeError
        where a worker died.
        """
        if self._workers is not None:
            return _moved(self._workers(requests), self._device)
        if self._ahead:
            return _moved(([images] for images in _in_thread(requests, self._pinned)), self._device)
        return map(self._read, requests)

    def close(self) -> None:
        """End the workers, if there are any; the next request starts them again."""
        if self._workers is not None:
            self._workers.close()

    def _pinned(self, request: Request) -> Tensor:
        images = self._read(request)
        return images.pin_memory() if self._device.type == "cuda" else images


def _in_thread(requests: Iterable[T], read: Callable[[T], Tensor]) -> Iterator[Tensor]:
    waiting: deque[Future[Tensor]] = deque()
    with ThreadPoolExecutor(1) as reader:
        try:
            for request in requests:
                waiting.append(reader.submit(read, request))
                if len(waiting) > _READ_AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # a consumer that stops early need not wait for batches nobody will see
            reader.shutdown(wait=False, cancel_futures=True)


def _moved(answers: Iterator[list[Tensor]], device: torch.device) -> Iterator[Tensor]:
    """Answers on the device, put together of their pieces.

    To a GPU they are copied from pinned memory in a stream of their own, one ahead of use, while the GPU computes.
    """
    if device.type != "cuda":
        for pieces in answers:
            yield _whole([piece.to(device) for piece in pieces])
        return
    copying = torch.cuda.Stream(device)
    ready: deque[tuple[Tensor, torch.cuda.Event]] = deque()
    for pieces in answers:
        with torch.cuda.stream(copying):
            images = _whole([piece.to(device, non_blocking=True) for piece in pieces])
            ready.append((images, copying.record_event()))
        if len(ready) > 1:
            yield _usable(*ready.popleft())
    while ready:
        yield _usable(*ready.popleft())


def _usable(images: Tensor, copied: torch.cuda.Event) -> Tensor:
    """Images that were copied in another stream, in the one that computes."""
    computing = torch.cuda.current_stream(images.device)
    computing.wait_event(copied)
    images.record_stream(computing)  # their memory must not be given away before they were used here
    return images


def _whole(pieces: list[Tensor]) -> Tensor:
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces)
