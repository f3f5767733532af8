from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

from ablate.reporting.frame import HISTORY_COLUMNS, history_frame, trial_frame

NAN = float("nan")


def test_every_planned_trial_is_a_row(fake: SimpleNamespace) -> None:
    """Finished, failed, running and never started Trials are all there, by Variant and then by seed."""
    study = fake.study()
    records = fake.records(study, {"baseline": [90.0, 91.0, 92.0], "a": [80.0, NAN]})
    records["b-0"] = replace(fake.record(study, "b", 0, 1.0), status="running", metrics={})
    frame = trial_frame(study, records)
    assert list(zip(frame["variant"], frame["seed"], strict=True)) == [
        (v, s) for v in ("baseline", "a", "b") for s in range(3)
    ]
    assert list(frame["status"][3:]) == ["finished", "failed", "missing", "running", "missing", "missing"]
    assert frame.loc[4, ["cause", "error"]].tolist() == ["diverged", "loss is nan at step 7"]
    assert frame["metric"].notna().tolist() == [True] * 4 + [False] * 5


def test_levels_and_final_metrics_are_columns(fake: SimpleNamespace) -> None:
    """A Factor's Level and each final metric stand in columns that cannot collide with ours."""
    study = fake.study(("baseline", "seed=none"))
    frame = trial_frame(study, fake.records(study, {"baseline": [90.0], "seed=none": [80.0]}))
    row = frame[frame["variant"] == "seed=none"].iloc[0]
    assert (row["factor.seed"], row["final.top1"], row["final.parameters"], row["seed"]) == ("none", 80.0, 102_666.0, 0)


def test_a_trial_that_finished_without_the_metric_has_no_result(fake: SimpleNamespace) -> None:
    """The cause says what is missing and what was reported instead; a metric that is not finite is named."""
    study = fake.study()
    records = fake.records(study, {"baseline": [90.0, 91.0, 92.0]})
    records["baseline-0"] = replace(records["baseline-0"], metrics={"accuracy": 0.9})
    records["baseline-1"] = replace(records["baseline-1"], metrics={"top1": math.inf})
    frame = trial_frame(study, records)
    assert frame["metric"].isna()[:3].tolist() == [True, True, False]
    assert frame.loc[0, "error"] == "finished without 'top1'; it reported accuracy"
    assert frame.loc[1, ["cause", "error"]].tolist() == ["not finite", "top1 is inf"]


def test_history_is_long(fake: SimpleNamespace) -> None:
    """One row per Trial, step and name; failed Trials keep what they reported."""
    study = fake.study()
    history = history_frame(study, fake.records(study, {"baseline": [90.0], "a": [NAN]}, history=6))
    assert tuple(history.columns) == HISTORY_COLUMNS
    assert history.groupby("variant").size().to_dict() == {"baseline": 12, "a": 4}


def test_nothing_known_gives_frames_all_the_same(fake: SimpleNamespace) -> None:
    """A study that has not started has its rows and an empty history."""
    study = fake.study()
    assert (trial_frame(study, {})["status"] == "missing").all()
    assert history_frame(study, {}).empty
