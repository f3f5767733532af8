"""Asking Slurm: what lives, how something ended, and what it should do.

`squeue` says what lives, and is right at any moment. `sacct` says how something ended; it lags by seconds, shows
NODE_FAIL for a while before a job that was requeued is pending again, and some clusters have none. So a job counts as
ended when `squeue` does not list it, and what `sacct` says is taken for the reason.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

#: How long one question may take, s: a controller under load may need many.
TIMEOUT_S = 60.0
#: Jobs named in one command line.
_AT_ONCE = 500
_FIELDS = "%i|%T|%N|%L|%k|%r"
#: The word of a batch step or a process's step that was killed for its memory.
OUT_OF_MEMORY = "OUT_OF_MEMORY"
#: What they say where the controller does not answer.
_OUTAGE = ("timed out", "Unable to contact", "Zero Bytes", "Unexpected message")
UNKNOWN_ARRAY_SIZE = 1001
"""Slurm's default of MaxArraySize."""
_LONGEST_NAME = 60
"""Letters of a study's name that its jobs bear."""


class SlurmError(RuntimeError):
    """A command of Slurm's failed; the message is its own words."""


class SlurmAway(SlurmError):  # noqa: N818 - as the message says it
    """Slurm did not answer, which is nobody's mistake; a request may have reached it all the same."""


@dataclass(frozen=True)
class Living:
    """A job in Slurm's queue."""

    state: str
    """PENDING, RUNNING, COMPLETING, ..."""
    node: str = ""
    """Where it runs; several nodes as Slurm abbreviates them."""
    time_left: str = ""
    """Until its time limit, as Slurm writes it."""
    key: str = ""
    """Its comment."""
    reason: str = ""
    """Why it waits, or does what it does."""

    @property
    def waits(self) -> bool:
        """Whether it has no node yet."""
        return self.state in ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT")


@dataclass(frozen=True)
class Ended:
    """A job that is no longer in the queue, as the accounting has it."""

    state: str
    """COMPLETED, FAILED, TIMEOUT, PREEMPTED, NODE_FAIL, CANCELLED, OUT_OF_MEMORY, ..."""
    exit_code: str = ""
    """As ``status:signal``."""
    node: str = ""

    @property
    def lags(self) -> bool:
        """Whether the accounting has yet to learn that the job has ended."""
        return self.state in ("PENDING", "RUNNING", "REQUEUED", "COMPLETING", "SUSPENDED")


def job_name(slug: str) -> str:
    """The name in Slurm of all jobs of a study, which no other study's bear."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "-", slug)[:_LONGEST_NAME]
    short = "" if plain == slug else f"-{hashlib.sha256(slug.encode()).hexdigest()[:8]}"
    return f"ablate-{plain}{short}"


def living(job_name: str) -> dict[str, Living]:
    """The user's jobs of that name in the queue, by id; elements of arrays one by one. Raises `SlurmError`."""
    output = slurm("squeue", "-h", "-r", "-u", str(os.getuid()), "-n", job_name, "-o", _FIELDS)
    jobs = {}
    for line in output.splitlines():
        job_id, state, node, left, key, reason = line.split("|", 5)
        jobs[job_id] = Living(state, node, left, key, reason)
    return jobs


def endings(arrays: Iterable[str]) -> dict[str, Ended]:
    """How the jobs of these arrays ended, by id, one question for all; empty where there is no accounting.

    Jobs that still live may be among them, in whatever state the accounting has them. A job one of whose steps was
    killed for its memory is OUT_OF_MEMORY, whatever became of the script around it.
    """
    wanted = list(dict.fromkeys(arrays))
    jobs: dict[str, Ended] = {}
    for part in _parts(wanted):
        try:
            output = slurm("sacct", "-n", "-P", "-j", ",".join(part), "-o", "JobID,State,ExitCode,NodeList")
        except SlurmError:
            return {}
        for line in output.splitlines():
            name, state, code, node = line.split("|", 3)
            job_id, _, step = name.partition(".")
            state = state.partition(" ")[0]  # "CANCELLED by 1000"
            if not step or (state == OUT_OF_MEMORY and job_id in jobs):
                jobs.update(dict.fromkeys(_expanded(job_id), Ended(state, code, node)))
    return jobs


def cancelled_unseen(job_id: str, ended: Mapping[str, Ended]) -> Ended | None:
    """CANCELLED for an element of an array that the accounting, as `endings` read it, has only without this element.

    So it is with one that was cancelled by itself before it began: nothing in Slurm tells of it any more.
    """
    array = job_id.partition("_")[0]
    there = any(name.partition("_")[0] == array for name in ended)
    return Ended("CANCELLED") if there and job_id not in ended else None


def _expanded(job_id: str) -> list[str]:
    """The elements of an array that the accounting keeps together, as ``12_[3-5,9%2]``: they never began."""
    array, bracket, tasks = job_id.rstrip("]").partition("[")
    if not bracket:
        return [job_id]
    ranges = (part.partition("-") for part in tasks.partition("%")[0].split(","))
    return [f"{array}{i}" for first, _, last in ranges for i in range(int(first), int(last or first) + 1)]


def cancel(job_ids: Sequence[str]) -> None:
    """End jobs: SIGTERM, and SIGKILL after the cluster's KillWait. Those that have ended are no error."""
    for part in _parts(job_ids):
        slurm("scancel", "--quiet", *part)


def max_array_size() -> int:
    """One more than the highest index that an array may have on this cluster."""
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", slurm("scontrol", "show", "config"), re.MULTILINE)
    return int(match[1]) if match else UNKNOWN_ARRAY_SIZE


def slurm(*command: str) -> str:
    """What a command of Slurm's prints. Raises `SlurmError` with its words where it fails, hangs or is not there."""
    try:
        answer = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
            env=_environment(),
        )
    except FileNotFoundError as error:
        raise SlurmError(f"{command[0]} is not installed here: is this a login node of a Slurm cluster?") from error
    except subprocess.TimeoutExpired as error:
        raise SlurmAway(f"{command[0]} has not answered for {TIMEOUT_S:g} s") from error
    if answer.returncode != 0:
        words = own_words(answer.stderr) or f"{command[0]} failed with status {answer.returncode}"
        raise SlurmAway(words) if is_outage(words) else SlurmError(words)
    return answer.stdout


def is_outage(words: str) -> bool:
    """Whether a command of Slurm's speaks of a connection that failed or broke."""
    return any(trouble in words for trouble in _OUTAGE)


def _environment() -> dict[str, str]:
    """That of this process without a user's filters for `squeue` and `sacct`; ranges of tasks are told to their end."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SQUEUE_", "SACCT_"))}
    return kept | {"SLURM_BITSTR_LEN": "0"}


def own_words(stderr: str) -> str:
    """Slurm's message in one line, without the prefix that says which command it came from."""
    lines = (re.sub(r"^\w+: (error: )?", "", line).strip() for line in stderr.splitlines())
    return "; ".join(dict.fromkeys(line for line in lines if line))


def _parts(items: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), _AT_ONCE):
        yield items[start : start + _AT_ONCE]
