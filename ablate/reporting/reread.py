"""Records from a report's own `trials.csv` and `history.csv`: a clone without a spool still has its results."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from ablate.reporting.frame import FINAL
from ablate.study.study import Study, Trial
from ablate.tracking.record import Cause, Record, Row, Status

TRIALS, HISTORY = "trials.csv", "history.csv"
#: The status of a Trial of which there is nothing to reread.
_MISSING = "missing"


class RereadError(ValueError):
    """The report's files are not what a report writes; the message says which and why."""


def reread(study: Study, folder: Path) -> dict[str, Record]:
    """Trial id -> Record, for the Trials of the study that the report in ``folder`` knows; empty without a report.

    What tables do not keep is not there: environments, logs, artifacts, the times of rows, and teachers. Raises
    `RereadError` for files that cannot be read as a report's.
    """
    path = folder / TRIALS
    if not path.is_file():
        return {}
    trials = {trial.id: trial for trial in study.trials}
    rows = {row["trial_id"]: row for row in _rows(path, ("trial_id", "status", "seconds", "attempts"))}
    history = _history(folder / HISTORY, rows.keys() & trials.keys())
    records = {}
    for trial_id, trial in trials.items():
        row = rows.get(trial_id)
        if row is not None and row["status"] != _MISSING:
            try:
                records[trial_id] = _record(study, trial, row, history.get(trial_id, ()))
            except ValueError as error:
                raise RereadError(f"{path}: Trial {trial_id}: {error}") from error
    return records


def strangers(study: Study, folder: Path) -> int:
    """How many Trials the report knows that the study does not have as it is now: its files, data or code changed."""
    own = {trial.id for trial in study.trials}
    return len({row["trial_id"] for row in _rows(folder / TRIALS, ("trial_id",))} - own)


def seeds_in(study: Study, folder: Path) -> dict[str, int]:
    """Variant -> how many seeds the report has planned for it, of a study that adds seeds by results; no fewer than the
    study's least.
    """
    least = study.sequential.least if study.sequential else 0
    possible = study.possible() if study.possible else study.trials
    rows = {(row["variant"], row["trial_id"]) for row in _rows(folder / TRIALS, ("trial_id", "variant"))}
    counts = Counter(trial.variant for trial in possible if (trial.variant, trial.id) in rows)
    return {variant.name: max(counts[variant.name], least) for variant in study.variants}


def _rows(path: Path, wanted: Iterable[str]) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise RereadError(f"{path}: {error}") from error
    lacking = [name for name in wanted if rows and name not in rows[0]]
    if lacking or any(None in row or None in row.values() for row in rows):
        raise RereadError(f"{path}: no table of Trials" + (f", it lacks {', '.join(lacking)}" if lacking else ""))
    return rows


def _record(study: Study, trial: Trial, row: Mapping[str, str], history: Iterable[Row]) -> Record:
    status: Any = row["status"]
    cause: Any = row.get("cause") or None
    if status not in get_args(Status):
        raise ValueError(f"unknown status {status!r}")
    return Record(
        trial_id=trial.id,
        seed=trial.seed,
        trainable=study.trainable,
        recipe=trial.recipe,
        status=status,
        started=0.0,
        seconds=float(row["seconds"] or 0.0),
        attempts=int(row["attempts"]),
        metrics={
            name.removeprefix(FINAL): float(value) for name, value in row.items() if name.startswith(FINAL) and value
        },
        history=tuple(history),
        cause=cause if cause in get_args(Cause) else None,
        error=row.get("error", ""),
        data_fingerprint=study.data_fingerprint,
    )


def _history(path: Path, ids: Iterable[str]) -> dict[str, tuple[Row, ...]]:
    """Trial id -> its rows in order of steps; empty where the report has no history."""
    if not path.is_file():
        return {}
    try:
        table = pd.read_csv(path, dtype={"trial_id": str, "name": str}, keep_default_na=False, na_values={"value": ""})
        table = table[table["trial_id"].isin(set(ids))].drop_duplicates(["trial_id", "step", "name"])
        found: dict[str, dict[int, dict[str, float]]] = {}
        values = zip(table["trial_id"], table["step"], table["name"], table["value"].astype(float), strict=True)
        for trial_id, step, name, value in values:
            found.setdefault(trial_id, {}).setdefault(int(step), {})[name] = value
    except (ValueError, KeyError) as error:  # pandas' parser raises kinds of ValueError
        raise RereadError(f"{path}: {error}") from error
    return {
        trial_id: tuple(Row(step, metrics, 0.0) for step, metrics in sorted(rows.items()))
        for trial_id, rows in found.items()
    }
