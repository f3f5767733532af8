"""Writing runs into MLflow: a child run for a Trial, a parent run for a Variant. Every step can be repeated.

Metrics cannot be taken back in MLflow, and the same point with another time would be a second point. So a child
run carries a cursor, the tag ``ablate.rows``: how many rows of the history it has for certain, how many were
being sent, and a digest of those. A later delivery sends the rest; where the history has become another one
(a resumed attempt measured otherwise), the incomplete run is deleted and written anew.
"""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.study.study import Study, Variant
from ablate.tracking import mlflow_entries as entries
from ablate.tracking.codec import encode
from ablate.tracking.record import Record
from ablate.tracking.store import Stamp, variant_key

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

#: One call takes 100 params, 100 tags and 1,000 entities in all.
_METRICS_AT_ONCE, _PAIRS_AT_ONCE = 800, 100
_COMPLETE_FIRST = {"FINISHED": 0, "FAILED": 1}
_CURSOR, _DESCRIBED = "ablate.rows", "ablate.described"
_FOLLOWERS = {"mlflow.parentRunId", "mlflow.note.content", "ablate.variant", *entries.STANDING}
Point = tuple[str, float, int, int]


class TrialRun:
    """One Record on its way into a child run of one experiment."""

    def __init__(self, client: MlflowClient, experiment: str, tags: Mapping[str, str], record: Record) -> None:
        self._client = client
        self._experiment = experiment
        self._tags = dict(tags)
        self._record = record

    def write(self, artifacts: Mapping[str, Path], data_name: str) -> None:
        """Bring the run up to the Record; nothing where it is complete or ahead."""
        run = self._find()
        if run is not None and self._complete(run):
            self._move(run)
            return
        sent, until = 0, 0
        if run is not None:
            sent, until, digest = _read_cursor(run)
            if len(self._record.history) < until and self._record.status in ("running", "interrupted"):
                return  # a resumed attempt has yet to catch up with what was delivered before it died
            if entries.digest(self._record.history[:until]) != digest:
                self._client.delete_run(run.info.run_id)
                run = None
        if run is None:
            run, sent = self._create(), 0
        else:
            still = "KILLED" if self._record.status == "interrupted" else "RUNNING"
            if run.info.status not in ("RUNNING", still):
                # Before anything else: while it is FAILED it counts as complete.
                self._client.update_run(run.info.run_id, status="RUNNING")
            if sent < len(self._record.history):
                _log(self._client, run.info.run_id, tags={_CURSOR: self._cursor(sent)})
        self._fill(run, sent, data_name)
        if self._record.status in ("finished", "failed"):
            self._end(run.info.run_id, artifacts)
        elif self._record.status == "interrupted" and run.info.status != "KILLED":
            last = self._record.history[-1].time if self._record.history else self._record.started
            self._client.set_terminated(run.info.run_id, "KILLED", entries.milliseconds(last))

    def _find(self) -> Run | None:
        """The Trial's run; a complete one rather than another."""
        condition = f"tags.`ablate.trial_id` = '{self._record.trial_id}'"
        runs = list(self._client.search_runs([self._experiment], condition))
        return min(runs, key=lambda run: _COMPLETE_FIRST.get(run.info.status, 2), default=None)

    def _complete(self, run: Run) -> bool:
        if run.info.status == "FINISHED":
            return True
        held = Stamp("failed", int(run.data.tags["ablate.attempts"]))
        return run.info.status == "FAILED" and held.settles(self._record)

    def _move(self, run: Run) -> None:
        """Let the run follow its Variant, when the study has given that, or a Factor or Level, another name."""
        run_id, held = run.info.run_id, run.data.tags
        wanted = {name: value for name, value in self._tags.items() if _follows(name)}
        if all(held.get(name) == value for name, value in wanted.items()):
            return
        self._client.update_run(run_id, name=entries.run_name(self._tags))
        for name in held:
            if _follows(name) and name not in wanted:
                self._client.delete_tag(run_id, name)
        key = wanted.pop(entries.VARIANT_KEY)
        _log(self._client, run_id, tags=wanted)
        # Last, for as long as it is the old one the move counts as not done.
        _log(self._client, run_id, tags={entries.VARIANT_KEY: key})

    def _create(self) -> Run:
        start = entries.milliseconds(self._record.started)
        tags = self._tags | {_CURSOR: self._cursor(0)}
        return self._client.create_run(self._experiment, start_time=start, tags=tags, run_name=entries.run_name(tags))

    def _cursor(self, sent: int) -> str:
        """The tag that says: so many rows are there, and the others of this history are on their way."""
        history = self._record.history
        return f"{sent} {len(history)} {entries.digest(history)}"

    def _fill(self, run: Run, sent: int, data_name: str) -> None:
        """Recipe and data where they are missing, the rows after the first ``sent``, the tags as they are now."""
        record, run_id, params = self._record, run.info.run_id, {}
        if _DESCRIBED not in run.data.tags:
            params = {"seed": str(record.seed), **entries.params(record.recipe)}
            self._client.log_dict(run_id, dict(record.recipe), "recipe.json")
            self._log_data(run_id, data_name)
        points = entries.points(record.history[sent:])
        if record.status == "finished":
            points += entries.final_points(record)
        tags = self._tags | {_CURSOR: self._cursor(len(record.history)), _DESCRIBED: "yes"}
        _log(self._client, run_id, points, params, tags)

    def _log_data(self, run_id: str, name: str) -> None:
        fingerprint = self._record.data_fingerprint
        if not fingerprint:
            return
        from mlflow.entities import Dataset, DatasetInput, InputTag

        source = json.dumps({"source": name, "fingerprint": fingerprint})
        short = fingerprint[: entries.DIGEST_LENGTH]
        data = Dataset(name=name, digest=short, source_type="ablate", source=source)
        use = [InputTag("mlflow.data.context", "training")]
        self._client.log_inputs(run_id, datasets=[DatasetInput(data, use)])

    def _end(self, run_id: str, artifacts: Mapping[str, Path]) -> None:
        """The files, the result, and last of all the status that makes the run complete."""
        record = self._record
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


