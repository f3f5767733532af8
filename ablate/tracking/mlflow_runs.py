"""Writing a Trial's run into MLflow. Every step can be repeated.

Metrics cannot be taken back in MLflow, and the same point with another time would be a second point. So a child
run carries a cursor, the tag ``ablate.rows``: how many rows of the history it has for certain, how many were
being sent, and a digest of those. A later delivery sends the rest; where the history has become another one
(a resumed attempt measured otherwise), the incomplete run is deleted and written anew.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.tracking import mlflow_entries as entries
from ablate.tracking.codec import encode
from ablate.tracking.destination import TrialPlace
from ablate.tracking.record import Record
from ablate.tracking.store import Stamp

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

#: One call takes 100 params, 100 tags and 1,000 entities in all.
_METRICS_AT_ONCE, _PAIRS_AT_ONCE = 800, 100
_COMPLETE_FIRST = {"FINISHED": 0, "FAILED": 1}
_CURSOR, _DESCRIBED = "ablate.rows", "ablate.described"
_FOLLOWERS = {"mlflow.parentRunId", "mlflow.note.content", "ablate.variant", *entries.STANDING}
Point = tuple[str, float, int, int]


@dataclass
class _Held:
    """What the Store holds of a run that is not complete."""

    run_id: str
    status: str
    described: bool
    sent: int
    """Rows that it has for certain."""
    until: int
    """Rows that it may have, some of them perhaps in part."""
    digest: str
    """Of these."""


class TrialRun:
    """The child run of one Trial in one experiment.

    What it held at the last `write` is remembered: for as long as one object writes the run, and nobody else does.
    """

    def __init__(self, client: MlflowClient, experiment: str, place: TrialPlace, trial_id: str) -> None:
        self._client = client
        self._experiment = experiment
        self._place = place
        self._trial_id = trial_id
        self._held: _Held | None = None

    def write(self, record: Record, artifacts: Mapping[str, Path]) -> None:
        """Bring the run up to the Record; nothing where it is complete or ahead."""
        tags, held, created = entries.trial_tags(self._place.tags, record), self._held, False
        if held is None:
            run = self._find()
            if run is not None and _is_complete(run, record):
                self._move(run, tags)
                return
            held = None if run is None else _held(run)
        if held is not None:
            if len(record.history) < held.until and record.status in ("running", "interrupted"):
                return  # a resumed attempt has yet to catch up with what was delivered before it died
            if entries.digest(record.history[: held.until]) != held.digest:
                self._client.delete_run(held.run_id)
                held = None
        if held is None:
            held, created = self._create(record, tags), True
        else:
            self._announce(held, record)
        self._held = held
        self._fill(held, record, tags)
        if record.status in ("finished", "failed"):
            if created:
                self._find()  # a first request whose answer was lost may have made a run as well
            self._end(held.run_id, record, artifacts)
            self._held = None
        elif record.status == "interrupted" and held.status != "KILLED":
            last = record.history[-1].time if record.history else record.started
            self._client.set_terminated(held.run_id, "KILLED", entries.milliseconds(last))
            held.status = "KILLED"

    def _find(self) -> Run | None:
        """The Trial's run. Of several that an outage may leave the best stays, and no other incomplete one."""
        condition = f"tags.`ablate.trial_id` = '{self._trial_id}'"
        runs = list(self._client.search_runs([self._experiment], condition))
        mine = self._held.run_id if self._held else None
        runs.sort(key=lambda r: (r.info.run_id != mine, _COMPLETE_FIRST.get(r.info.status, 2), -_held(r).sent))
        for other in runs[1:]:
            if other.info.status not in _COMPLETE_FIRST:
                self._client.delete_run(other.info.run_id)
        return runs[0] if runs else None

    def _move(self, run: Run, tags: Mapping[str, str]) -> None:
        """Let the run follow its Variant, when the study has given that, or a Factor or Level, another name."""
        run_id, there = run.info.run_id, run.data.tags
        wanted = {name: value for name, value in tags.items() if _follows(name)}
        if all(there.get(name) == value for name, value in wanted.items()):
            return
        self._client.update_run(run_id, name=entries.run_name(tags))
        for name in there:
            if _follows(name) and name not in wanted:
                self._client.delete_tag(run_id, name)
        key = wanted.pop(entries.VARIANT_KEY)
        log(self._client, run_id, tags=wanted)
        # Last, for as long as it is the old one the move counts as not done.
        log(self._client, run_id, tags={entries.VARIANT_KEY: key})

    def _create(self, record: Record, tags: Mapping[str, str]) -> _Held:
        start, digest, until = entries.milliseconds(record.started), entries.digest(record.history), len(record.history)
        begun = {**tags, _CURSOR: _cursor(0, until, digest)}
        name = entries.run_name(tags)
        run = self._client.create_run(self._experiment, start_time=start, tags=begun, run_name=name)
        return _Held(run.info.run_id, "RUNNING", described=False, sent=0, until=until, digest=digest)

    def _announce(self, held: _Held, record: Record) -> None:
        """Before rows are sent the run says which, so that whoever comes next knows what it may have."""
        still = "KILLED" if record.status == "interrupted" else "RUNNING"
        if held.status not in ("RUNNING", still):
            # Before anything else: while it is FAILED it counts as complete.
            self._client.update_run(held.run_id, status="RUNNING")
            held.status = "RUNNING"
        if held.sent < len(record.history):
            held.until, held.digest = len(record.history), entries.digest(record.history)
            log(self._client, held.run_id, tags={_CURSOR: _cursor(held.sent, held.until, held.digest)})

    def _fill(self, held: _Held, record: Record, tags: Mapping[str, str]) -> None:
        """Recipe and data where they are missing, the rows that were not sent, the tags as they are now."""
        params = {}
        if not held.described:
            params = {"seed": str(record.seed), **entries.params(record.recipe)}
            self._client.log_dict(held.run_id, dict(record.recipe), "recipe.json")
            self._log_data(held.run_id, record.data_fingerprint)
        points = entries.points(record.history[held.sent :])
        if record.status == "finished":
            points += entries.final_points(record)
        count, digest = len(record.history), entries.digest(record.history)
        cursor = _cursor(count, count, digest)
        log(self._client, held.run_id, points, params, {**tags, _CURSOR: cursor, _DESCRIBED: "yes"})
        held.sent, held.until, held.digest, held.described = count, count, digest, True

    def _log_data(self, run_id: str, fingerprint: str) -> None:
        if not fingerprint:
            return
        from mlflow.entities import Dataset, DatasetInput, InputTag

        name = self._place.data_name
        source = json.dumps({"source": name, "fingerprint": fingerprint})
        short = fingerprint[: entries.DIGEST_LENGTH]
        data = Dataset(name=name, digest=short, source_type="ablate", source=source)
        use = [InputTag("mlflow.data.context", "training")]
        self._client.log_inputs(run_id, datasets=[DatasetInput(data, use)])

    def _end(self, run_id: str, record: Record, artifacts: Mapping[str, Path]) -> None:
        """The files, the result, and last of all the status that makes the run complete."""
        for name, path in artifacts.items():
            with tempfile.TemporaryDirectory() as folder:
                # log_artifact keeps the name of the file, which in the spool need not be the artifact's.
                link = Path(folder, Path(name).name)
                link.symlink_to(path.resolve())
                where = (Path("artifacts") / name).parent.as_posix()
                self._client.log_artifact(run_id, str(link), where)
        self._client.log_text(run_id, encode(record), "result.json")
        ended = entries.milliseconds(record.ended or time.time())
        self._client.set_terminated(run_id, entries.mlflow_status(record), ended)


