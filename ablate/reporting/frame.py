"""From Records to tidy frames: one row per planned Trial, whatever became of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from ablate.study.study import TEACHER, Study
from ablate.tracking.record import Record

#: Prefix of the columns with a Factor's Level, and of those with final metrics, so that no name can collide.
FACTOR = "factor."
FINAL = "final."
HISTORY_COLUMNS = ("trial_id", "variant", "seed", "status", "step", "name", "value")


def trial_frame(study: Study, records: Mapping[str, Record]) -> pd.DataFrame:
    """One row per planned Trial, in the study's order of Variants and seeds.

    Columns: `trial_id`, `variant`, `factor.<name>` (the Level), `seed`, `status` (a Record's, or `missing`),
    `cause`, `error`, `attempts`, `metric` (the study's metric, of the averaged weights for a Variant that is judged by
    them; NaN where there is none), `seconds`, and `final.<name>` for every final metric that any Trial reported. A
    Trial that is two Variants' is a row of each.

    A Trial that finished without the study's metric, or with one that is not finite, keeps its status, and
    `cause` and `error` say what is wrong: it counts as one without a result.
    """
    order = {variant.name: i for i, variant in enumerate(study.variants)}
    levels = {variant.name: variant.levels for variant in study.variants}
    names = sorted({name for t in study.trials if t.id in records for name in records[t.id].metrics})
    rows = []
    for trial in sorted(study.trials, key=lambda t: (order[t.variant], study.seeds.index(t.seed))):
        record = records.get(trial.id)
        row: dict[str, Any] = {"trial_id": trial.id, "variant": trial.variant}
        row |= {FACTOR + name: levels[trial.variant].get(name, "") for name in study.factors}
        row |= {"seed": trial.seed, **_outcome(study.metric_of(trial.recipe), record)}
        row |= {FINAL + name: record.metrics.get(name, math.nan) if record else math.nan for name in names}
        rows.append(row)
    return pd.DataFrame(rows)


def teacher_frame(study: Study, records: Mapping[str, Record]) -> pd.DataFrame:
    """One row per teacher that the study's Trials learn from: `teacher` (its name), `trial_id`, `seed`, `status`,
    `cause`, `error`, `attempts`, `metric` and `seconds`, as in `trial_frame`.
    """
    rows = [
        {"teacher": trial.variant.removeprefix(TEACHER), "trial_id": trial.id, "seed": trial.seed}
        | _outcome(study.metric.name, records.get(trial.id))
        for trial in study.teachers
    ]
    return pd.DataFrame(rows)


def _outcome(metric: str, record: Record | None) -> dict[str, Any]:
    if record is None:
        nothing = {"status": "missing", "cause": "", "error": "", "attempts": 0}
        return {**nothing, "metric": math.nan, "seconds": math.nan}
    value, error = math.nan, record.error
    cause: str = record.cause or ""
    if record.status == "finished":
        value = float(record.metrics.get(metric, math.nan))
        if metric not in record.metrics:
            reported = ", ".join(sorted(record.metrics)) or "nothing"
            cause, error = "no metric", f"finished without {metric!r}; it reported {reported}"
        elif not math.isfinite(value):
            cause, error, value = "not finite", f"{metric} is {value}", math.nan
    return {
        "status": record.status,
        "cause": cause,
        "error": error,
        "attempts": record.attempts,
        "metric": value,
        "seconds": float(record.seconds),
    }


def history_frame(study: Study, records: Mapping[str, Record]) -> pd.DataFrame:
    """Everything reported during training, long: one row per Trial, step and name of a measurement."""
    rows = []
    for trial in study.trials:
        record = records.get(trial.id)
        if record is None:
            continue
        for row in record.history:
            for name, value in sorted(row.metrics.items()):
                rows.append((trial.id, trial.variant, trial.seed, record.status, row.step, name, float(value)))
    return pd.DataFrame(rows, columns=list(HISTORY_COLUMNS))
