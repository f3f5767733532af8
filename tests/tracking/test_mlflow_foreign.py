"""Runs of other code are read from a real MLflow store: all of them, as they are, and nothing is written."""

from __future__ import annotations

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from ablate.tracking import mlflow_search
from ablate.tracking.mlflow_foreign import BadSearch, NoSuchExperiment, read_histories, read_runs


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store with the runs of someone's sweep: its URI."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('foreign')}/mlflow.db"
    client = MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment("their sweep/1")
    parent = ""
    for number in range(5):
        tags = {"mlflow.parentRunId": parent} if number == 4 else {}
        run = client.create_run(experiment, start_time=1000 * (10 - number), tags=tags, run_name=f"run {number}")
        run_id = run.info.run_id
        points = [Metric("acc", 0.5 + step / 10, 1000 + step, step) for step in range(3)]
        client.log_batch(run_id, points, [Param("lr", f"{number}"), Param("note", "a <b>")], [RunTag("mine", "x")])
        if number < 4:
            client.set_terminated(run_id, "FAILED" if number == 3 else "FINISHED", end_time=1000 * (20 - number))
        parent = run_id
    client.delete_run(client.create_run(experiment).info.run_id)
    client.delete_experiment(client.create_experiment("gone"))
    return uri


def test_all_runs_are_read_page_by_page(store, monkeypatch):
    """A store that answers two runs at a time gives all five, in the order in which they were started."""
    monkeypatch.setattr(mlflow_search, "_PAGE", 2)
    found = read_runs(store, "their sweep/1")
    assert [run.name for run in found.runs] == ["run 4", "run 3", "run 2", "run 1", "run 0"]
    assert (found.name, found.uri) == ("their sweep/1", store)


def test_a_run_is_read_as_it_is(store):
    """Params, last metrics, tags, times in seconds and status are MLflow's; a run with others below it is a parent."""
    runs = {run.name: run for run in read_runs(store, "their sweep/1").runs}
    run = runs["run 0"]
    assert dict(run.params) == {"lr": "0", "note": "a <b>"}
    assert run.metrics["acc"] == pytest.approx(0.7, abs=1e-12)
    assert (run.started, run.ended, run.status) == (10.0, 20.0, "FINISHED")
    assert run.tags["mine"] == "x"
    assert {name: run.status for name, run in runs.items() if name in ("run 3", "run 4")} == {
        "run 3": "FAILED",
        "run 4": "RUNNING",
    }
    assert [name for name, run in runs.items() if run.is_parent] == ["run 3"]


def test_an_experiment_can_be_named_by_its_id(store):
    """The number that MLflow's page shows is as good as the name."""
    number = MlflowClient(tracking_uri=store).get_experiment_by_name("their sweep/1").experiment_id
    assert len(read_runs(store, number).runs) == 5


def test_a_search_string_selects(store):
    """MLflow's own search strings are understood."""
    assert [run.name for run in read_runs(store, "their sweep/1", "params.lr = '2'").runs] == ["run 2"]


def test_a_search_string_that_mlflow_refuses_is_told_with_its_words(store):
    """What MLflow says of a wrong search string is passed on."""
    with pytest.raises(BadSearch, match=r"params\.lr = 2.*quoted"):
        read_runs(store, "their sweep/1", "params.lr = 2")


@pytest.mark.parametrize("name", ["their sweep", "gone", "12345678"])
def test_an_unknown_experiment_lists_those_there_are(store, name):
    """A name or number that is none, and a deleted experiment, are told with what there is."""
    with pytest.raises(NoSuchExperiment, match="allowed: Default, their sweep/1"):
        read_runs(store, name)


def test_histories_are_rows_by_step(store):
    """Each step of each metric is a row, for the runs asked for and no others."""
    run = read_runs(store, "their sweep/1", "params.lr = '2'").runs[0]
    found = read_histories(store, [run])
    assert set(found) == {run.run_id}
    rows = found[run.run_id]
    assert [row.step for row in rows] == [0, 1, 2]
    assert [row.metrics["acc"] for row in rows] == pytest.approx([0.5, 0.6, 0.7], abs=1e-12)
    assert rows[0].time == pytest.approx(1.0, abs=1e-6)
