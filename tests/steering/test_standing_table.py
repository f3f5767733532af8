"""How a study stands, on a terminal and as JSON."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from ablate.standing import STATES, StudyStanding, TrialStanding
from ablate.standing_table import age, as_json, render

NOW = 1.8e9


def shown(world, items, width=200, **options):
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(
        render(world.study, StudyStanding(tuple(items), NOW, options.pop("slurm", "")), width=width, **options)
    )
    return console.file.getvalue()


def stood(world, state, **fields):
    return TrialStanding(world.study.trials[0], state, **fields)


def test_one_row_says_it_all(world):
    """State, job, node, epoch, metric, heartbeat and times left of a running Trial stand in its row."""
    item = stood(
        world,
        "running",
        job="100_0",
        node="gpu1",
        step=3,
        steps=9,
        value=0.123456,
        heartbeat=NOW - 75,
        seconds_left=61.0,
        limit_left=3600.0,
    )
    (row,) = [line for line in shown(world, [item]).splitlines() if line.startswith("baseline")]
    expected = ["baseline", "0", item.trial.id[:8], "running", "100_0", "gpu1", "3/9", "0.1235", "1 min ago"]
    assert re.split(r"\s{2,}", row.strip()) == [*expected, "1:01", "1:00:00"]


def test_counts_come_first_and_what_is_wrong_before_the_rest(world):
    """The first line counts; failed stands above running, and finished last."""
    items = [stood(world, state) for state in ("finished", "running", "failed", "finished")]
    lines = shown(world, items).splitlines()
    assert lines[0] == "watched/default: 4 Trials: 1 failed, 1 running, 2 finished"
    states = [state for line in lines[1:] for state in re.findall(r"failed|running|finished", line)]
    assert states == ["failed", "running", "finished", "finished"]


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_wider_than_the_terminal(world, width):
    """Long names and reasons are folded or cut, and numbers stay whole."""
    trial = replace(world.study.trials[0], variant="a_very_long_variant=with_a_long_level+another_one")
    about = {"job": "1234567_1234", "node": "gpu-node-[0001-0064]", "step": 123, "steps": 300, "value": 91.2345}
    times = {"heartbeat": NOW - 7, "seconds_left": 4000.0, "limit_left": 86000.0}
    items = [TrialStanding(trial, state, why="AssocGrpCPUMinutesLimit", **about, **times) for state in STATES]
    out = shown(world, items, width)
    assert max(map(len, out.splitlines())) <= width
    assert out.count("123/300") == len(STATES)


def test_a_long_study_is_folded(world):
    """Of hundreds of Trials only those that want attention have rows; the others are counts per Variant."""
    calm = [replace(stood(world, "finished"), trial=trial) for trial in world.study.trials * 20]
    out = shown(world, [*calm, stood(world, "stale", why="its job has ended without a result")])
    assert len(out.splitlines()) < 20
    assert re.search(r"width=two\s+40", out)
    assert len(shown(world, calm, whole=True).splitlines()) > len(calm)


def test_many_of_a_state_are_cut(world):
    """A thousand failures do not push the rest off the screen."""
    out = shown(world, [stood(world, "failed", cause="error", error="ValueError: no")] * 1000, most=5)
    assert "and 995 more" in out
    assert len(out.splitlines()) < 25


def test_reasons_are_told_once(world):
    """Failures have a line each, waiting Trials of one reason one together, and Slurm's silence is said."""
    waiting = [stood(world, "waiting", why="Resources")] * 3
    failed = [stood(world, "failed", cause="diverged", error="the loss is NaN", attempts=2)]
    out = shown(world, [*waiting, *failed], slurm="no route to host", away=" since 12:00:00")
    assert "waiting, 3 Trials: Resources" in out
    assert "FAILED baseline seed 0 (attempt 2): diverged: the loss is NaN" in out
    assert "Slurm does not answer since 12:00:00: no route to host" in out


def test_json_is_strict_and_complete(world):
    """Every field is there, NaN is text, and what nobody knows is null."""
    trials = (stood(world, "failed", value=float("nan")), stood(world, "new"))
    plain = as_json(world.study, StudyStanding(trials, NOW))
    parsed = json.loads(json.dumps(plain, allow_nan=False))
    assert parsed["counts"] == dict.fromkeys(STATES, 0) | {"failed": 1, "new": 1}
    assert (parsed["now"], parsed["slurm"]) == (NOW, None)
    assert [t["value"] for t in parsed["trials"]] == ["NaN", None]
    documented = set(re.findall(r"``(\w+)``", as_json.__doc__))
    assert set(parsed) | set(parsed["trials"][0]) <= documented


@settings(deadline=None, max_examples=50)
@given(st.floats(-1e6, 1e9))
def test_an_age_is_one_number_and_one_unit(seconds):
    """The largest unit's count is what plain division gives, and a clock that is ahead counts as now."""
    number, unit, ago = age(seconds).split()
    size = {"s": 1, "min": 60, "h": 3600, "d": 86400}[unit]
    assert ago == "ago"
    assert int(number) == round(max(0.0, seconds)) // size
    assert int(number) >= 1 or unit == "s"
