"""The ends of the logs of Trials that have no result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ablate.reporting.comparison import Comparison
from ablate.tracking.record import Record

#: Logs on a page, and characters of each, counted from its end.
LOGS, CHARACTERS = 40, 6_000


@dataclass(frozen=True)
class Logs:
    """What the page shows of them."""

    shown: tuple[tuple[str, str], ...]
    """Title and end of the log."""
    others: int
    """Trials whose logs are left out."""


def logs_of(comparison: Comparison, records: Mapping[str, Record]) -> Logs:
    """The logs of teachers and Trials that left one, in the study's order; each Trial once."""
    found = []
    trials = [(f"teacher {t['teacher']}", t) for t in comparison.teachers.to_dict("records")]
    rows = comparison.trials.loc[comparison.trials["metric"].isna(), ["trial_id", "variant", "seed"]]
    trials += [(t["variant"], t) for t in rows.drop_duplicates("trial_id").to_dict("records")]
    for name, trial in trials:
        record = records.get(str(trial["trial_id"]))
        if record is not None and record.log_tail:
            found.append((f"{name}, seed {trial['seed']}", _end(record.log_tail)))
    return Logs(tuple(found[:LOGS]), max(len(found) - LOGS, 0))


def _end(log: str) -> str:
    return log if len(log) <= CHARACTERS else "…" + log[-CHARACTERS:]
