"""What a person sees. The golden texts are written by hand and compared, never made by the code they judge."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from ablate.execution.display import LiveDisplay, PlainDisplay, QuietDisplay, choose_display, clock, render
from ablate.execution.progress import Estimate, Progress, Running, RunSummary
from ablate.study.study import Trial
from ablate.tracking.record import Record, Row

GOLDEN = Path(__file__).parent / "golden"
BASE = Trial("1", "baseline", 0, {})
NOPOS = Trial("2", "posemb=none", 1, {})
GOOD = Record("1", 0, "m:f", {}, "finished", 0.0, 7.0, seconds=7.06, metrics={"top1": 0.95312})
BAD = Record("2", 1, "m:f", {}, "failed", 0.0, 3.0, cause="diverged", error="loss is NaN in epoch 3")
RAISED = replace(BAD, cause="error", error="ValueError: a [bold]bracket[/bold]")
START = Progress(total=12, slots=2, trained=0, reused=3, failed=0, running=(), waiting=9, elapsed_s=0.0, now=100.0)
MIDDLE = replace(
    START,
    trained=1,
    failed=1,
    waiting=6,
    elapsed_s=65.0,
    left=Estimate(83.4, "4 finished Trials"),
    running=(Running("slot0", NOPOS, 58.0, 0, Row(12, {"top1": 0.46251, "loss": 1.0}, 99.0), 30),),
)
STOPPED = RunSummary(trained=("1",), reused=(), failed=("2",), interrupted=("3",), waiting=("4", "5"))


def tell(display):
    """A short story."""
    display.started(START)
    display.updated(START)
    display.settled(BASE, GOOD, replace(MIDDLE, failed=0))
    display.settled(NOPOS, BAD, MIDDLE)
    display.settled(NOPOS, RAISED, replace(MIDDLE, failed=2))
    display.noticed("slot1: killed by SIGKILL, while it trained baseline seed 2")
    display.updated(MIDDLE)
    display.updated(replace(MIDDLE, stopping=True, left=None))
    display.updated(replace(MIDDLE, stopping=True, left=None))
    display.ended(STOPPED)


def test_plain_lines():
    """One line for each event, long ones unbroken, brackets as they are."""
    out = io.StringIO()
    tell(PlainDisplay(Console(file=out, width=40), "top1"))
    assert out.getvalue() == (GOLDEN / "plain.txt").read_text()


def test_the_live_table_shows_counts_slots_and_time_left():
    """Every number a person waits for is on the screen; failures and messages stay above the table."""
    console = Console(file=io.StringIO(), record=True, force_terminal=True, width=100, color_system=None)
    display = LiveDisplay(console, "top1")
    display.started(START)
    display.settled(NOPOS, BAD, MIDDLE)
    display.updated(MIDDLE)
    display._live.refresh()
    shown = console.export_text()
    display.ended(STOPPED)

    assert "FAILED posemb=none seed 1: diverged: loss is NaN in epoch 3" in shown
    table = shown[shown.rindex("5/12") :]
    assert "1 trained, 3 reused, 1 running, 1 failed, 6 waiting" in table
    assert "1:05 elapsed; about 1:23 left (from 4 finished Trials)" in table
    row = next(line for line in table.splitlines() if line.startswith("slot0"))
    assert row.split() == ["slot0", "posemb=none", "1", "12/30", "0.4625", "0:42"]


def test_the_live_table_says_that_it_stops():
    """After Ctrl-C the table says what happens and what a second one does; the last line says what is left."""
    console = Console(file=io.StringIO(), record=True, force_terminal=True, width=120, color_system=None)
    tell(LiveDisplay(console, "top1"))
    shown = console.export_text()

    assert "once more to kill them" in shown
    assert "ValueError: a [bold]bracket[/bold]" in shown
    assert "stopped with 1 Trials interrupted and 2 not begun" in shown.splitlines()[-1]


def crowd(count):
    """Trials that began one after the other; every fourth has reported, and the later it began the sooner it ends."""
    for i in range(count):
        row = Row(5, {"top1": 0.5}, 1000.0) if i % 4 == 0 else None
        trial = Trial(str(i), f"a-rather-long-name-of-a-variant={i}", i, {})
        yield Running(f"77_{i} on gpu{i % 9}", trial, 100.0 + i, 0, row, 10)


def drawn(progress, width, height):
    console = Console(file=io.StringIO(), record=True, force_terminal=True, width=width, height=height)
    console.print(render(progress, "top1", height))
    return console.export_text().splitlines()


CLUSTER = Progress(
    total=10_000,
    slots=500,
    trained=110,
    reused=10,
    failed=0,
    running=tuple(crowd(480)),
    waiting=9400,
    elapsed_s=9000.0,
    now=1010.0,
    left=Estimate(7200.0, "120 finished Trials"),
    queued=9400,
    place="job",
)


@pytest.mark.parametrize(("width", "height", "rows"), [(120, 40, 12), (80, 24, 12), (100, 12, 5), (60, 5, 1)])
def test_a_crowd_is_cut_to_what_fits(width, height, rows):
    """Those nearest their end are shown, one line each, and how many are not; it all fits the terminal."""
    lines = drawn(CLUSTER, width, height)
    shown = [line for line in lines if line.startswith("77_")]
    # The pace of item i is (1000 - (100 + i)) / 5 s a step: the last to begin is the first to end.
    assert [int(line.split()[0].removeprefix("77_")) for line in shown] == list(range(476, 0, -4))[:rows]
    assert lines[-1] == f"... and {480 - rows} more"
    assert len(lines) <= max(height, 7)


def test_those_without_a_pace_come_oldest_first():
    """Behind the ones whose end can be told."""
    silent = [item for item in crowd(40) if item.row is None][::-1]
    (paced,) = [item for item in crowd(5) if item.trial.id == "4"]
    lines = drawn(replace(CLUSTER, running=(*silent, paced)), 120, 40)
    assert [int(line.split()[0].removeprefix("77_")) for line in lines if line.startswith("77_")] == [
        item.trial.seed for item in (*silent, paced)
    ], "all fit"
    lines = drawn(replace(CLUSTER, running=(*silent, paced)), 120, 20)
    shown = [int(line.split()[0].removeprefix("77_")) for line in lines if line.startswith("77_")]
    assert shown == [4, 1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14]


def test_a_queue_is_told_in_a_line():
    """Running, queued, finished, failed; what else there is only where there is some of it."""
    lines = drawn(CLUSTER, 120, 40)
    assert lines[0].split()[-1] == "120/10,000"
    assert lines[1] == "running 480 · queued 9,400 · finished 120 · failed 0"
    assert lines[3].split()[:2] == ["job", "Variant"]
    odd = replace(CLUSTER, failed=3, queued=9000, dropped=2)
    counts = "running 480 · queued 9,000 · finished 120 · failed 3 · waiting 400 · cancelled 2"
    assert drawn(odd, 120, 40)[1] == counts
    out = io.StringIO()
    PlainDisplay(Console(file=out, width=200), "top1").started(odd)
    assert out.getvalue() == f"10000 Trials, 10 of them finished before; {counts}\n"


def test_the_display_suits_the_console():
    """Quiet beats all; no terminal, or Trials in this process, mean lines."""
    terminal, pipe = Console(file=io.StringIO(), force_terminal=True), Console(file=io.StringIO())
    assert isinstance(choose_display(terminal, "m", quiet=True), QuietDisplay)
    assert isinstance(choose_display(pipe, "m"), PlainDisplay)
    assert isinstance(choose_display(terminal, "m", in_process=True), PlainDisplay)
    assert isinstance(choose_display(terminal, "m"), LiveDisplay)


def test_quiet_is_quiet(capsys):
    """Nothing is printed."""
    tell(QuietDisplay())
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("seconds", "text"), [(-3, "0:00"), (59.6, "1:00"), (3599, "59:59"), (3725, "1:02:05")])
def test_clock(seconds, text):
    """Minutes and seconds, hours where there are some."""
    assert clock(seconds) == text
