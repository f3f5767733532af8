"""What enters the harness from a Trainable."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ablate.execution.measurements import checked_metrics, final_metrics
from ablate.execution.report import JournalReport
from ablate.execution.stopping import StopWatch
from ablate.trainable import Diverged, Stopped


class Rows:
    """A journal in memory."""

    def __init__(self):
        self.rows = []

    def report(self, step, metrics):
        self.rows.append((step, dict(metrics)))


@pytest.fixture
def watch(tmp_path):
    """A watch over a stop file which a test may create; it looks each time."""
    return StopWatch(tmp_path / "stop", None, interval_s=0.0)


def test_numbers_of_any_library_become_floats():
    """NumPy scalars and whole numbers are taken, non-finite ones too."""
    checked = checked_metrics({"a": np.float32(0.5), "b": 3, "c": math.inf}, "it")
    assert checked == {"a": 0.5, "b": 3.0, "c": math.inf}
    assert all(type(value) is float for value in checked.values())


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        (0.9, "it must be a mapping of name to number, not float"),
        (None, "not NoneType"),
        ({1: 0.5}, "the name of a metric must be a str, got 1"),
        ({"a": "0.9"}, "metric 'a' must be a number, got '0.9'"),
        ({"a": True}, "metric 'a' must be a number, got True"),
        ({"a": [0.1, 0.2]}, "metric 'a' must be one number, got a list"),
        ({"a": np.zeros(2)}, "metric 'a' must be one number, got a ndarray"),
    ],
)
def test_anything_else_is_refused_by_name(metrics, message):
    """The message says where it came from and what is wrong."""
    with pytest.raises(TypeError, match=message):
        checked_metrics(metrics, "it")


def test_the_studys_metric_must_be_returned():
    """A missing metric is named, with what was returned in its place."""
    assert final_metrics({"score": 1.0, "loss": math.nan}, "score").keys() == {"score", "loss"}
    for value in (math.nan, math.inf):
        with pytest.raises(Diverged, match=f"the Trainable returned {value} as its score"):
            final_metrics({"score": value}, "score")
    with pytest.raises(ValueError, match="no metric 'score', which the study compares; it returned: acc, loss"):
        final_metrics({"acc": 1.0, "loss": 2.0}, "score")
    with pytest.raises(ValueError, match="it returned: nothing"):
        final_metrics({}, "score")


def test_steps_rise_within_an_attempt(watch):
    """A step that is reported twice in one attempt, or out of order, is a mistake of the Trainable."""
    report = JournalReport(Rows(), watch)
    report(4, {"a": 1})
    with pytest.raises(ValueError, match="step 4 was reported after step 4"):
        report(4, {"b": 1})
    with pytest.raises(TypeError):
        report(5.5, {"a": 1})


def test_a_report_journals_first_and_stops_then(watch, tmp_path):
    """The row of the moment in which a stop is noticed is kept."""
    rows = Rows()
    report = JournalReport(rows, watch)
    report(1, {"a": 1})
    (tmp_path / "stop").touch()
    with pytest.raises(Stopped):
        report(2, {"a": 2})
    assert rows.rows == [(1, {"a": 1.0}), (2, {"a": 2.0})]


def test_a_trainable_that_looks_for_itself_is_not_interrupted_by_its_report(watch, tmp_path):
    """Who has looked at `stop_requested` once may report, checkpoint and then stop."""
    report = JournalReport(Rows(), watch)
    assert not report.stop_requested
    (tmp_path / "stop").touch()
    report(1, {"a": 1})
    assert report.stop_requested
