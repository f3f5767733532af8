"""Jobs that deliver by themselves to a tracking server over PostgreSQL, which is killed and comes back."""

from __future__ import annotations

import importlib.util
import pickle
import subprocess
import sys
import time
import types
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ablate.study.study import Study
from ablate.tracking import mlflow_entries as entries
from ablate.tracking.codec import decode
from ablate.tracking.delivered import delivery_lock
from ablate.tracking.delivery import Delivery
from ablate.tracking.live import LiveDelivery
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.record import Record
from ablate.tracking.spool import Spool
from ablate.tracking.worker_delivery import WorkerDelivery, prepare

HERE = Path(__file__).parent


def _module(name: str) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pickle looks there
    spec.loader.exec_module(module)
    return module


tracking_server = _module("tracking_server")
deliverers = _module("deliverers")


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    if why := tracking_server.missing():
        pytest.skip(f"no tracking server over PostgreSQL: {why}")
    running = tracking_server.TrackingServer(workers=1, connections=60)
    try:
        running.start()
        yield running
    finally:
        running.close()


def in_processes(task: Any, folder: Path) -> subprocess.Popen[bytes]:
    path = folder / "task.pickle"
    path.write_bytes(pickle.dumps(task))
    return subprocess.Popen([sys.executable, str(HERE / "deliverers.py"), str(path)])


def wide(study: Study, trials: int, failing: int = 0) -> Study:
    """The study with so many Trials, some of which fail."""
    first = study.trials[:2]
    names = [f"{study.name}x{n}" + ("failing" if n < failing else "") for n in range(trials)]
    return replace(study, trials=tuple(replace(first[n % 2], id=name, seed=n) for n, name in enumerate(names)))


def check_store_equals_spool(uri: str, study: Study, spool: Spool) -> None:
    """Each Trial is one run; params, every point of every curve, status and files are the spool's."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(study.slug)
    runs = list(client.search_runs([experiment.experiment_id], "tags.`ablate.kind` = 'trial'", max_results=1000))
    assert Counter(run.data.tags["ablate.trial_id"] for run in runs) == Counter(trial.id for trial in study.trials)
    for run in runs:
        record = spool.record(run.data.tags["ablate.trial_id"])
        assert record is not None
        assert run.info.status == {"finished": "FINISHED", "failed": "FAILED"}[record.status]
        assert run.data.params == {"seed": str(record.seed), **entries.params(record.recipe)}
        for name in ("loss", "accuracy"):
            points = [(m.step, m.value, m.timestamp) for m in client.get_metric_history(run.info.run_id, name)]
            expected = [(row.step, row.metrics[name], round(row.time * 1000)) for row in record.history]
            assert points[: len(expected)] == expected
            final = [record.metrics[name]] if record.metrics.get(name, expected[-1][1]) != expected[-1][1] else []
            assert [value for _, value, _ in points[len(expected) :]] == final
        assert decode(_text(client, run)) == record
        files = {f.path for f in client.list_artifacts(run.info.run_id, "artifacts")}
        assert files == {f"artifacts/{name}" for name in record.artifacts}


def _ended(spool: Spool, study: Study) -> list[Record]:
    records = spool.records(trial.id for trial in study.trials).values()
    return [record for record in records if record.status in ("finished", "failed")]


def _text(client: Any, run: Any) -> str:
    return Path(client.download_artifacts(run.info.run_id, "result.json")).read_text()


@pytest.mark.parametrize(
    ("jobs", "dies"), [(6, "kill_database"), pytest.param(20, "kill", marks=pytest.mark.slow)], ids=["database", "both"]
)
def test_what_dies_amid_many_jobs_has_everything_once_when_it_is_back(
    server: Any, study: Study, spool: Spool, tmp_path: Path, jobs: int, dies: str
):
    """The database, or it and the server, die under jobs at work and come back: the store equals the spool."""
    study = wide(study, trials=2 * jobs, failing=2)
    delivery = prepare(MlflowStore(server.uri), study, study.trials)
    assert delivery is not None
    packs = tuple(study.trials[n : n + 2] for n in range(0, 2 * jobs, 2))
    work = in_processes(deliverers.Training(delivery, packs, spool.root, rows=10, row_s=0.2, wait_s=90.0), tmp_path)
    try:
        _wait(lambda: work.poll() is not None or len(_ended(spool, study)) >= jobs // 2)
        getattr(server, dies)()
        time.sleep(1.0)
        server.start()
        assert work.wait(timeout=150) == 0
    finally:
        work.kill()
        server.start()
    assert len(_ended(spool, study)) == 2 * jobs
    swept = Delivery(MlflowStore(server.uri), spool, study).deliver_all(_ended(spool, study))
    assert swept.undelivered == ()
    assert len(swept.already) == 2 * jobs  # the jobs have done it all themselves
    check_store_equals_spool(server.uri, study, spool)


def test_jobs_that_end_during_an_outage_leave_the_rest_to_a_sweep(
    server: Any, study: Study, spool: Spool, tmp_path: Path
):
    """A job waits no longer than it may; what the server had in part is completed, and no point is doubled."""
    study = wide(study, trials=6)
    delivery = prepare(MlflowStore(server.uri), study, study.trials)
    assert delivery is not None
    packs = tuple(study.trials[n : n + 1] for n in range(6))
    work = in_processes(deliverers.Training(delivery, packs, spool.root, rows=10, row_s=0.3, wait_s=0.5), tmp_path)
    try:
        _wait(lambda: work.poll() is not None or sum(spool.last_row(t.id) is not None for t in study.trials) == 6)
        time.sleep(1.0)
        server.kill_database()
        assert work.wait(timeout=60) == 0
    finally:
        work.kill()
        server.start()
    with LiveDelivery(MlflowStore(server.uri), spool, study, workers_deliver=True) as live:
        pass
    assert len(live.report.delivered) == 6
    check_store_equals_spool(server.uri, study, spool)


def test_parents_are_made_once_by_twenty_drivers_at_once(server: Any, study: Study, tmp_path: Path):
    """All find the same parent runs, and there is one for each Variant."""
    from mlflow import MlflowClient

    answers = tmp_path / "answers"
    answers.mkdir()
    assert in_processes(deliverers.Starting(server.uri, study, 20, answers), tmp_path).wait(timeout=120) == 0
    found = [pickle.loads(path.read_bytes()) for path in answers.iterdir()]
    assert len(found) == 20
    assert all(parents == found[0] for parents in found)
    client = MlflowClient(server.uri)
    experiment = client.get_experiment_by_name(study.slug)
    parents = client.search_runs([experiment.experiment_id], "tags.`ablate.kind` = 'variant'")
    assert sorted(run.data.tags["ablate.variant"] for run in parents) == sorted(v.name for v in study.variants)
    assert {run.info.run_id for run in parents} == set(found[0].values())
    assert all(run.data.params["model.dim"] == "64" for run in parents)


def test_a_sweep_leaves_what_a_job_is_at(server: Any, study: Study, spool: Spool, train: Callable[..., Any]):
    """While a process holds a Trial's delivery, the driver writes nothing of it; afterwards it does."""
    record = train(study)
    delivery = Delivery(MlflowStore(server.uri), spool, study)
    with delivery_lock(spool, record.trial_id) as lock:
        assert lock.acquire()
        report = delivery.deliver_all([record])
        assert (report.undelivered, report.reason) == ((record.trial_id,), "another process is delivering")
    assert delivery.deliver_all([record]).delivered == (record.trial_id,)


