"""What a process that died, or a request whose answer was lost, leaves in MLflow, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ablate.study.study import Study
from ablate.tracking import mlflow_entries as entries
from ablate.tracking import mlflow_variants
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.record import Record


def _runs(store: MlflowStore, study: Study, kind: str) -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(store.uri)
    experiment = client.get_experiment_by_name(study.slug)
    return list(client.search_runs([experiment.experiment_id], f"tags.`ablate.kind` = '{kind}'"))


def test_a_parent_that_was_left_half_made_is_replaced(
    sqlite_store: MlflowStore, study: Study, record_of: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
):
    """Its maker died before it stood: after a while it is withdrawn, and a whole one is made."""
    from mlflow import MlflowClient

    monkeypatch.setattr(mlflow_variants, "_LEFT_S", 0.2)
    client = MlflowClient(sqlite_store.uri)
    experiment = client.create_experiment(study.slug)
    half = client.create_run(experiment, tags=entries.variant_tags(study, study.baseline) | {"ablate.making": "yes"})
    sqlite_store.deliver(study, record_of(study), {})
    [parent] = _runs(sqlite_store, study, "variant")
    assert parent.info.run_id != half.info.run_id
    assert parent.data.params == entries.params(study.baseline.recipe)


def test_a_second_run_of_a_trial_does_not_last(
    sqlite_store: MlflowStore, study: Study, record_of: Callable[..., Record], part_of: Callable[..., Record]
):
    """A request that was sent twice made two: the one that has the rows is completed, the other goes."""
    from mlflow import MlflowClient

    client, record = MlflowClient(sqlite_store.uri), record_of(study)
    sqlite_store.deliver(study, part_of(record, 2), {})
    [run] = _runs(sqlite_store, study, "trial")
    twin = {name: value for name, value in run.data.tags.items() if name not in ("ablate.rows", "ablate.described")}
    client.create_run(run.info.experiment_id, tags=twin)
    sqlite_store.deliver(study, record, {})
    [left] = _runs(sqlite_store, study, "trial")
    assert (left.info.run_id, left.info.status) == (run.info.run_id, "FINISHED")
    assert [point.step for point in client.get_metric_history(run.info.run_id, "loss")] == [0, 1, 2]


def test_a_second_run_that_comes_of_the_last_delivery_itself_does_not_last(
    sqlite_store: MlflowStore, study: Study, record_of: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
):
    """Where the only delivery of a Trial made two runs at once, it withdraws one."""
    from mlflow import MlflowClient

    create = MlflowClient.create_run

    def twice(self: MlflowClient, *arguments: Any, **options: Any) -> Any:
        create(self, *arguments, **options)
        return create(self, *arguments, **options)

    sqlite_store.deliver(study, record_of(study, 1), {})  # the parents are there
    sqlite_store.deliver(study, record_of(study, 2), {})
    monkeypatch.setattr(MlflowClient, "create_run", twice)
    sqlite_store.deliver(study, record_of(study, 0), {})
    runs = [
        run for run in _runs(sqlite_store, study, "trial") if run.data.tags["ablate.trial_id"] == study.trials[0].id
    ]
    assert [run.info.status for run in runs] == ["FINISHED"]
