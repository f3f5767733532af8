"""How far a run has come, and how long it will still take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

from ablate.study.study import VISION, Trial
from ablate.tracking.record import Record, Row


@dataclass(frozen=True)
class Running:
    """A Trial in a slot."""

    slot: str
    """Where it is trained: a slot's name, or a job and its machine (`1234_5 on gpu1`)."""
    trial: Trial
    since: float
    """When this attempt began, seconds since the Unix epoch."""
    first_step: int
    """The last step that earlier attempts had reported."""
    row: Row | None
    """The latest report."""
    steps: int | None
    """How many steps the Trial has, where that is known."""

    def seconds_left(self) -> float | None:
        """From the pace of this attempt, in s after its latest report; None before it has reported."""
        if self.steps is None or self.row is None or self.row.time <= self.since:
            return None
        done = self.row.step - self.first_step
        if done <= 0:
            return None
        return (self.row.time - self.since) / done * max(0, self.steps - self.row.step)

    def expected_end(self) -> float | None:
        """Seconds since the Unix epoch, from the same pace."""
        left = self.seconds_left()
        return None if left is None or self.row is None else self.row.time + left


@dataclass(frozen=True)
class Estimate:
    """Time left, and what that rests on."""

    seconds: float
    basis: str


@dataclass(frozen=True)
class Progress:
    """A run at one moment."""

    total: int
    slots: int
    trained: int
    reused: int
    """Finished before the run, or by another driver's workers."""
    failed: int
    running: tuple[Running, ...]
    waiting: int
    elapsed_s: float
    now: float
    """Seconds since the Unix epoch."""
    left: Estimate | None = None
    stopping: bool = False
    queued: int | None = None
    """Of those waiting, Trials that are submitted and wait in a cluster's queue; None where there is no queue."""
    place: str = "slot"
    """What the place of a running Trial is called."""
    dropped: int = 0
    """Trials that this run goes on without: their jobs were cancelled."""

    @property
    def settled(self) -> int:
        """Trials that need no more work."""
        return self.trained + self.reused + self.failed


@dataclass(frozen=True)
class RunSummary:
    """What became of the Trials of one invocation, by id."""

    trained: tuple[str, ...]
    reused: tuple[str, ...]
    """Finished before the run, or by another driver's workers."""
    failed: tuple[str, ...]
    """Failed during the run."""
    interrupted: tuple[str, ...]
    """Begun, and to be resumed by the next run."""
    waiting: tuple[str, ...]
    """Not begun."""
    jobs_left: int = 0
    """Jobs that go on without a driver."""

    @property
    def complete(self) -> bool:
        """Whether nothing is left to train."""
        return not self.interrupted and not self.waiting

    def followed_by(self, later: RunSummary) -> RunSummary:
        """Both together: of a study that grew by its results, and was trained again for what was new."""
        return RunSummary(
            trained=self.trained + later.trained,
            reused=tuple(trial for trial in later.reused if trial not in set(self.trained)),
            failed=tuple(dict.fromkeys(self.failed + later.failed)),
            interrupted=later.interrupted,
            waiting=later.waiting,
            jobs_left=later.jobs_left,
        )


class Observer(Protocol):
    """Is told what happens during a run."""

    def started(self, progress: Progress) -> None:
        """Before the first job."""
        ...

    def settled(self, trial: Trial, record: Record, progress: Progress) -> None:
        """A Trial has finished or failed."""
        ...

    def noticed(self, message: str) -> None:
        """Something that a person should know: a process died."""
        ...

    def updated(self, progress: Progress) -> None:
        """Several times a second."""
        ...

    def ended(self, summary: RunSummary) -> None:
        """Nothing runs any more; called after an error too, with what was known."""
        ...


def total_steps(trial: Trial, trainable: str) -> int | None:
    """How many steps a Trial reports: the epochs of the vision trainer, unknown for any other Trainable."""
    return int(trial.recipe["schedule"]["epochs"]) if trainable == VISION else None


def estimate_left(
    waiting: Sequence[Trial],
    running: Sequence[Running],
    known: Mapping[str, Sequence[float]],
    slots: int,
    now: float,
) -> Estimate | None:
    """Time until all is done, assuming that the slots stay busy; None where nothing is known yet.

    ``known`` holds the seconds of finished Trials by Variant. A Trial is expected to take the mean of its
    Variant, else the mean of all, else what the pace of the running ones promises.
    """
    everything = [seconds for values in known.values() for seconds in values]
    means = {variant: fmean(values) for variant, values in known.items() if values}
    paced = {item.trial.id: seconds for item in running if (seconds := item.seconds_left()) is not None}
    promised = [
        item.row.time - item.since + paced[item.trial.id] for item in running if item.row and item.trial.id in paced
    ]
    fallback = fmean(everything) if everything else fmean(promised) if promised else None

    def expected(trial: Trial) -> float | None:
        return means.get(trial.variant, fallback)

    def remaining(item: Running) -> float | None:
        if item.row is not None and item.trial.id in paced:
            return paced[item.trial.id] - (now - item.row.time)
        whole = expected(item.trial)
        return None if whole is None else whole - (now - item.since)

    shares = [*map(remaining, running), *map(expected, waiting)]
    left = [max(0.0, share) for share in shares if share is not None]
    if not left or len(left) < len(shares):
        return None
    busy = max(1, min(slots, len(left)))
    return Estimate(max(sum(left) / busy, *left), _basis(len(everything), len(paced)))


def _basis(finished: int, paced: int) -> str:
    parts = []
    if finished:
        parts.append(f"{finished} finished {'Trial' if finished == 1 else 'Trials'}")
    if paced:
        parts.append(f"the pace of {paced} running")
    return " and ".join(parts)
