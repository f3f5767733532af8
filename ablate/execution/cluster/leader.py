"""The first process of a job of several: it tells the others what to train, and hears how that ended."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ablate.execution.cluster.lifelines import Lifeline, end_as_killed
from ablate.execution.stopping import StopWatch
from ablate.trainable import Diverged, Report, Stopped, Trainable

#: How long a process may take to come back from a Trial that has ended in another one, s. Until then it waits for a
#: collective that will never be complete, and gloo tells it so at once, but NCCL may not.
PATIENCE_S = 30.0
_LOOPBACK = "127.0.0.1"
_HANGS = "a process of this job hangs"


class Leader:
    """Rank 0, as the others see it.

    A process that *hangs* does not come back from a Trial that has ended elsewhere. Where the Trial's outcome is
    known it is journaled, and instead of the next Trial this process ends as if it were killed. Where it is this
    process that hangs, because another one has failed, the failure's words are left in the Trial's folder, and the
    same job, started again, fails the Trial with them.
    """

    def __init__(self, job: str, lines: Mapping[int, Lifeline], watch: StopWatch) -> None:
        self._note = f"failed-in-{job}.txt"
        self._lines = lines
        self._watch = watch
        self._changed = threading.Condition()
        self._number = 0
        self._folder: Path | None = None
        """Of the Trial that is being trained."""
        self._endings: dict[int, str] = {}
        """By rank, for those that have come back from it: their last words, where they failed."""
        self._store: object = None
        self._over = False
        self._hung = False
        for rank, line in lines.items():
            line.listen(partial(self._hear, rank), partial(self._miss, rank))

    def train(self, trainable: Trainable, recipe: Any, seed: int, report: Report, folder: Path) -> Mapping[str, float]:
        """Train a Trial in all processes. Raises what the Trainable raises, RuntimeError where another one failed."""
        note = folder / self._note
        if note.exists():
            words = note.read_text(encoding="utf-8")
            note.unlink()
            raise RuntimeError(words)
        self._begin(recipe, seed, folder)
        try:
            with without_group():
                metrics = trainable(recipe, seed, report, folder)
        except (Stopped, Diverged):
            self._gather_endings(PATIENCE_S)
            raise
        except (Exception, SystemExit) as error:
            failures = self._gather_endings(PATIENCE_S)
            from ablate.training.world import Disconnected

            if isinstance(error, Disconnected):
                if not failures:
                    end_as_killed(f"the processes of this job have lost one another ({error})")
                raise RuntimeError(failures[0]) from error
            for words in failures[:1]:
                error.add_note(words)
            raise
        failures = self._gather_endings(None)
        if failures:
            raise RuntimeError(failures[0])
        return metrics

    def dismiss(self) -> None:
        """Tell the others that nothing more will come, and wait until their processes are gone, so that `srun` takes
        the exit status of this one for the job's.
        """
        with self._changed:
            self._over = True
        for line in self._lines.values():
            line.say({"end": True})
        end = time.monotonic() + (0 if self._hung else PATIENCE_S)
        for line in self._lines.values():
            line.ended.wait(max(0.0, end - time.monotonic()))
        if self._watch.reason == _HANGS:
            end_as_killed(_HANGS)

    def _begin(self, recipe: Any, seed: int, folder: Path) -> None:
        """Open the Trial's meeting place, and tell the others."""
        from torch._C._distributed_c10d import TCPStore

        store = TCPStore(_LOOPBACK, 0, is_master=True, wait_for_workers=False)
        os.environ |= {"MASTER_ADDR": _LOOPBACK, "MASTER_PORT": str(store.port)}
        with self._changed:
            self._number += 1
            self._folder, self._endings, self._store = folder, {}, store
        told = {"trial": self._number, "recipe": recipe, "seed": seed, "folder": str(folder), "port": store.port}
        for line in self._lines.values():
            line.say(told)

    def _gather_endings(self, patience_s: float | None) -> list[str]:
        """Wait until all processes have come back from the Trial; the words of those that failed, the first one first.

        ``patience_s`` None: as long as it takes, unless a stop is requested meanwhile.
        """
        end = None if patience_s is None else time.monotonic() + patience_s
        with self._changed:
            self._folder = None
            while len(self._endings) < len(self._lines):
                if end is None and self._watch.requested():
                    end = time.monotonic() + PATIENCE_S
                if end is not None and time.monotonic() > end:
                    if patience_s is None:
                        end_as_killed("other processes of this job still train what this one has ended")
                    self._hung = True
                    self._watch.reason = self._watch.reason or _HANGS
                    break
                self._changed.wait(0.2)
            self._store = None
            return list(filter(None, self._endings.values()))

    def _hear(self, rank: int, said: Mapping[str, Any]) -> None:
        """In a thread: a process has come back from a Trial."""
        with self._changed:
            if said["trial"] != self._number:
                return
            self._endings[rank] = said["failure"]
            self._changed.notify_all()
            if said["failure"] and self._folder is not None:
                self._store = None  # whoever waits there for the one that failed now fails, too
                timer = threading.Timer(PATIENCE_S, self._give_up, (self._number, said["failure"]))
                timer.daemon = True
                timer.start()

    def _give_up(self, number: int, words: str) -> None:
        """In a thread: end this process if it still trains the Trial in which another one has failed."""
        with self._changed:
            if self._number == number and self._folder is not None and not self._over:
                with contextlib.suppress(OSError):
                    (self._folder / self._note).write_text(words, encoding="utf-8")
                end_as_killed(f"this process does not notice that another one of its job has failed: {words}")

    def _miss(self, rank: int) -> None:
        """In a thread: a process is gone."""
        with self._changed:
            if not self._over:
                end_as_killed(f"process {rank} of this job, on {self._lines[rank].host}, has died")


@contextmanager
def without_group() -> Iterator[None]:
    """Leave torch's process group at the end, where a Trainable of a user's own has not: the next one makes its own."""
    try:
        yield
    finally:
        distributed: Any = sys.modules.get("torch.distributed")
        if distributed is not None and distributed.is_available() and distributed.is_initialized():
            with contextlib.suppress(RuntimeError):
                distributed.destroy_process_group()
