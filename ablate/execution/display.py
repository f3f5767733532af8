"""What a person sees of a run: a live table, plain lines, or nothing."""

from __future__ import annotations

import math

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ablate.execution.progress import Estimate, Observer, Progress, Running, RunSummary
from ablate.study.study import Trial
from ablate.tracking.record import Record


def choose_display(console: Console, metric: str, *, quiet: bool = False, in_process: bool = False) -> Observer:
    """The display that suits: none when quiet, lines where the console is no terminal, else a live table.

    Lines, too, for Trials in the driver's own process (`Executor.in_process`): a table that redraws itself
    would paint over a debugger.
    """
    if quiet:
        return QuietDisplay()
    if in_process or not console.is_terminal:
        return PlainDisplay(console, metric)
    return LiveDisplay(console, metric)


class QuietDisplay:
    """Shows nothing."""

    def started(self, progress: Progress) -> None:
        """Nothing."""

    def settled(self, trial: Trial, record: Record, progress: Progress) -> None:
        """Nothing."""

    def noticed(self, message: str) -> None:
        """Nothing."""

    def updated(self, progress: Progress) -> None:
        """Nothing."""

    def ended(self, summary: RunSummary) -> None:
        """Nothing."""


class PlainDisplay:
    """One line for each thing that happens, for logs and pipes."""

    def __init__(self, console: Console, metric: str) -> None:
        self._console = console
        self._metric = metric
        self._stopping = False

    def started(self, progress: Progress) -> None:
        """How much there is to do."""
        reused = f", {progress.reused} of them finished before" if progress.reused else ""
        slots = f"training in {progress.slots} {'slot' if progress.slots == 1 else 'slots'}"
        self._print(f"{progress.total} Trials{reused}; {slots if progress.queued is None else _counts(progress)}")

    def settled(self, trial: Trial, record: Record, progress: Progress) -> None:
        """The Trial's outcome, how many there are, and the time left."""
        width = len(str(progress.total))
        count = f"[{progress.settled:>{width}}/{progress.total}]"
        left = f"; {time_left(progress.left)}" if progress.left and record.status == "finished" else ""
        self._print(f"{count} {outcome(trial, record, self._metric)}{left}")

    def noticed(self, message: str) -> None:
        """The message."""
        self._print(message)

    def updated(self, progress: Progress) -> None:
        """Nothing, but for the first word of a stop."""
        if progress.stopping and not self._stopping:
            self._stopping = True
            self._print(STOPPING)

    def ended(self, summary: RunSummary) -> None:
        """What is left for the next run, if anything."""
        if not summary.complete and not summary.jobs_left:
            self._print(leftovers(summary))

    def _print(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)


class LiveDisplay:
    """A table that redraws itself: counts, time left, and what each slot does."""

    def __init__(self, console: Console, metric: str) -> None:
        self._console = console
        self._metric = metric
        self._live = Live(console=console, refresh_per_second=4, transient=True)

    def started(self, progress: Progress) -> None:
        """Begin to draw."""
        self._live.start()
        self.updated(progress)

    def settled(self, trial: Trial, record: Record, progress: Progress) -> None:
        """Failures stay on the screen above the table."""
        if record.status == "failed":
            self._live.console.print(Text(outcome(trial, record, self._metric), style="red"))
        self.updated(progress)

    def noticed(self, message: str) -> None:
        """The message, above the table."""
        self._live.console.print(Text(message, style="yellow"))

    def updated(self, progress: Progress) -> None:
        """Draw the table anew."""
        self._live.update(render(progress, self._metric, self._console.height))

    def ended(self, summary: RunSummary) -> None:
        """Take the table away and leave one line in its place."""
        self._live.stop()
        if not summary.complete and not summary.jobs_left:
            self._console.print(Text(leftovers(summary)))


STOPPING = "stopping: Trials write their checkpoints; once more to kill them"


#: Rows of running Trials where they are more than the terminal has lines for, and lines that stand around them.
MOST_ROWS, FRAME = 12, 7


