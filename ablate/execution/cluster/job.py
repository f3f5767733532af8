"""What runs in a job on Slurm: ``python -m ablate.execution.cluster.job RUN KEY``.

A job may be started again at any moment, by Slurm (preemption, a lost node), by itself (its time limit is near) or by
its batch script (a process was killed). Each start does the same: it takes the Trials of its Pack in turn, skips those
that are settled, and resumes what was begun from the newest good checkpoint. Nothing is remembered but in the spool.
"""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ablate.execution.cluster.ranks import Ranks
from ablate.execution.cluster.snapshot import enter_snapshot
from ablate.execution.cluster.submit import AGAIN, AGAIN_IF_IT_RUNS, kills_file, load_pack, pack_file
from ablate.execution.executors.local import last_lines
from ablate.execution.pack import Pack, PackSummary
from ablate.execution.run_folder import RunFolder
from ablate.execution.status import JobStatus, read_status
from ablate.execution.stopping import StopWatch
from ablate.execution.worker import Around, train_pack
from ablate.study.study import Trial
from ablate.tracking.claim import Claim
from ablate.tracking.spool import Spool
from ablate.trainable import NEEDS, Trainable

#: How often a job shows that it lives, s.
HEARTBEAT_S = 15.0
#: How long a job that was told to go waits for the tracking server, s.
HURRY_S = 2.0
#: A Trial whose process died this often without getting any further is given up.
MAX_DEATHS = 3
#: What Slurm, or the kernel, says where a process was killed for its memory.
_OUT_OF_MEMORY = ("oom-kill", "oom_kill", "Out Of Memory", "Exceeded job memory limit", "exceeded memory limit")
_LOG_LINES = 200
#: The first line of each start in a job's log.
BEGINS = "ablate: this job begins on"


def main(run: Path, key: str) -> int:
    """Do a job's work; its exit status."""
    enter_snapshot()
    job_id = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    pack = load_pack(pack_file(run, key, int(os.environ["SLURM_ARRAY_TASK_ID"])))
    threads = int(os.environ.get("OMP_NUM_THREADS", "1"))  # the batch script's share, or what the user's setup says
    return run_job(replace(pack, job=job_id, slot=replace(pack.slot, name=job_id, threads=threads)))


def run_job(pack: Pack) -> int:
    """Train a Pack as one of the job's processes; the exit status: not 0 where it wants to be started again."""
    print(f"{BEGINS} {platform.node()}", file=sys.stderr, flush=True)  # noqa: T201 - a mark in the log
    watch = StopWatch(pack.stop_file, pack.driver_lock)
    with watch.watching_signals(), Ranks.described(pack, watch) as ranks:
        if ranks.rank > 0:
            ranks.follow()
            return 0
        began, before = _now_by_file(pack.run / "starts" / pack.job), read_status(pack.status_file)
        around = _InJob(pack, ranks, before)
        if before is not None and before.fruitless and (hopeless := around.hopeless()):
            print(hopeless, file=sys.stderr, flush=True)  # noqa: T201 - the job's log is read by who concludes it
            return 1
        with heartbeat(pack.status_file), delivering(pack, watch) as watch_over:
            around.watch_over = watch_over
            summary = train_pack(pack, watch, around)
    # SIGUSR2 comes before the time limit and, where the cluster is so minded, before preemption. SIGTERM comes at the
    # beginning of a grace time, and with `scancel`, too.
    if summary.stopped == "SIGTERM":
        return AGAIN_IF_IT_RUNS
    return AGAIN if summary.stopped == "SIGUSR2" and _got_further(pack, summary, began) else 0


def _got_further(pack: Pack, summary: PackSummary, began: float) -> bool:
    """Whether this start has settled a Trial or written a checkpoint; one that has not must not lead to the next.

    The driver, if there is one, tries such a job some times more.
    """
    if summary.trained or summary.failed:
        return True
    attempts = (place for trial in pack.trials for place in Spool(pack.spool).home(trial.id).glob("attempt-*/*"))
    files = (file for place in attempts if place.name != NEEDS for file in (place, *place.rglob("*")))
    return any(file.is_file() and file.stat().st_mtime >= began for file in files)


