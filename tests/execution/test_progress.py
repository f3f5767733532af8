"""Estimates of the time left, and what they rest on."""

from __future__ import annotations

import pytest

from ablate.execution.progress import Running, estimate_left, total_steps
from ablate.study.study import VISION, Trial
from ablate.tracking.record import Row


def trial(variant, seed=0, **recipe):
    return Trial(id=f"{variant}-{seed}", variant=variant, seed=seed, recipe=recipe)


def running(variant, *, since=0.0, first_step=0, row=None, steps=None):
    return Running("slot0", trial(variant), since, first_step, row, steps)


def test_nothing_is_promised_where_nothing_is_known():
    """No finished Trial and no pace: no estimate. Nothing left: none either."""
    assert estimate_left([trial("a")], [running("b")], {}, 1, now=10.0) is None
    assert estimate_left([], [], {"a": [3.0]}, 1, now=10.0) is None


def test_a_trial_is_expected_to_take_its_variants_mean_else_the_mean_of_all():
    """Two slots share (10 + 20 + 15) s of known, known and unknown Variants; the longest is a lower bound."""
    waiting = [trial("a"), trial("b"), trial("c")]
    estimate = estimate_left(waiting, [], {"a": [8.0, 12.0], "b": [20.0, 20.0]}, 2, now=0.0)
    assert estimate.seconds == pytest.approx(45 / 2)
    assert estimate.basis == "4 finished Trials"
    assert estimate_left(waiting, [], {"a": [1.0], "b": [90.0], "c": [1.0]}, 3, now=0.0).seconds == 90.0


def test_a_running_trial_is_judged_by_the_pace_of_this_attempt():
    """Resumed at step 4 of 10, 3 steps in 6 s: 6 s are left after the report, 5 s one second later."""
    item = running("a", since=100.0, first_step=4, row=Row(7, {}, 106.0), steps=10)
    assert item.seconds_left() == pytest.approx(6.0)
    assert item.expected_end() == pytest.approx(112.0)
    estimate = estimate_left([], [item], {}, 2, now=107.0)
    assert estimate.seconds == pytest.approx(5.0)
    assert estimate.basis == "the pace of 1 running"


def test_the_pace_of_running_trials_serves_the_waiting_ones():
    """Before the first Trial has finished, a waiting one is expected to take as long as the running one promises."""
    item = running("a", row=Row(1, {}, 2.0), steps=5)
    estimate = estimate_left([trial("b")], [item], {"z": []}, 1, now=2.0)
    assert estimate.seconds == pytest.approx(8.0 + 10.0)


def test_a_row_of_an_earlier_attempt_sets_no_pace():
    """What was reported before this attempt began says nothing about its speed."""
    assert running("a", since=50.0, row=Row(3, {}, 40.0), steps=9).seconds_left() is None
    assert running("a", since=50.0, row=Row(3, {}, 60.0)).seconds_left() is None
    assert running("a", since=50.0, first_step=3, row=Row(3, {}, 60.0), steps=9).seconds_left() is None


def test_a_late_trial_has_nothing_left_rather_than_less():
    """A Trial that runs longer than expected counts as about to end."""
    assert estimate_left([], [running("a")], {"a": [5.0]}, 1, now=9.0).seconds == 0.0


def test_steps_are_epochs_for_the_vision_trainer_and_unknown_for_others():
    """Only the built-in trainer says in its Recipe how far it goes."""
    vision = trial("a", schedule={"epochs": 30})
    assert total_steps(vision, VISION) == 30
    assert total_steps(vision, "my.module:train") is None