def render(progress: Progress, metric: str, height: int) -> RenderableType:
    """The live table of a run at one moment, on a terminal of so many lines."""
    bar = ProgressBar(total=max(1, progress.total), completed=progress.settled, width=30)
    of_all, counts = Text(f"{progress.settled:,}/{progress.total:,}"), Text(_counts(progress))
    head = Table.grid(padding=(0, 2))
    if progress.queued is None:
        head.add_row(bar, of_all, counts)
        above: list[RenderableType] = [head]
    else:
        head.add_row(bar, of_all)
        above = [head, counts]
    times = f"{clock(progress.elapsed_s)} elapsed"
    if progress.left:
        times += f"; {time_left(progress.left)}"
    shown = _shown(progress.running, height - FRAME)
    crowded = len(shown) < len(progress.running)  # then each has one line, else the table would not fit after all
    slots = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for i, column in enumerate((progress.place, "Variant", "seed", "step", metric, "time")):
        slots.add_column(column, header_style="dim", justify="left" if i < 2 else "right", no_wrap=crowded and i != 1)
    for item in shown:
        slots.add_row(*(Text(cell, no_wrap=crowded or None) for cell in _cells(item, metric, progress.now)))
    parts: list[RenderableType] = [*above, Text(times), slots]
    if crowded:
        parts.append(Text(f"... and {len(progress.running) - len(shown):,} more", style="dim"))
    if progress.stopping:
        parts.append(Text(STOPPING, style="yellow"))
    return Group(*parts)


def _shown(running: tuple[Running, ...], room: int) -> list[Running]:
    """All that run where there is room, else those that are nearest their end, and of the others the oldest."""
    if len(running) <= max(room, 1):
        return list(running)
    ends = ((item.expected_end(), item) for item in running)
    nearest = sorted(ends, key=lambda pair: (math.inf if pair[0] is None else pair[0], pair[1].since))
    return [item for _, item in nearest[: max(1, min(MOST_ROWS, room))]]


def _counts(progress: Progress) -> str:
    if progress.queued is not None:
        return _queue_counts(progress, progress.queued)
    counts = [
        f"{progress.trained} trained",
        f"{progress.reused} reused",
        f"{len(progress.running)} running",
        f"{progress.failed} failed",
        f"{progress.waiting} waiting",
    ]
    return ", ".join(counts)


def _queue_counts(progress: Progress, queued: int) -> str:
    counts = {
        "running": len(progress.running),
        "queued": queued,
        "finished": progress.trained + progress.reused,
        "failed": progress.failed,
    }
    # Behind others in their job, or not submitted yet.
    rare = {"waiting": progress.waiting - queued, "cancelled": progress.dropped}
    counts |= {name: count for name, count in rare.items() if count > 0}
    return " · ".join(f"{name} {count:,}" for name, count in counts.items())


def _cells(item: Running, metric: str, now: float) -> tuple[str, ...]:
    step = item.row.step if item.row else item.first_step
    steps = f"{step}/{item.steps}" if item.steps is not None else str(step)
    value = item.row.metrics.get(metric) if item.row else None
    shown = "" if value is None else f"{value:.4g}"
    return item.slot, item.trial.variant, str(item.trial.seed), steps, shown, clock(now - item.since)


def outcome(trial: Trial, record: Record, metric: str) -> str:
    """One line about a settled Trial."""
    label = f"{trial.variant} seed {trial.seed}"
    if record.status == "failed":
        # The class of an error is in the message already; for the other causes the cause says more.
        cause = "" if record.cause == "error" else f"{record.cause}: "
        return f"FAILED {label}: {cause}{record.error}"
    value = record.metrics.get(metric)  # None where another study, which asks for less, has trained it
    shown = "" if value is None else f"{metric} {value:.4g} "
    return f"trained {label}: {shown}in {record.seconds:.1f} s"


def leftovers(summary: RunSummary) -> str:
    """What the next run will have to do."""
    return (
        f"stopped with {len(summary.interrupted)} Trials interrupted and {len(summary.waiting)} not begun; "
        "the same command goes on from here"
    )


def time_left(estimate: Estimate) -> str:
    """The estimate in words, with what it rests on."""
    return f"about {clock(estimate.seconds)} left (from {estimate.basis})"


def clock(seconds: float) -> str:
    """Seconds as m:ss, or h:mm:ss."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
