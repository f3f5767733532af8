"""The worker: trains the Trials of a Pack one after the other, in one warm process.

Several workers may be given the same list. Each takes the next Trial that is neither settled nor in the
hands of another one, and whose teachers have finished, so that slots share the work out among themselves and imports
are paid once per slot.
"""

from __future__ import annotations

import copy
import gc
import importlib
import os
import platform
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from ablate.execution.gpus import gpu_in_use
from ablate.execution.handover import hand_over
from ablate.execution.measurements import final_metrics
from ablate.execution.pack import Pack, PackSummary, is_settled
from ablate.execution.report import JournalReport
from ablate.execution.status import JobStatus, write_status
from ablate.execution.stopping import StopWatch
from ablate.execution.warm_up import warm_up
from ablate.study.study import Trial
from ablate.tracking.attempt import Superseded
from ablate.tracking.claim import Claim
from ablate.tracking.environment import environment
from ablate.tracking.record import Cause
from ablate.tracking.spool import Spool
from ablate.trainable import PROCESSES_VARIABLE, Diverged, Stopped, Trainable

Outcome = Literal["finished", "failed", "interrupted"]

#: How many lines of a traceback are kept with a failed Trial: the last ones say most.
TRACEBACK_LINES = 60


def run_pack(pack: Pack) -> PackSummary:
    """Train a Pack in a process of its own: what executors submit."""
    watch = StopWatch(pack.stop_file, pack.driver_lock)
    with watch.watching_signals():
        return train_pack(pack, watch)


def train_pack(pack: Pack, watch: StopWatch | None = None, around: Around | None = None) -> PackSummary:
    """Train a Pack in this process, whose signals are left alone.

    Failures of Trials are recorded and do not end it. Raises what importing the Trainable raises.
    """
    watch, around = watch or StopWatch(pack.stop_file, pack.driver_lock), around or Around()
    status, skipped = JobStatus(host=platform.node()), []
    write_status(pack.status_file, status)
    with import_paths(pack.import_paths):
        worker = _Worker(pack, watch)
        worker.trainable = around.trainable(worker.trainable)
        worker.environment |= around.environment()
        warm_up(pack.trials, pack.trainable)
        for trial in pack.trials:
            if watch.requested():
                break
            claim = worker.take(trial)
            if claim is None:
                skipped.append(trial.id)
                continue
            with claim:
                given_up = around.given_up(trial, claim)
                if given_up is not None:
                    claim.fail("lost", *given_up, worker.environment)
                    status = replace(status, failed=(*status.failed, trial.id))
                    write_status(pack.status_file, status)
                    continue
                around.begins(trial)
                reached = worker.spool.last_row(trial.id)
                status = replace(status, trial=trial.id, since=time.time(), first_step=reached.step if reached else 0)
                write_status(pack.status_file, status)
                outcome = worker.train(trial, claim)
            if outcome == "finished":
                status = replace(status, trained=(*status.trained, trial.id))
            elif outcome == "failed":
                status = replace(status, failed=(*status.failed, trial.id))
            status = replace(status, trial=None)
            write_status(pack.status_file, status)
            gc.collect()  # a model and its optimiser are a web of cycles; the next Trial needs the memory
    write_status(pack.status_file, replace(status, stopped=watch.reason))
    return PackSummary(status.trained, status.failed, tuple(skipped), watch.reason)


class Around:
    """What a kind of job adds to the training of its Trials; by itself nothing."""

    def trainable(self, trainable: Trainable) -> Trainable:
        """What is called in the Trainable's place."""
        return trainable

    def given_up(self, _trial: Trial, _claim: Claim) -> tuple[str, str] | None:
        """Why a Trial is not tried again, in one line, and the end of a log; None where it is."""
        return None

    def begins(self, trial: Trial) -> None:
        """A Trial is about to be trained."""

    def environment(self) -> dict[str, str]:
        """What a Record should know beside the machine."""
        return {}


