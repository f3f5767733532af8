"""Runs that someone else's code has logged to MLflow, read page by page. Nothing is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ablate.tracking.mlflow_client import Connection
from ablate.tracking.mlflow_search import search
from ablate.tracking.record import Row
from ablate.wording import listing, nearest

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

RunStatus = Literal["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"]
_PARENT = "mlflow.parentRunId"


class NoSuchExperiment(ValueError):  # noqa: N818 - it is what there is not
    """The store has no active experiment of that name; the message lists those that it has."""


class BadSearch(ValueError):  # noqa: N818
    """MLflow does not understand the search string; the message is MLflow's own."""


@dataclass(frozen=True)
class ForeignRun:
    """One run, as MLflow has it."""

    run_id: str
    name: str
    status: str
    """One of `RunStatus`."""
    started: float
    """Seconds since the Unix epoch; 0 where MLflow does not know."""
    ended: float | None
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    """The value of each that was logged last, at the highest step."""
    tags: Mapping[str, str]
    data: str
    """Digests of the data sets logged with the run, joined; empty where none was."""
    is_parent: bool
    """Whether another run of the experiment is nested in it."""


@dataclass(frozen=True)
class ForeignExperiment:
    """An experiment's runs that met the search string, in the order in which they were started."""

    name: str
    uri: str
    runs: tuple[ForeignRun, ...]


def read_runs(uri: str | None, experiment: str, condition: str = "") -> ForeignExperiment:
    """All active runs of an experiment, given by its name or id, that meet an MLflow search string.

    MLflow answers a search with at most so many runs; all pages are read. Raises `NoSuchExperiment`, `BadSearch`, and
    `StoreUnavailable` where the store cannot be reached.
    """
    connection = Connection(uri)
    with connection.guarded() as client:
        from mlflow.exceptions import MlflowException

        found = client.get_experiment_by_name(experiment)
        if found is None and experiment.isdecimal():
            try:
                found = client.get_experiment(experiment)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
        if found is None or found.lifecycle_stage != "active":
            raise NoSuchExperiment(_what_there_is(client, experiment, connection.uri))
        try:
            runs = list(search(client, [found.experiment_id], condition))
        except MlflowException as error:
            if condition and error.error_code == "INVALID_PARAMETER_VALUE":
                raise BadSearch(f"MLflow does not understand the search {condition!r}: {error.message}") from error
            raise
    parents = {run.data.tags.get(_PARENT) for run in runs}
    read = [_read(run, run.info.run_id in parents) for run in runs]
    return ForeignExperiment(found.name, connection.uri, tuple(sorted(read, key=lambda r: (r.started, r.run_id))))


def read_histories(uri: str | None, runs: Sequence[ForeignRun]) -> dict[str, tuple[Row, ...]]:
    """Run id -> what was logged at each step, for every metric: one request for each metric of each run.

    Of a metric logged twice at one step the later value counts. Raises `StoreUnavailable`.
    """
    found = {}
    with Connection(uri).guarded() as client:
        for run in runs:
            steps: dict[int, dict[str, float]] = {}
            times: dict[int, float] = {}
            for name in sorted(run.metrics):
                points = client.get_metric_history(run.run_id, name)
                for point in sorted(points, key=lambda p: (p.step, p.timestamp)):
                    steps.setdefault(point.step, {})[name] = float(point.value)
                    times[point.step] = max(times.get(point.step, 0.0), point.timestamp / 1000)
            found[run.run_id] = tuple(Row(step, steps[step], times[step]) for step in sorted(steps))
    return found


def _what_there_is(client: MlflowClient, experiment: str, uri: str) -> str:
    names, token = [], None
    while True:
        page = client.search_experiments(max_results=1000, page_token=token)
        names += [found.name for found in page]
        token = page.token
        if not token:
            break
    return f"{uri} has no experiment {experiment!r}; {listing(sorted(names))}{nearest(experiment, names)}"


def _read(run: Run, is_parent: bool) -> ForeignRun:
    inputs = run.inputs.dataset_inputs if run.inputs is not None else []
    return ForeignRun(
        run_id=run.info.run_id,
        name=run.info.run_name or run.info.run_id,
        status=run.info.status,
        started=(run.info.start_time or 0) / 1000,
        ended=None if run.info.end_time is None else run.info.end_time / 1000,
        params=dict(run.data.params),
        metrics={name: float(value) for name, value in run.data.metrics.items()},
        tags=dict(run.data.tags),
        data=", ".join(sorted({given.dataset.digest for given in inputs})),
        is_parent=is_parent,
    )
