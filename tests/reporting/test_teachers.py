"""Teachers and Variants that share Trials, in a report: no rows for the former, a row for each of the latter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ablate.reporting import captions
from ablate.reporting.comparison import comparison
from ablate.reporting.figures.curves import _drawn
from ablate.reporting.frame import history_frame, trial_frame
from ablate.reporting.report import write_report
from ablate.study.study import Study, Trial, Variant
from ablate.tracking.record import Record


@pytest.fixture
def judged(fake: Any) -> Study:
    """Three Variants, the last of which is the second judged by the average of its weights."""
    study: Study = fake.study(("baseline", "a", "b"), seeds=(0, 1))
    variants = [v if v.name != "b" else replace(v, recipe={**v.recipe, "judge": "ema"}) for v in study.variants]
    trials = tuple(
        replace(t, id=f"a-{t.seed}", recipe=variants[2].recipe) if t.variant == "b" else t for t in study.trials
    )
    return replace(study, variants=tuple(variants), trials=trials)


@pytest.fixture
def records(judged: Study, fake: Any) -> dict[str, Record]:
    """Of four trainings; those of `a` report both kinds of metrics."""
    made = {}
    for seed in (0, 1):
        made[f"baseline-{seed}"] = fake.record(judged, "baseline", seed, 80.0 + seed, history=4)
        own = fake.record(judged, "a", seed, 70.0 + seed, history=4)
        rows = tuple(replace(r, metrics={**r.metrics, "ema_top1": r.metrics["top1"] + 20}) for r in own.history)
        made[f"a-{seed}"] = replace(own, metrics={**own.metrics, "ema_top1": 90.0 + seed}, history=rows)
    return made


def test_each_variant_is_compared_by_its_own_metric(judged: Study, records: dict[str, Record]) -> None:
    """One training, two rows: the metric of the final weights, and that of their average."""
    frame = trial_frame(judged, records)
    assert frame.groupby("variant")["metric"].apply(list).to_dict() == {
        "baseline": [80.0, 81.0],
        "a": [70.0, 71.0],
        "b": [90.0, 91.0],
    }
    summary = comparison(judged, records).summary.set_index("variant")
    assert (summary.loc["a", "difference"], summary.loc["b", "difference"]) == (-10.0, 10.0)


def test_a_training_without_an_average_is_no_result_of_one_judged_by_it(
    judged: Study, records: dict[str, Record]
) -> None:
    """It says which metric is missing; the Variant that needs none keeps its result."""
    metrics = {name: value for name, value in records["a-0"].metrics.items() if name != "ema_top1"}
    frame = trial_frame(judged, records | {"a-0": replace(records["a-0"], metrics=metrics)}).set_index("variant")
    assert frame.loc["b", "error"].tolist()[0].startswith("finished without 'ema_top1'; it reported loss, parameters")
    assert frame.loc["a", "metric"].tolist() == [70.0, 71.0]


def test_curves_are_of_what_is_compared(judged: Study, records: dict[str, Record]) -> None:
    """Of each Variant the rows of its own metric; where the average was not reported on the way, the other one."""
    history = history_frame(judged, records)
    names = pd.Series(_drawn(judged, history, "top1"), index=history.index)
    assert set(names[history["variant"] == "b"]) == {"ema_top1"}
    assert set(names[history["variant"] != "b"]) == {"top1"}
    without = history[history["name"] != "ema_top1"]
    assert set(_drawn(judged, without, "top1")) == {"top1"}


def test_words_count_trainings_and_not_rows(judged: Study, records: dict[str, Record], fake: Any) -> None:
    """Six results of four Trials, whose time is that of four; and who is judged by the average is said."""
    compared = comparison(judged, records)
    done = captions.what_was_done(compared)
    assert "6 results from 4 Trials in all" in done
    assert "4 finished, 0 failed. Training took 29 s" in done
    said = "Judged by the moving average of the weights, and not by the final ones: b."
    assert said in captions.comparison_caption(compared)
    assert said in captions.paper_caption(compared)[1]
    failed = records | {"a-0": replace(records["a-0"], status="failed", cause="error", error="x", metrics={})}
    caption = captions.failures_caption(comparison(judged, failed))
    assert caption.startswith("The 1 Trial of 4 without a result")


@pytest.fixture
def taught(fake: Any) -> Study:
    """Two Variants, one of which learns from a teacher."""
    study: Study = fake.study(("baseline", "a"), seeds=(0, 1))
    teacher = Trial("big-7", "teacher:big", 7, study.baseline.recipe)
    trials = tuple(replace(t, needs=("big-7",)) if t.variant == "a" else t for t in study.trials)
    return replace(
        study,
        trials=trials,
        teachers=(teacher,),
        teacher_variants=(Variant("teacher:big", {}, teacher.recipe, {}),),
    )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "The teacher big (Trial big-7, seed 7) was trained first, to top-1 accuracy 97.5 %. "),
        (
            {"status": "failed", "cause": "error", "error": "ValueError: no", "metrics": {}},
            "The teacher big (Trial big-7, seed 7) has no result: error: ValueError: no. ",
        ),
        (None, "The teacher big (Trial big-7, seed 7) is not trained yet. "),
    ],
)
def test_teachers_are_told_and_are_no_rows(taught: Study, fake: Any, fields: Any, said: str) -> None:
    """What became of the teacher stands in a sentence; tables and times are those of the Variants alone."""
    records = {f"{name}-{seed}": fake.record(taught, name, seed, 80.0) for name in ("baseline", "a") for seed in (0, 1)}
    if fields is not None:
        records["big-7"] = fake.record(taught, "big", 7, 97.5, **fields)
    compared = comparison(taught, records)
    assert list(compared.summary["variant"]) == ["baseline", "a"]
    done = captions.what_was_done(compared)
    assert said in done
    assert "4 Trials in all" in done
    assert "Training took 29 s summed over Trials, teachers aside." in done
    assert len(compared.failures) == 0


def test_a_teacher_that_failed_is_in_the_report_with_its_log(taught: Study, fake: Any, tmp_path: Path) -> None:
    """Both pages say why there are no results of its pupils; the machine that it was trained on is told."""
    records = {f"baseline-{seed}": fake.record(taught, "baseline", seed, 80.0) for seed in (0, 1)}
    failed: dict[str, Any] = {"status": "failed", "metrics": {}}
    why = {"cause": "teacher", "error": "its teacher, Trial big-7, failed: ValueError: no", "environment": {}}
    records |= {f"a-{seed}": fake.record(taught, "a", seed, 0.0, **failed, **why) for seed in (0, 1)}
    own = {"cause": "error", "error": "ValueError: no", "log_tail": "a LOG", "environment": {"machine": "another"}}
    records["big-7"] = fake.record(taught, "big", 7, 97.5, **failed, **own)
    report = write_report(taught, records, tmp_path)
    for page in (report.markdown, report.html):
        text = page.read_text(encoding="utf-8")
        assert "The teacher big (Trial big-7, seed 7) has no result" in text
        assert "teacher: its teacher, Trial big-7, failed: ValueError: no" in text
        assert "another (1 Trials)" in text
    page = report.html.read_text(encoding="utf-8")
    assert "Log of teacher big, seed 7</summary><pre>a LOG" in page