def _follows(tag: str) -> bool:
    """Whether a child run's tag says where in the study its Trial stands, which an edit of names may change."""
    return tag in _FOLLOWERS or tag.startswith("factor.")


def _is_complete(run: Run, record: Record) -> bool:
    if run.info.status == "FINISHED":
        return True
    stamp = Stamp("failed", int(run.data.tags["ablate.attempts"]))
    return run.info.status == "FAILED" and stamp.settles(record)


def _held(run: Run) -> _Held:
    tags = run.data.tags
    sent, until, digest = (tags.get(_CURSOR) or f"0 0 {entries.digest(())}").split()
    return _Held(run.info.run_id, run.info.status, _DESCRIBED in tags, int(sent), int(until), digest)


def _cursor(sent: int, until: int, digest: str) -> str:
    """The tag that says: so many rows are there, and the others of a history with this digest are on their way."""
    return f"{sent} {until} {digest}"


def log(
    client: MlflowClient,
    run_id: str,
    points: Sequence[Point] = (),
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Log all of it in as few calls as MLflow's limits allow; the tags are written after everything else."""
    from mlflow.entities import Metric, Param, RunTag

    rest = list(points), list((params or {}).items()), list((tags or {}).items())
    while any(rest):
        metrics, pairs, labels = rest
        last = len(metrics) <= _METRICS_AT_ONCE and len(pairs) <= _PAIRS_AT_ONCE
        now = _PAIRS_AT_ONCE if last else 0
        client.log_batch(
            run_id,
            metrics=[Metric(*point) for point in metrics[:_METRICS_AT_ONCE]],
            params=[Param(*pair) for pair in pairs[:_PAIRS_AT_ONCE]],
            tags=[RunTag(*label) for label in labels[:now]],
        )
        rest = metrics[_METRICS_AT_ONCE:], pairs[_PAIRS_AT_ONCE:], labels[now:]
