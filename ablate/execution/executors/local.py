"""Jobs as processes of this machine, over submitit's local executor.

submitit puts a controller between the driver and the task. With one task on one node there is nothing to
control, and the controller stands in the way four times: it hides which signal killed its task, ends the
task after two minutes unless told otherwise, stays in the terminal's process group, where Ctrl-C reaches
it, and numbers jobs by process id, which a container uses again (a new job may then find an old one's
pickle). So the task is started directly. Pickling, log files, results and what the task learns about
itself remain submitit's.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import FailedJobError
from submitit.local.local import LocalJob as SubmititJob

from ablate.execution.pack import Pack
from ablate.execution.slots import Slot
from ablate.execution.worker import run_pack

#: What the thread pools below NumPy and torch listen to, before they are loaded.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
#: The first torch whose allocator can be limited by an environment variable (pytorch/pytorch#161035).
_LIMITS_BY_ENVIRONMENT = (2, 10)
#: How much of each log file is kept.
LOG_LINES = 40
_READ_BYTES = 64 * 1024
#: What submitit puts above and below a trace.
_RULE = "\n----------------------\n"


class LocalExecutor:
    """One process per job, each in a session of its own."""

    max_slots: int | None = None
    trials_per_job: int | None = None
    in_process = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()

    def submit(self, pack: Pack) -> LocalJob:
        """Start a process and hand it the Pack."""
        # `-P`: the working folder must not shadow modules; where a Trainable lies is in the Pack.
        python = f"{shlex.quote(sys.executable)} -P"
        starter = _TaskStarter(self._folder / pack.job, python=python)
        starter.slot = pack.slot
        return LocalJob(starter.submit(run_pack, pack))


class _TaskStarter(submitit.LocalExecutor):
    """submitit's local executor without its controller; serves one submission."""

    slot: Slot

    def _submit_command(self, command: str) -> Any:
        self.folder.mkdir(parents=True, exist_ok=True)
        job_id = self.folder.name
        job = _Task(folder=self.folder, job_id=job_id)
        with job.paths.stdout.open("ab") as stdout, job.paths.stderr.open("ab") as stderr:
            process = subprocess.Popen(
                shlex.split(command),
                env=task_environment(self.slot, job_id),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        job._process = process
        return job


class _Task(SubmititJob):
    """submitit's job over its process, which holds its result back no longer than the process lives."""

    _results_timeout_s = 0  # the result is renamed into place before the process ends, on a local disk


def task_environment(slot: Slot, job_id: str) -> dict[str, str]:
    """The environment of a task: the slot's share of the machine, and what submitit's side reads."""
    environment = dict(os.environ)
    environment.update(dict.fromkeys(THREAD_VARIABLES, str(slot.threads)))
    if slot.gpu is not None:
        if "CUDA_VISIBLE_DEVICES" not in os.environ:  # the numbers are nvidia-smi's; CUDA counts the fastest first
            environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
        environment["CUDA_VISIBLE_DEVICES"] = slot.gpu
    if slot.gpu_share is not None:
        environment.update(memory_limit(slot.gpu_share, environment))
    environment.update(
        SUBMITIT_EXECUTOR="local",
        SUBMITIT_LOCAL_JOB_ID=job_id,
        SUBMITIT_LOCAL_NTASKS="1",
        SUBMITIT_LOCAL_JOB_NUM_NODES="1",
        SUBMITIT_LOCAL_NODEID="0",
        SUBMITIT_LOCAL_GLOBALID="0",
        SUBMITIT_LOCAL_LOCALID="0",
    )
    return environment


def memory_limit(share: float, environment: Mapping[str, str]) -> dict[str, str]:
    """What limits torch's allocator to a share of a GPU's memory, beside what the user has told it.

    Its own setting, which a process hands on to those that it starts. Nothing for a torch that does not know it.
    """
    major, minor = version("torch").split(".")[:2]
    if (int(major), int(minor)) < _LIMITS_BY_ENVIRONMENT:
        return {}
    told = [name for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF") if environment.get(name)]
    return {
        name: ",".join(filter(None, [environment.get(name), f"per_process_memory_fraction:{share:g}"]))
        for name in told or ["PYTORCH_CUDA_ALLOC_CONF"]
        if "per_process_memory_fraction" not in environment.get(name, "")
    }


class LocalJob:
    """A process that trains a Pack."""

    def __init__(self, job: Any) -> None:
        self._job = job
        self._process: subprocess.Popen[bytes] = job._process

    @property
    def pid(self) -> int:
        """Of the process, which is also the id of its session and process group."""
        return self._process.pid

    def done(self) -> bool:
        """Whether the process has ended; what it left behind in its group is killed then."""
        if self._process.returncode is None and self._ended():
            # Before the process is reaped: until then no other group can have its id.
            self._kill_group()
            self._process.wait()
        return self._process.returncode is not None

    def error(self) -> str | None:
        """The signal or the exit status, or the last line of the exception which the worker raised."""
        code = self._process.returncode
        if code is None:
            return None
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        try:
            failure = self._job.exception()
        except (OSError, UnicodeDecodeError) as error:  # its folder is gone, or its log holds more than text
            failure = error
        if failure is None:
            return None
        if code == 0:
            return "ended without a result"
        return f"exit status {code}: {last_words(failure, self.log_tail())}"

    def log_tail(self) -> str:
        """The last lines of its standard output, then of its standard error."""
        paths = self._job.paths
        return "\n".join(filter(None, (last_lines(paths.stdout), last_lines(paths.stderr))))

    def kill(self) -> None:
        """SIGKILL to the whole process group."""
        if self._process.returncode is None:
            self._kill_group()

    def _ended(self) -> bool:
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._process.pid, options) is not None

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


def last_words(failure: Exception, log: str) -> str:
    """The last line of the trace that the worker left as its result, else of its log, submitit's own lines aside."""
    trace = str(failure).partition(_RULE)[2].rpartition(_RULE)[0] if isinstance(failure, FailedJobError) else ""
    for text in (trace, log):
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith("submitit ")]
        if lines:
            return lines[-1].strip()
    return "no output"


def last_lines(path: Path, lines: int = LOG_LINES) -> str:
    """The end of a log file; empty where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _READ_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
