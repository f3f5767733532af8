"""Reading images ahead of their use, where they do not lie in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from torch import Tensor

from ablate.data.image_sets import ImageSet

T = TypeVar("T")

_READ_AHEAD = 2
"""Batches decoded while another is in use, for sources that read files."""


def read_ahead(image_set: ImageSet, chunks: Iterable[T], read: Callable[[T], Tensor]) -> Iterator[tuple[T, Tensor]]:
    """Each chunk with its images, read ahead in a thread where the set decodes files."""
    if not image_set.decodes:
        for chunk in chunks:
            yield chunk, read(chunk)
        return
    waiting: deque[tuple[T, Future[Tensor]]] = deque()
    with ThreadPoolExecutor(1) as reader:
        try:
            for chunk in chunks:
                waiting.append((chunk, reader.submit(read, chunk)))
                if len(waiting) > _READ_AHEAD:
                    first, images = waiting.popleft()
                    yield first, images.result()
            while waiting:
                first, images = waiting.popleft()
                yield first, images.result()
        finally:  # a consumer that stops early need not wait for batches nobody will see
            reader.shutdown(wait=False, cancel_futures=True)