def _now_by_file(file: Path) -> float:
    """The time by the clock of the file server, whose files it is compared with, seconds since the Unix epoch."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    return file.stat().st_mtime


@contextmanager
def heartbeat(status_file: Path) -> Iterator[None]:
    """Touch the status file every `HEARTBEAT_S`, so that anybody can see that the job lives."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(HEARTBEAT_S):
            with contextlib.suppress(OSError):  # not written yet, or the disk is full or away: no reason to end
                os.utime(status_file)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def delivering(pack: Pack, watch: StopWatch) -> Iterator[Callable[[str], None]]:
    """Deliver to the tracking server, where the driver found one; gives what is told each Trial that begins."""
    if pack.delivery is None:
        yield lambda _trial_id: None
        return
    with pack.delivery.delivering(Spool(pack.spool)) as courier:
        yield courier.watch
        if watch.reason:  # a job that must go has no time to wait for a server
            courier.wait_s = HURRY_S


class _InJob(Around):
    """Several processes, delivery, and an end to a Trial that kills its process again and again."""

    def __init__(self, pack: Pack, ranks: Ranks, before: JobStatus | None) -> None:
        self._pack = pack
        self._ranks = ranks
        self._before = before
        self.watch_over: Callable[[str], None] = lambda _trial_id: None

    def trainable(self, trainable: Trainable) -> Trainable:
        """Lead the other processes."""
        return self._ranks.lead(trainable)

    def given_up(self, trial: Trial, claim: Claim) -> tuple[str, str] | None:
        """Judge from the journal how earlier starts ended: the driver may be gone, the node another one."""
        if not claim.deaths:
            return None
        tail = self._last_words()
        if tells_out_of_memory(tail) and (self._before is None or self._before.trial == trial.id):
            return "out of memory: its process was killed for that", tail
        if min(claim.deaths, self._kills()) >= MAX_DEATHS:
            return f"its process died {claim.deaths} times without getting any further", tail
        return None

    def hopeless(self) -> str:
        """Why a job is not worth another start whose starts were all killed before they had a Trial in hand, if so."""
        if tells_out_of_memory(self._last_words()):
            return "out of memory before it reached a Trial: ask for more memory_gb"
        kills = self._kills()
        return f"killed {kills} times before it reached a Trial" if kills >= MAX_DEATHS else ""

    def _last_words(self) -> str:
        """What all processes of the start before this one printed last."""
        logs = (RunFolder(self._pack.run).jobs / f"{self._pack.job}_{rank}_log.err" for rank in range(self._ranks.size))
        return "\n".join(filter(None, map(last_words_of_last_start, logs)))

    def _kills(self) -> int:
        """How often a process of this job was killed, accidents of the cluster left out."""
        try:
            return len(kills_file(self._pack.run, self._pack.job).read_text().splitlines())
        except FileNotFoundError:
            return 0

    def environment(self) -> dict[str, str]:
        """How many processes trained the Trial."""
        return {"processes": str(self._ranks.size)} if self._ranks.size > 1 else {}

    def begins(self, trial: Trial) -> None:
        """Deliver what this Trial reports."""
        self.watch_over(trial.id)


def tells_out_of_memory(log: str) -> bool:
    """Whether Slurm or the kernel says in a job's log that a process was killed for its memory."""
    return any(words in log for words in _OUT_OF_MEMORY)


def last_words_of_last_start(log: Path) -> str:
    """The end of what the start before the present one printed: all starts of a job write to the same file."""
    starts = last_lines(log, lines=_LOG_LINES).split(BEGINS)
    return "\n".join(starts[-2].splitlines()[1:]) if len(starts) > 1 else ""


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
