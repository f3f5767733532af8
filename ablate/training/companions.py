"""The other processes of a Trial on this machine.

The process that trains a Trial has its journal and its checkpoint. Where the Trial is to have more processes than one
(`ablate run --processes N`), that process starts the others, each as ``python -m ablate.training.companions``, and they
call the same Trainable with a report that says nothing. They share its batches, and its cores or GPUs. They end when it
does, however it ends; where one of them dies, it fails with that one's last words.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import torch

from ablate.recipe import Recipe
from ablate.trainable import PROCESSES_VARIABLE, Stopped
from ablate.training.world import Disconnected, World

if TYPE_CHECKING:
    from torch._C._distributed_c10d import TCPStore

#: Set in a companion: rank, number of processes and the port at which they meet.
_MEMBER_VARIABLE = "ABLATE_MEMBER"
_TRAINABLE = "ablate.training.vision:train"
_HOST = "127.0.0.1"
#: Importing torch from a network disk can take minutes.
_START_S = 600.0
#: How long a companion has to die of what its disconnection told of, or to end by itself when all is done.
_END_S = 10.0
_READY = b"ready\n"
#: Lines of its standard error that are told when a companion dies.
_LAST_LINES = 20


@contextmanager
def joined_world(recipe: Recipe, seed: int, folder: Path) -> Iterator[World]:
    """The processes that train this Trial, of which this one is a member.

    Those that torchrun or a cluster started, if RANK and WORLD_SIZE say so; else as many as `PROCESSES_VARIABLE` says,
    of which this process starts the others; else it is alone.
    """
    member, count = os.environ.get(_MEMBER_VARIABLE), int(os.environ.get(PROCESSES_VARIABLE, "1"))
    if member is not None:
        rank, size, port = map(int, member.split())
        with World.met(rank, size, _store(port)) as world:
            yield world
    elif "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        with World.joined() as world:
            yield world
    elif count > 1:
        with companions(count, recipe.resolved(), seed, folder) as store, World.met(0, count, store) as world:
            yield world
    else:
        yield World()


@contextmanager
def companions(
    count: int, recipe: Mapping[str, Any], seed: int, folder: Path, trainable: str = _TRAINABLE
) -> Iterator[TCPStore]:
    """``count - 1`` companions of this process, and the store at which they wait for it.

    Cores, that is this process's threads, are shared out evenly; the rank of a process chooses its GPU.
    Raises RuntimeError where a companion dies, with the last lines of its standard error.
    """
    threads = torch.get_num_threads()
    share, store = max(1, threads // count), _store(0)
    told = {
        "trainable": trainable,
        "recipe": recipe,
        "seed": seed,
        "folder": str(folder.absolute()),
        "path": sys.path,
        "threads": share,
        "parent": os.getpid(),
    }
    started: list[_Companion] = []
    torch.set_num_threads(share)
    try:
        for rank in range(1, count):
            started.append(_Companion(rank, {**told, "member": f"{rank} {count} {store.port}"}))
        for companion in started:
            companion.wait_until_ready()
        yield store
        _wait_for_end(started)
    except Disconnected as error:
        _wait_for_end(started)
        said = [companion.last_words() for companion in started if companion.process.poll()]
        if not said:
            raise
        # Those that lost touch themselves, as this process did, know no more than it does.
        raise RuntimeError(min(said, key=lambda words: Disconnected.__name__ in words)) from error
    finally:
        for companion in started:
            companion.end()
        torch.set_num_threads(threads)


class _Companion:
    """A process that was started, as its starter knows it."""

    def __init__(self, rank: int, told: Mapping[str, Any]) -> None:
        self._rank = rank
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - `end` closes it
        # `-P`: modules are found where this process finds them, and in no working folder besides.
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ablate.training.companions"],
            env={**os.environ, "OMP_NUM_THREADS": str(told["threads"]), _MEMBER_VARIABLE: told["member"]},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died; `wait_until_ready` says of what
            # The pipe stays open as long as this process lives.
            self.process.stdin.write(json.dumps(told).encode() + b"\n")
            self.process.stdin.flush()

    def wait_until_ready(self) -> None:
        """Until it has imported everything. Raises RuntimeError where it dies before."""
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], _START_S)
        if not readable or self.process.stdout.readline() != _READY:
            self.process.kill()
            self.process.wait()
            raise RuntimeError(self.last_words())

    def last_words(self) -> str:
        """How it ended."""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").rstrip().splitlines()
        status = self.process.poll()
        how = f"was killed by {signal.Signals(-status).name}" if status and status < 0 else f"ended, status {status}"
        last = lines[-1] if lines else "it said nothing"
        return "\n".join([f"process {self._rank} of this Trial {how}: {last}", *lines[-_LAST_LINES:-1]])

    def end(self) -> None:
        """At once, if it has not ended, and forget what it said."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self._errors):
            if pipe is not None:
                pipe.close()


def _wait_for_end(started: list[_Companion]) -> None:
    """A while at most."""
    end = time.monotonic() + _END_S
    while any(companion.process.poll() is None for companion in started) and time.monotonic() < end:
        time.sleep(0.02)


def _store(port: int) -> TCPStore:
    """The place where processes meet: a new one where the port is 0, else the one behind it."""
    from torch._C._distributed_c10d import TCPStore  # torch.distributed shows it, but not to mypy

    timeout = timedelta(seconds=_START_S)
    return TCPStore(_HOST, port, is_master=port == 0, wait_for_workers=False, timeout=timeout)


class Silent:
    """A report for processes of which another one speaks."""

    stop_requested = False

    def __call__(self, step: int, metrics: Mapping[str, float]) -> None:
        """Nothing."""


def main() -> None:
    """Be a companion: read from standard input what to train, and train it."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2):
        signal.signal(signum, signal.SIG_IGN)  # whether to stop is decided by the first process
    told = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with, args=(told["parent"],), daemon=True).start()
    sys.path[:] = told["path"]
    torch.set_num_threads(told["threads"])
    module, _, name = told["trainable"].partition(":")
    train = getattr(importlib.import_module(module), name)
    os.write(1, _READY)
    os.dup2(2, 1)  # what it prints from now on is kept with its errors
    with contextlib.suppress(Stopped):
        train(told["recipe"], told["seed"], Silent(), Path(told["folder"]))


def _end_with(parent: int) -> None:
    """End as soon as the parent has, whatever this process is waiting for."""
    while os.getppid() == parent:
        readable, _, _ = select.select([0], [], [], 1.0)
        if readable and not os.read(0, 1):
            break
    os._exit(1)


if __name__ == "__main__":
    main()
