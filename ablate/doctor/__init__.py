"""`ablate doctor`: what stands in the way of a study on this machine and its cluster, in plain words.

One check is one function that takes a `Subject` and returns a `Finding`. They run side by side, each for a limited
time, since what is broken is often what never answers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from ablate.doctor import folder, machine, python, request, slurm, store
from ablate.doctor.asking import NoAnswer
from ablate.doctor.finding import Finding, Subject

Check = Callable[[Subject], Finding]
HERE: tuple[Check, ...] = (
    python.packages,
    python.torch_and_gpus,
    machine.cores,
    machine.gpus,
    folder.writing,
    folder.space,
    folder.file_system,
    folder.locks,
    folder.clock,
    store.tracking,
)
#: These are asked where there is a cluster whose controller answers.
ON_SLURM: tuple[Check, ...] = (
    slurm.accounting,
    slurm.limits,
    slurm.preemption,
    slurm.requeueing,
    slurm.partitions,
    slurm.nodes,
    request.names,
    request.possible,
    request.dry_run,
)
#: How long one check may take, s; importing torch from a slow folder takes longest.
LIMIT_S = 20.0
_LONGER_S: Mapping[Check, float] = {python.torch_and_gpus: 70.0}


def examine(subject: Subject, *, deep: bool = False, limit_s: float = LIMIT_S) -> Iterator[Finding]:
    """Every Finding, in the order of the table; ``deep`` starts a tiny job on a node as well."""
    yield from _side_by_side((*HERE, slurm.commands), subject, limit_s)
    if not subject.has_slurm:
        if deep:
            yield Finding("node", "not here", "without Slurm there is no node to start a job on")
        return
    (controller,) = _side_by_side((slurm.controller,), subject, limit_s)
    yield controller
    if controller.verdict == "problem":
        return  # what else could be asked would only repeat it
    yield from _side_by_side(ON_SLURM, subject, limit_s)
    if deep:
        from ablate.doctor.node import examine_node

        yield from examine_node(subject)


def _side_by_side(checks: Sequence[Check], subject: Subject, limit_s: float) -> Iterator[Finding]:
    begun = time.monotonic()
    for one in [_Running(check, subject) for check in checks]:
        yield one.finding(begun + _LONGER_S.get(one.check, limit_s) - time.monotonic())


class _Running:
    """A check in a thread of its own, which is left behind where it hangs."""

    def __init__(self, check: Check, subject: Subject) -> None:
        self.check = check
        self._name = check.__name__.replace("_", " ")
        self._found: Finding | None = None
        self._thread = threading.Thread(target=self._run, args=(subject,), daemon=True)
        self._thread.start()

    def finding(self, patience_s: float) -> Finding:
        """What it found, or that it has not answered in time."""
        self._thread.join(max(0.0, patience_s))
        if self._found is None:
            says = "has not answered in time: a folder or a server that it looks at hangs"
            return Finding(self._name, "problem", says, "try again; if it stays so, ask who runs it")
        return self._found

    def _run(self, subject: Subject) -> None:
        try:
            self._found = self.check(subject)
        except NoAnswer as why:
            self._found = Finding(self._name, "problem", f"cannot be looked at: {why}")
        except Exception as error:  # noqa: BLE001 - one check that fails must not hide the others
            self._found = Finding(self._name, "problem", f"the check itself failed: {type(error).__name__}: {error}")
