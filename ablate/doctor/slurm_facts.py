"""What Slurm says of the cluster, read into plain values."""

from __future__ import annotations

import getpass
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass

from ablate.doctor.asking import NoAnswer, answer_of, ask
from ablate.execution.time_limit import minutes

_PAIR = re.compile(r"(\w+)=(\S*)")
_NOT_USABLE = frozenset(
    ("DOWN", "DRAIN", "DRAINED", "DRAINING", "FAIL", "FAILING", "MAINT", "NOT_RESPONDING", "UNKNOWN", "FUTURE")
)


@dataclass(frozen=True)
class Partition:
    """A queue."""

    name: str
    is_default: bool
    state: str
    """UP, DOWN, DRAIN or INACTIVE."""
    max_time_min: int | None
    """The longest time limit, minutes; None without one."""
    preempt_mode: str
    grace_s: int
    """Between the warning of a preemption and the end."""


@dataclass(frozen=True)
class Node:
    """A machine of the cluster."""

    name: str
    state: str
    partitions: tuple[str, ...]
    cpus: int
    memory_mb: int
    gpus: dict[str, int]
    """Type -> how many; the type is "" where the cluster names none."""
    reason: str = ""
    """Why an administrator took it out."""

    @property
    def usable(self) -> bool:
        """Whether jobs can start on it, now or when others have ended."""
        return "*" not in self.state and _NOT_USABLE.isdisjoint(self.state.split("+"))

    def gpus_of(self, kind: str | None) -> int:
        """GPUs of that type; of any type without one."""
        return self.gpus.get(kind, 0) if kind else sum(self.gpus.values())


@dataclass(frozen=True)
class Association:
    """What the accounting lets the user do."""

    account: str
    partition: str
    qos: tuple[str, ...]
    max_submit: int | None
    """Jobs that may be queued and run at once; None without a limit."""


def missing_commands(names: Iterable[str]) -> list[str]:
    """Those that are not on the PATH."""
    return [name for name in names if shutil.which(name) is None]


def is_configured() -> bool:
    """Whether Slurm's commands know a cluster; also where that does not answer."""
    try:
        return "configuration source" not in ask("scontrol", "show", "config").errors
    except NoAnswer:
        return True


def config() -> dict[str, str]:
    """`scontrol show config`. Raises `NoAnswer`."""
    lines = (line.partition("=") for line in answer_of("scontrol", "show", "config").splitlines())
    return {name.strip(): value.strip() for name, sign, value in lines if sign}


def partitions() -> dict[str, Partition]:
    """`scontrol show partition`, by name. Raises `NoAnswer`."""
    found = {}
    for line in answer_of("scontrol", "show", "partition", "--oneliner").splitlines():
        values = dict(_PAIR.findall(line))
        if "PartitionName" in values:
            found[values["PartitionName"]] = Partition(
                values["PartitionName"],
                values.get("Default") == "YES",
                values.get("State", "UP"),
                _limit(values.get("MaxTime", "")),
                values.get("PreemptMode", "OFF"),
                _number(values.get("GraceTime", "")) or 0,
            )
    return found


def nodes() -> list[Node]:
    """`scontrol show node`. Raises `NoAnswer`."""
    found = []
    for line in answer_of("scontrol", "show", "node", "--oneliner").splitlines():
        values = dict(_PAIR.findall(line))
        if "NodeName" not in values:
            continue
        reason = re.search(r" Reason=(.*?)(?: \[|$)", line)
        found.append(
            Node(
                values["NodeName"],
                values.get("State", "UNKNOWN"),
                tuple(values.get("Partitions", "").split(",")),
                _number(values.get("CPUEfctv") or values.get("CPUTot", "")) or 0,
                _number(values.get("RealMemory", "")) or 0,
                _gpus(values.get("Gres", "")),
                reason[1].strip() if reason else "",
            )
        )
    return found


def associations() -> list[Association]:
    """The user's entries in the accounting. Raises `NoAnswer`."""
    fields = "format=Account,Partition,QOS,MaxSubmitJobs"
    found = []
    for line in answer_of("sacctmgr", "-nP", "show", "assoc", f"user={getpass.getuser()}", fields).splitlines():
        account, partition, qos, most = (*line.split("|"), "", "", "")[:4]
        found.append(Association(account, partition, tuple(filter(None, qos.split(","))), _number(most)))
    return found


def _limit(text: str) -> int | None:
    try:
        return minutes(text)
    except ValueError:  # UNLIMITED, INFINITE, or more than a year
        return None


def _number(text: str) -> int | None:
    match = re.match(r"\d+", text)
    return int(match[0]) if match else None


def _gpus(gres: str) -> dict[str, int]:
    """``gpu:a100:4(S:0-1),nvme:1``, or ``gpu:4`` where no type is named."""
    found: dict[str, int] = {}
    for kind, count in re.findall(r"(?:^|,)gpu(?::([^:,(]+(?=:)))?:(\d+)", gres):
        found[kind] = found.get(kind, 0) + int(count)
    return found
