"""The processes of one job that train its Trials together, on one node or on several.

`srun` starts them, all alike. The first one, rank 0, has the Pack: it alone claims Trials, journals and delivers. The
others follow: each is told the next Trial, calls the same Trainable with a report that says nothing, and says how that
ended. Every Trial has a meeting place of its own, a store of torch's which rank 0 opens at any free port: so neither
Trials of one job can get into each other's way, nor jobs on one node.

* Where the Trainable *fails* in one process alone, the Trial fails with that one's words, and all go on to the next.
* Where a process *dies* (a signal, a lost node), all end as if they were killed. Nothing is journaled, the job is
  started again, and the Trial goes on from its checkpoint.

A Trainable of a user's own finds in each process what torchrun would tell it: RANK, WORLD_SIZE, LOCAL_RANK,
LOCAL_WORLD_SIZE, and in MASTER_ADDR and MASTER_PORT how it reaches the store that rank 0 has opened for this Trial. It
may call ``init_process_group()`` once. LOCAL_RANK counts the processes of a node, and which GPUs a process sees is left
as the cluster has it: its own is the one of number ``LOCAL_RANK % torch.cuda.device_count()``. Only rank 0's return
value and reports count, and only its report knows of a request to stop: it must tell the others before it raises
`Stopped`.
"""

from __future__ import annotations

import gc
import os
import queue
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ablate.execution.cluster.leader import Leader, without_group
from ablate.execution.cluster.lifelines import Lifeline, end_as_killed, gather, join
from ablate.execution.pack import Pack
from ablate.execution.run_folder import RunFolder
from ablate.execution.stopping import StopWatch
from ablate.execution.warm_up import warm_up
from ablate.execution.worker import import_paths, limit_torch_threads, load_trainable, one_line, traceback_tail
from ablate.trainable import PROCESSES_VARIABLE, Diverged, Report, Stopped, Trainable

#: What describes several processes to torch. A job of one must not inherit it from where it was submitted.
_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
#: Makes all processes clients of the store at MASTER_ADDR and MASTER_PORT, as torchrun does.
_HOSTED = "TORCHELASTIC_USE_AGENT_STORE"
#: Lines of a traceback that are told.
_LAST_LINES = 20


class Ranks:
    """A process among those of its job; by default the only one."""

    rank = 0
    size = 1

    @staticmethod
    @contextmanager
    def described(pack: Pack, watch: StopWatch) -> Iterator[Ranks]:
        """Meet the other processes that Slurm has started for this job, if there are any.

        Alone, it imports no torch and changes nothing but that it forgets what would describe several processes.
        In rank 0, the others have ended when the block has. Raises TimeoutError where a process does not come, and
        ValueError for a Pack that is to start companions besides.
        """
        from submitit import JobEnvironment

        job = JobEnvironment()
        if job.num_tasks == 1:
            for name in (*_VARIABLES, _HOSTED):
                os.environ.pop(name, None)
            yield Ranks()
            return
        if pack.slot.processes > 1:
            raise ValueError(f"{job.num_tasks} tasks of a job cannot start {pack.slot.processes} processes each")
        _export()
        start = f"{job.job_id}-{os.environ.get('SLURM_RESTART_COUNT', '0')}"
        place = RunFolder(pack.run).jobs / f"{start}.meeting.json"
        if job.global_rank > 0:
            hosts = ("127.0.0.1",) if job.num_nodes == 1 else (job.hostnames[0],)
            yield _Follower(job.global_rank, job.num_tasks, join(place, job.global_rank, hosts), pack)
            return
        leader = Leader(job.job_id, dict(gather(place, job.num_tasks)), watch)
        try:
            yield _Leading(job.num_tasks, leader)
        finally:
            leader.dismiss()

    def lead(self, trainable: Trainable) -> Trainable:
        """As rank 0: what to call in the Trainable's place, so that all processes call it."""
        return trainable

    def follow(self) -> None:
        """As any other rank: train what rank 0 says, until it says that it is enough."""
        raise RuntimeError("rank 0 follows nobody")


class _Leading(Ranks):
    def __init__(self, size: int, leader: Leader) -> None:
        self.size = size
        self._leader = leader

    def lead(self, trainable: Trainable) -> Trainable:
        def led(recipe: Any, seed: int, report: Report, folder: Path) -> Mapping[str, float]:
            return self._leader.train(trainable, recipe, seed, report, folder)

        return led


class _Follower(Ranks):
    def __init__(self, rank: int, size: int, line: Lifeline, pack: Pack) -> None:
        self.rank = rank
        self.size = size
        self._line = line
        self._pack = pack
        self._told: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._dismissed = False
        line.listen(self._hear, self._miss)

    def follow(self) -> None:
        limit_torch_threads(self._pack.slot.threads)
        os.environ |= {PROCESSES_VARIABLE: "1", "MASTER_ADDR": self._line.host}
        with import_paths(self._pack.import_paths):
            with suppress(Exception):  # what cannot be imported fails each Trial, with its cause
                load_trainable(self._pack.trainable)
                warm_up(self._pack.trials, self._pack.trainable)
            while "end" not in (told := self._told.get()):
                self._line.say({"trial": told["trial"], "failure": self._train(told)})

    def _train(self, told: Mapping[str, Any]) -> str:
        """Train a Trial; of what it failed here, if it did."""
        from ablate.training.companions import Silent
        from ablate.training.world import Disconnected

        working_folder = Path.cwd()
        os.environ["MASTER_PORT"] = str(told["port"])
        try:
            with without_group():
                load_trainable(self._pack.trainable)(told["recipe"], told["seed"], Silent(), Path(told["folder"]))
        except (Stopped, Diverged, Disconnected):  # as rank 0 does, or because of what happened elsewhere
            return ""
        except BaseException as error:  # noqa: BLE001 - whatever it is, the next Trial may be another matter
            who = f"process {self.rank} of this Trial, on {socket.gethostname()}, failed: {one_line(error)}"
            return f"{who}\n{traceback_tail(error, _LAST_LINES)}"
        finally:
            os.chdir(working_folder)
            gc.collect()
        return ""

    def _hear(self, told: dict[str, Any]) -> None:
        self._dismissed = self._dismissed or "end" in told
        self._told.put(told)

    def _miss(self) -> None:
        """In a thread: rank 0 is gone, whatever this process is waiting for."""
        if self._dismissed:
            os._exit(0)  # it had its reasons; this process hangs, or takes its time to end
        end_as_killed(f"process 0 of this job, on {self._line.host}, has died")


def _export() -> None:
    """Describe this process to torch, but for the meeting place. Which GPUs it sees is left as the cluster has it."""
    from submitit.helpers import TorchDistributedEnvironment

    TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
    os.environ[_HOSTED] = str(True)