def test_what_jobs_delivered_is_not_asked_of_the_server(
    server: Any, study: Study, spool: Spool, train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    """The driver's sweep believes the marks: all is there, and no request was made."""
    delivery = prepare(MlflowStore(server.uri), study, study.trials)
    assert delivery is not None
    ids = tuple(trial.id for trial in study.trials)
    with delivery.delivering(spool) as courier:
        for index in range(4):
            train(study, index)
            courier.watch(ids[index])
    store = MlflowStore("http://127.0.0.1:9")
    monkeypatch.setattr(type(store), "uri", server.uri)
    with LiveDelivery(store, spool, study, every_s=0.05, workers_deliver=True) as live:
        pass
    assert (live.report.already, live.report.undelivered, live.report.reason) == (ids, (), "")


def test_a_server_that_never_answers_costs_a_job_its_patience_alone(
    study: Study,
    spool: Spool,
    train: Callable[..., Any],
    port: int,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):
    """Training goes on, nothing is raised, one warning is logged, and the spool has the outcome."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # as in a job; MLflow's own would take seconds
    place = _Nowhere(study).delivery(f"http://127.0.0.1:{port}")
    with place.delivering(spool, wait_s=0.5) as courier:
        record = train(study)
        courier.watch(record.trial_id)
        time.sleep(0.3)
    assert spool.record(record.trial_id) == record
    assert sum("MLflow has to wait" in message for message in caplog.messages) == 1


def test_workers_never_deliver_to_a_file(study: Study, tmp_path: Path):
    """For an SQLite store nothing is prepared, and it is not even made."""
    assert prepare(MlflowStore(f"sqlite:///{tmp_path}/mlflow.db"), study, study.trials) is None
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_down_leaves_delivery_to_the_driver(study: Study, port: int, caplog: pytest.LogCaptureFixture):
    """None, with the reason in the log."""
    assert prepare(MlflowStore(f"http://127.0.0.1:{port}"), study, study.trials) is None
    assert "the jobs will not deliver" in caplog.text


def test_what_a_pack_carries_is_small(study: Study):
    """Of a delivery of 10,000 Trials a job of one Trial gets a few kilobytes."""
    study = wide(study, trials=10_000)
    delivery = _Nowhere(study).delivery("http://127.0.0.1:9").only([study.trials[7].id])
    assert len(pickle.dumps(delivery)) < 4096
    assert list(delivery.destination.places) == [study.trials[7].id]


class _Nowhere:
    """Places of a study in an experiment that does not exist."""

    def __init__(self, study: Study) -> None:
        self.study = study

    def delivery(self, uri: str) -> WorkerDelivery:
        from ablate.tracking.destination import Destination, Places

        places = Places(self.study)
        found = {trial.id: places.of(trial.id, "p" * 32) for trial in self.study.trials}
        return WorkerDelivery(uri, Destination(self.study.slug, "1", found), every_s=0.05)


def _wait(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)