class _Worker:
    """What stays warm from one Trial to the next."""

    def __init__(self, pack: Pack, watch: StopWatch) -> None:
        self.pack = pack
        self.watch = watch
        self.spool = Spool(pack.spool.absolute())
        self._taught: set[str] = set()
        self.trainable = load_trainable(pack.trainable)
        limit_torch_threads(pack.slot.threads)
        os.environ[PROCESSES_VARIABLE] = str(pack.slot.processes)
        # Once, at the start: what is loaded is the code of that moment, whatever is committed meanwhile.
        together = {"processes": str(pack.slot.processes)} if pack.slot.processes > 1 else {}
        self.environment = {**environment(), "threads": str(pack.slot.threads), **together}

    def take(self, trial: Trial) -> Claim | None:
        """Claim a Trial that still needs training."""
        if is_settled(self.spool.record(trial.id), self.pack.failed_before):
            return None
        if not all(map(self._has_finished, trial.needs)):
            return None
        claim = self.spool.claim(trial, self.pack.trainable, self.pack.data_fingerprint)
        if claim is not None and is_settled(claim.record, self.pack.failed_before):
            claim.release()  # another worker settled it between the look and the claim
            return None
        return claim

    def _has_finished(self, trial_id: str) -> bool:
        if trial_id not in self._taught:
            record = self.spool.record(trial_id)
            if record is None or record.status != "finished":
                return False
            self._taught.add(trial_id)
        return True

    def train(self, trial: Trial, claim: Claim) -> Outcome:
        """Run the Trainable once and record how it ended."""
        working_folder = Path.cwd()
        try:
            report = JournalReport(claim, self.watch)
            hand_over(trial, self.spool, claim.folder)
            metrics = self.trainable(plain(trial.recipe), trial.seed, report, claim.folder)
            claim.finish(final_metrics(metrics, self.pack.metric), {**self.environment, **gpu_in_use()})
        except Superseded:  # another process has the Trial now, and its outcome counts
            return "interrupted"
        except Stopped:
            if self.watch.reason:
                claim.interrupted()
                return "interrupted"
            return self._fail(claim, "error", RuntimeError("the Trainable raised Stopped, but no stop was requested"))
        except Diverged as error:
            return self._fail(claim, "diverged", error)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a failing Trial must not stop the others
            return self._fail(claim, "error", error)
        except KeyboardInterrupt:
            claim.interrupted()
            raise
        finally:
            os.chdir(working_folder)  # a Trainable that left it must not move the next one
        return "finished"

    def _fail(self, claim: Claim, cause: Cause, error: BaseException) -> Outcome:
        claim.fail(cause, one_line(error), traceback_tail(error), self.environment)
        return "failed"


def load_trainable(target: str) -> Trainable:
    """The function behind ``module:function``. Raises ImportError or AttributeError with a plain message."""
    module, _, name = target.partition(":")
    function = getattr(importlib.import_module(module), name, None)
    if not callable(function):
        raise AttributeError(f"module {module!r} has no function {name!r}, which the study names as its trainable")
    return function


def limit_torch_threads(threads: int) -> None:
    """Keep torch to the slot's share, where torch is loaded; where it is not yet, OMP_NUM_THREADS says so."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)


@contextmanager
def import_paths(paths: tuple[Path, ...]) -> Iterator[None]:
    """Put folders at the end of ``sys.path`` for a while, where they shadow no other module."""
    before = list(sys.path)
    sys.path.extend(str(path) for path in paths)
    importlib.invalidate_caches()  # a module may have been written since Python last looked
    try:
        yield
    finally:
        sys.path[:] = before


def plain(value: Any) -> Any:
    """A copy made of dicts and lists, so that a Trainable that changes its recipe changes no other's."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return copy.copy(value)


def one_line(error: BaseException) -> str:
    """The first line of what the exception says, after its kind where that tells more than `Diverged`."""
    lines = str(error).strip().splitlines()
    if isinstance(error, Diverged) and lines:
        return lines[0]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def traceback_tail(error: BaseException, lines: int = TRACEBACK_LINES) -> str:
    """The end of the exception's traceback."""
    return "\n".join("".join(traceback.format_exception(error)).splitlines()[-lines:])
