"""Worker processes that read images: torch's DataLoader, told what to read by requests.

Workers are forked, as they always were under Linux: they share the image set with all that is kept in it, nothing has
to be pickled, and they start in milliseconds. What is unsafe to use in a child of a process with threads they do not
use: torch limits them to one thread, so that OpenMP's pool is never asked for, and they never touch a GPU. They
belong to their trainer alone: a signal that is sent to a whole job (Ctrl-C, a cluster's SIGTERM) is the trainer's to
answer, which may well have a checkpoint to write and batches to read until then.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, Self

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ablate.data.errors import DataError

WORKERS_VARIABLE = "ABLATE_WORKERS"
"""Processes that read encoded images for one trainer; 0 reads in a thread of its own."""
_PIECE = 64
"""Images that a worker reads at a time. Large batches are put together of pieces, so that all workers have a part in
the first one, and what waits in shared memory is a matter of workers and not of the batch."""
_PREFETCH = 3
"""Pieces that each worker has been asked for, at most."""
_SIGNALS_OF_A_JOB = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}


class Pieceable(Protocol):
    """A request for images that can be asked for in parts, and pickled."""

    def split(self, size: int) -> Iterable[Self]:
        """In pieces of at most ``size`` images."""
        ...


def default_workers(device: torch.device) -> int:
    """`$ABLATE_WORKERS`; else, where a GPU computes, one for each core of the slot but the trainer's.

    Where the cores compute themselves, workers would take from them what they give. Raises `DataError` where the
    variable is no number.
    """
    given = os.environ.get(WORKERS_VARIABLE)
    if given is not None:
        if not given.isdecimal():
            raise DataError(f"${WORKERS_VARIABLE} must be a number of processes, not {given!r}")
        return int(given)
    if device.type == "cpu" or not sys.platform.startswith("linux"):
        return 0
    return max(0, min(torch.get_num_threads(), len(os.sched_getaffinity(0))) - 1)


class Workers:
    """A pool of processes that answer requests in order."""

    def __init__(self, read: Callable[[Any], Tensor], count: int, *, pin: bool = False) -> None:
        """``count`` processes, at least one; with ``pin`` images come in pinned memory."""
        self._reads = _Reads(read)
        self._count = count
        self._pin = pin
        self._asked = _Asked()
        self._loader: DataLoader[Any] | None = None

    def __call__(self, requests: Iterable[Pieceable]) -> Iterator[list[Tensor]]:
        """The images of each request, in pieces that follow each other."""
        self._asked.requests = requests
        if self._loader is None:
            self._loader = self._new_loader()
        try:
            with _forking_quietly():
                answers = iter(self._loader)
        except BaseException:
            self.close()
            raise
        return self._together(answers, self._asked.counts)

    def close(self) -> None:
        """End the processes."""
        iterator, self._loader = getattr(self._loader, "_iterator", None), None
        if iterator is not None:  # it would end them when it is freed, which a traceback may put off
            iterator._shutdown_workers()

    def _new_loader(self) -> DataLoader[Any]:
        return DataLoader(
            self._reads,
            batch_size=None,
            sampler=self._asked,
            num_workers=self._count,
            prefetch_factor=_PREFETCH,
            pin_memory=self._pin,
            persistent_workers=True,
            multiprocessing_context="fork",
            worker_init_fn=_end_with_the_trainer,
            generator=torch.Generator(),  # the loader draws a seed, and must not draw it from the trainer's
        )

    def _together(self, answers: Iterator[Tensor | DataError], counts: deque[int]) -> Iterator[list[Tensor]]:
        pieces: list[Tensor] = []
        while True:
            if counts is not self._asked.counts:
                raise RuntimeError("a later iteration has taken the workers over")
            try:
                answer = next(answers)
            except StopIteration:
                return
            except (OSError, EOFError) as error:  # images are fetched from the worker, which is not there any more
                self.close()
                raise RuntimeError("a process that reads images died, or could not hand them over") from error
            except BaseException:  # a worker died, or the consumer was interrupted in the middle of an answer
                self.close()
                raise
            if isinstance(answer, DataError):
                self.close()
                raise answer
            pieces.append(answer)
            if len(pieces) == counts[0]:
                counts.popleft()
                yield pieces
                pieces = []


class _Asked:
    """What the loader takes for its sampler: the requests of the moment, in pieces."""

    def __init__(self) -> None:
        self.requests: Iterable[Pieceable] = ()
        self.counts = deque[int]()
        """Pieces of each request that was begun and is not answered."""

    def __iter__(self) -> Iterator[Pieceable]:
        self.counts = deque[int]()
        return self._split(self.requests, self.counts)

    @staticmethod
    def _split(requests: Iterable[Pieceable], counts: deque[int]) -> Iterator[Pieceable]:
        for request in requests:
            pieces = list(request.split(_PIECE))
            counts.append(len(pieces))
            yield from pieces


class _Reads(Dataset[Any]):
    """What the loader takes for its data set."""

    def __init__(self, read: Callable[[Any], Tensor]) -> None:
        self._read = read

    def __getitem__(self, request: Any) -> Tensor | DataError:
        try:
            return self._read(request)
        except DataError as error:  # the loader would wrap it into a text with a traceback
            return error


@contextlib.contextmanager
def _forking_quietly() -> Iterator[None]:
    """Processes forked in here never see the signals of a job, not even before they run a line of their own."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS_OF_A_JOB)
    try:
        with warnings.catch_warnings():  # Python 3.12 on tells that there are threads: see above
            warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_the_trainer(worker: int) -> None:  # noqa: ARG001 - the loader gives it
    """In a worker: a SIGTERM ends it if its parent sent it."""
    trainer = os.getppid()

    def wait() -> None:
        while signal.sigwaitinfo({signal.SIGTERM}).si_pid != trainer:
            pass
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