class VariantRuns:
    """The parent runs of one experiment."""

    def __init__(self, client: MlflowClient, experiment: str) -> None:
        self._client = client
        self._experiment = experiment
        self._runs: dict[str, str] = {}

    def run_of(self, study: Study, variant: Variant) -> str:
        """The id of a Variant's run, which is made where it does not exist."""
        key = variant_key(variant)
        if key not in self._runs:
            condition = f"tags.`ablate.kind` = 'variant' and tags.`{entries.VARIANT_KEY}` = '{key}'"
            found = list(self._client.search_runs([self._experiment], condition, max_results=1))
            self._runs[key] = found[0].info.run_id if found else self._create(study, variant)
        return self._runs[key]

    def summarise(self, run_id: str, aggregates: Mapping[str, float], files: Sequence[Path]) -> None:
        """Log what changed of the aggregates and of the files, and mark the run as finished.

        A metric cannot be taken back: what the run holds of an earlier summary and this one lacks becomes NaN,
        so that no run mixes the numbers of two.
        """
        run = self._client.get_run(run_id)
        now = entries.milliseconds(time.time())
        values = {entries.key(name): float(value) for name, value in aggregates.items()}
        values |= {name: math.nan for name in run.data.metrics if name not in values}
        changed = [(n, v, now, 0) for n, v in values.items() if not _same(run.data.metrics.get(n), v)]
        if changed:
            _log(self._client, run_id, changed)
        digest = _digest_files(files)
        if files and run.data.tags.get("ablate.report") != digest:
            for path in files:
                if path.is_dir():
                    self._client.log_artifacts(run_id, str(path), f"report/{path.name}")
                else:
                    self._client.log_artifact(run_id, str(path), "report")
            _log(self._client, run_id, tags={"ablate.report": digest})
        if run.info.status != "FINISHED":
            self._client.set_terminated(run_id, "FINISHED")

    def _create(self, study: Study, variant: Variant) -> str:
        tags = entries.variant_tags(study, variant)
        run = self._client.create_run(self._experiment, tags=tags, run_name=variant.name)
        _log(self._client, run.info.run_id, params=entries.params(variant.recipe))
        return str(run.info.run_id)


def _follows(tag: str) -> bool:
    """Whether a child run's tag says where in the study its Trial stands, which an edit of names may change."""
    return tag in _FOLLOWERS or tag.startswith("factor.")


def _read_cursor(run: Run) -> tuple[int, int, str]:
    """Rows sent for certain, rows that were being sent, and the digest of these."""
    text = run.data.tags.get(_CURSOR)
    if text is None:
        return 0, 0, entries.digest(())
    sent, until, digest = text.split()
    return int(sent), int(until), digest


def _same(held: float | None, value: float) -> bool:
    return held is not None and (held == value or (held != held and value != value))


def _log(
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


def _digest_files(files: Iterable[Path]) -> str:
    content = hashlib.sha256()
    for path in files:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                content.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return content.hexdigest()[:16]
