"""What follows from a job that has ended: which of its Trials are tried again, and which have failed.

What Slurm says of a job is no proof of anything: COMPLETED is also a job that was shot between two steps of its script,
and a job that finishes while it is preempted runs a second time. So Trials that have a result are out of the question
before this is asked, and for the others Slurm's word only tells an accident of the cluster from one of the Trial.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ablate.execution.cluster.job import BEGINS, MAX_DEATHS, tells_out_of_memory
from ablate.execution.cluster.queue import OUT_OF_MEMORY, Ended
from ablate.execution.cluster.submission import SubmittedJob
from ablate.execution.executors.local import last_lines
from ablate.execution.status import JobStatus
from ablate.tracking.spool import Spool

#: Ends that the cluster brought about.
_ACCIDENTS = ("PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "REVOKED", "REQUEUED")


#: What slurmstepd writes into a job's log, and what the accounting would call it. The last fits all of them.
_LAST_WORDS = {
    "DUE TO PREEMPTION": "PREEMPTED",
    "DUE TO NODE FAILURE": "NODE_FAIL",
    "DUE TO TIME LIMIT": "TIMEOUT",
    "CANCELLED AT": "CANCELLED",
}


@dataclass(frozen=True)
class Conclusion:
    """The fate of those of a job's Trials that have no outcome."""

    again: tuple[str, ...] = ()
    """To be submitted again, as often as that is allowed."""
    failed: dict[str, str] = field(default_factory=dict)
    """Trial id -> the failure in one line."""
    dropped: tuple[str, ...] = ()
    """Somebody cancelled the job: they wait for the next run."""
    why: str = ""
    """How the job ended, for people."""
    log_tail: str = ""
    accident: bool = False
    """Whether it was the cluster that ended it."""
    before_any_trial: bool = False
    """Whether it ended before it had a Trial in its hands."""


def conclude(job: SubmittedJob, ended: Ended | None, unsettled: tuple[str, ...], spool: Spool) -> Conclusion:
    """Judge a job that is no longer in Slurm's queue; ``ended`` is what the accounting says, if there is one."""
    status = job.status()
    tail = "\n".join(filter(None, (last_lines(file) for file in job.log_files())))
    if ended is None or (ended.lags and ended.state not in _ACCIDENTS):
        ended = _told_by_log(tail)
    state, why = ended.state if ended else "", _how(ended, status)
    if job.cancelled or state == "CANCELLED":
        return Conclusion(dropped=unsettled, why="cancelled")
    in_hand = status.trial if status is not None and status.trial in unsettled else None
    if in_hand is not None and (state == OUT_OF_MEMORY or tells_out_of_memory(tail)):
        why = "out of memory: its process was killed for that"
        return Conclusion(_without(unsettled, in_hand), {in_hand: why}, (), why, tail)
    if (status is None or status.fruitless) and (state == OUT_OF_MEMORY or tells_out_of_memory(tail)):
        error = "out of memory: its process was killed for that before it reached a Trial; ask for more memory_gb"
        return Conclusion((), dict.fromkeys(unsettled, error), (), why, tail, before_any_trial=True)
    if state in _ACCIDENTS:
        return Conclusion(unsettled, why=why, log_tail=tail, accident=True)
    if state == "TIMEOUT" or (status is not None and status.stopped):
        return Conclusion(unsettled, why=why, log_tail=tail)
    if status is None and ended is None and not tail:  # nobody knows whether it ever began
        return Conclusion(unsettled, why=why)
    if status is None:  # it ended before it had read its Pack: so would the next one
        error = f"its job ended before it began to train: {why}"
        return Conclusion((), dict.fromkeys(unsettled, error), (), why, tail, before_any_trial=True)
    if in_hand is not None and spool.deaths(in_hand) >= MAX_DEATHS:
        error = f"its process died {spool.deaths(in_hand)} times without getting any further: {why}"
        return Conclusion(_without(unsettled, in_hand), {in_hand: error}, (), why, tail)
    if status.fruitless and not _orderly(ended) and (ended is not None or "Traceback" in tail):
        error = f"its job ended before it reached a Trial: {why}: {_last_line(tail)}"
        return Conclusion((), dict.fromkeys(unsettled, error), (), why, tail, before_any_trial=True)
    return Conclusion(unsettled, why=why, log_tail=tail)


def _told_by_log(tail: str) -> Ended | None:
    """What Slurm has written into the log of the job's last start, where the accounting has no word on its end."""
    last_start = tail.rpartition(BEGINS)[2]
    return next((Ended(state) for words, state in _LAST_WORDS.items() if words in last_start), None)


def _orderly(ended: Ended | None) -> bool:
    return ended is not None and ended.state == "COMPLETED" and ended.exit_code in ("", "0:0")


def _without(trials: tuple[str, ...], one: str) -> tuple[str, ...]:
    return tuple(trial for trial in trials if trial != one)


def _how(ended: Ended | None, status: JobStatus | None) -> str:
    """In a few words."""
    where = (ended.node if ended else "") or (status.host if status else "")
    if ended is None:
        words = "it is gone from Slurm's queue, and there is no accounting to say why"
    else:
        code, _, signum = ended.exit_code.partition(":")
        words = ended.state
        if signum not in ("", "0"):
            words += f", killed by signal {signum}"
        elif int(code or 0) > 128:
            words += f", killed by signal {int(code) - 128}"
        elif code not in ("", "0"):
            words += f", exit status {code}"
    return f"{words} on {where}" if where else words


def _last_line(tail: str) -> str:
    lines = [
        line.strip() for line in tail.splitlines() if line.strip() and not line.startswith(("srun:", "slurmstepd:"))
    ]
    return lines[-1] if lines else "it printed nothing"
