"""What MLflow's own users see of a study: runs, params, curves, tags, inputs, artifacts."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ablate.study.study import Study
from ablate.tracking.delivery import Delivery, DeliveryReport
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.record import Record, Row
from ablate.tracking.spool import Spool
from ablate.tracking.store import StoreUnavailable

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

MakeRecord = Callable[..., Record]
FinishedIn = Callable[..., set[str]]


def client_of(store: MlflowStore) -> MlflowClient:
    from mlflow import MlflowClient

    return MlflowClient(store.uri)


def runs_of(store: MlflowStore, study: Study, kind: str) -> list[Run]:
    client = client_of(store)
    experiment = client.get_experiment_by_name(study.slug)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], f"tags.`ablate.kind` = '{kind}'"))


def curve(store: MlflowStore, run: Run, name: str) -> list[tuple[int, float, int]]:
    points = client_of(store).get_metric_history(run.info.run_id, name)
    return sorted((point.step, point.value, point.timestamp) for point in points)


def test_the_runs_are_as_people_expect_them(
    mlflow_store: MlflowStore, study: Study, record_of: MakeRecord, tmp_path: Path
):
    """Experiment, parent run, child run: names, params, tags, times, status, data set, description, artifacts."""
    (tmp_path / "file").write_bytes(b"x")
    record = record_of(study, 1, artifacts=("per_example.npz",))
    mlflow_store.deliver(study, record, {"per_example.npz": tmp_path / "file"})
    client = client_of(mlflow_store)
    experiment = client.get_experiment_by_name(f"{study.name}/digits")
    assert experiment is not None
    assert study.question in experiment.tags["mlflow.note.content"]
    [parent], [child] = runs_of(mlflow_store, study, "variant"), runs_of(mlflow_store, study, "trial")
    assert parent.info.run_name == "posemb=learned"
    assert parent.data.tags["factor.posemb"] == "learned"
    assert parent.data.params["model.position"] == "learned"
    assert child.info.run_name == "posemb=learned · seed 0"
    assert (child.info.status, child.info.start_time, child.info.end_time) == ("FINISHED", 1699999999000, 1700000003000)
    expected = {
        "model.dim": "64",
        "model.position": "learned",
        "data.source": "digits",
        "sizes": "[8, 16]",
        "seed": "0",
    }
    assert child.data.params == expected
    tags = {
        "mlflow.parentRunId": parent.info.run_id,
        "mlflow.source.git.commit": "c" * 40,
        "env.git_dirty": "no",
        "env.torch": "2.14.1",
        "factor.posemb": "learned",
        "ablate.trial_id": record.trial_id,
        "ablate.seed": "0",
        "ablate.variant": "posemb=learned",
        "ablate.study": study.name,
        "ablate.profile": "digits",
        "ablate.status": "finished",
        "ablate.cause": "",
    }
    assert tags.items() <= child.data.tags.items()
    assert "`model.position`: `sincos2d` → `learned`" in child.data.tags["mlflow.note.content"]
    [data] = client.get_run(child.info.run_id).inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("digits", "f" * 36)
    assert {f.path for f in client.list_artifacts(child.info.run_id)} == {"result.json", "recipe.json", "artifacts"}
    recipe = client.download_artifacts(child.info.run_id, "recipe.json", str(tmp_path))
    assert json.loads(Path(recipe).read_text()) == record.recipe


def test_curves_have_their_steps_and_times_and_the_final_value_is_the_runs(
    mlflow_store: MlflowStore, study: Study, record_of: MakeRecord
):
    """A final metric that ends its curve adds no point; another one is the run's value all the same."""
    record = record_of(study, metrics={"accuracy": 0.2, "loss": 0.125, "parameters": 1234.0})
    mlflow_store.deliver(study, record, {})
    [run] = runs_of(mlflow_store, study, "trial")
    at = 1_700_000_000_000
    assert curve(mlflow_store, run, "accuracy") == [(0, 0.0, at), (1, 0.1, at + 1000), (2, 0.2, at + 2000)]
    assert curve(mlflow_store, run, "loss")[-1] == (2, 1 / 3, at + 2000)
    assert run.data.metrics == {"accuracy": 0.2, "loss": 0.125, "parameters": 1234.0}


def test_delivering_piecewise_and_repeatedly_doubles_no_point(
    mlflow_store: MlflowStore, study: Study, record_of: MakeRecord, part_of: MakeRecord
):
    """However often and in whatever portions: one parent, one child, each point once."""
    record = record_of(study, rows=6)
    parts = [part_of(record, 2), part_of(record, 2), part_of(record, 4), part_of(record, 4, status="interrupted")]
    # A resumed attempt is behind what was delivered before, and then ahead of it.
    parts += [part_of(record, 3, attempts=2), part_of(record, 5, attempts=2), record, record]
    statuses = []
    for part in parts:
        mlflow_store.deliver(study, part, {})
        [run] = runs_of(mlflow_store, study, "trial")
        statuses.append(run.info.status)
    assert statuses == ["RUNNING"] * 3 + ["KILLED"] * 2 + ["RUNNING"] + ["FINISHED"] * 2
    assert [step for step, _, _ in curve(mlflow_store, run, "loss")] == [0, 1, 2, 3, 4, 5]
    assert len(runs_of(mlflow_store, study, "variant")) == 1


def test_a_delivery_cut_short_at_any_call_is_completed(
    sqlite_store: MlflowStore,
    study: Study,
    record_of: MakeRecord,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    finished_in: FinishedIn,
):
    """Whichever call to MLflow is the last before a crash, the next delivery leaves one complete run."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    writes = ["create_run", "log_batch", "log_dict", "log_inputs", "log_artifact", "log_text", "set_terminated"]
    real = {name: getattr(MlflowClient, name) for name in writes}
    (tmp_path / "file").write_bytes(b"x")
    left = 0

    def limited(name: str) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                raise MlflowException("cut off")
            return real[name](*arguments, **options)

        return call

    for name in writes:
        monkeypatch.setattr(MlflowClient, name, limited(name))
    crashes = 0
    for allowed in range(100):
        record = record_of(replace(study, trials=(replace(study.trials[0], id=f"{study.name}x{allowed}"),)))
        here = replace(study, trials=(*study.trials, replace(study.trials[0], id=record.trial_id)))
        record = replace(record, artifacts=("per_example.npz",))
        left = allowed
        try:
            sqlite_store.deliver(here, record, {"per_example.npz": tmp_path / "file"})
            break
        except StoreUnavailable:
            crashes += 1
        assert finished_in(sqlite_store, [record.trial_id]) == set()
        left = 1000
        sqlite_store.deliver(here, record, {"per_example.npz": tmp_path / "file"})
        runs = [r for r in runs_of(sqlite_store, here, "trial") if r.data.tags["ablate.trial_id"] == record.trial_id]
        assert [run.info.status for run in runs] == ["FINISHED"]
        assert [step for step, _, _ in curve(sqlite_store, runs[0], "loss")] == [0, 1, 2]
        assert runs[0].data.params["model.dim"] == "64"
        assert sqlite_store.fetch(record.trial_id, tmp_path / f"got{allowed}") == record
    assert crashes >= 8
    assert len(runs_of(sqlite_store, study, "variant")) == 1


def test_another_measurement_of_a_delivered_step_replaces_the_curve(
    sqlite_store: MlflowStore, study: Study, record_of: MakeRecord, part_of: MakeRecord
):
    """Where a resumed attempt measured otherwise than was delivered, the curve is that of the Record alone."""
    record = record_of(study, rows=4, metrics={})
    sqlite_store.deliver(study, part_of(record, 3), {})
    history = (*record.history[:2], *(Row(s, {"loss": 7.0}, 1.8e9) for s in (2, 3)))
    record = replace(record, history=history, attempts=2, metrics={})
    sqlite_store.deliver(study, record, {})
    [run] = runs_of(sqlite_store, study, "trial")
    assert [value for _, value, _ in curve(sqlite_store, run, "loss")] == [1.0, 0.5, 7.0, 7.0]


def test_more_points_and_params_than_mlflow_takes_at_once(
    mlflow_store: MlflowStore, study: Study, record_of: MakeRecord, tmp_path: Path
):
    """3,000 points and 250 params with long values: all there, cut where MLflow cuts, whole in the artifact."""
    recipe = {f"field{i}": i for i in range(250)} | {"long": "x" * 20_000, "strange (%) key": None, "empty": {}}
    history = tuple(Row(s, {f"m{i}": float(s + i) for i in range(10)}, 1.7e9 + s) for s in range(300))
    record = record_of(study, recipe=recipe, history=history, metrics={"m0": 299.0}, error="y" * 20_000)
    mlflow_store.deliver(study, record, {})
    [run] = runs_of(mlflow_store, study, "trial")
    assert len(run.data.params) == 250 + 3 + 1
    assert len(run.data.params["long"]) <= 6000
    assert run.data.params["strange ___ key"] == "null"
    assert len(curve(mlflow_store, run, "m7")) == 300
    assert run.data.metrics["m9"] == 308.0
    assert mlflow_store.fetch(record.trial_id, tmp_path) == record


def test_failures_are_seen_in_mlflow_too(mlflow_store: MlflowStore, study: Study, record_of: MakeRecord):
    """A diverged Trial is a FAILED run with its cause, its error and the curve up to there."""
    history = (Row(0, {"loss": 2.0}, 1.7e9), Row(1, {"loss": math.nan}, 1.7e9 + 1))
    record = record_of(study, status="failed", cause="diverged", error="loss is NaN", metrics={}, history=history)
    mlflow_store.deliver(study, record, {})
    [run] = runs_of(mlflow_store, study, "trial")
    assert (run.info.status, run.data.tags["ablate.cause"]) == ("FAILED", "diverged")
    assert "loss is NaN" in run.data.tags["mlflow.note.content"]
    assert math.isnan(run.data.metrics["loss"])


def test_a_second_failure_cut_short_is_not_taken_for_delivered(
    sqlite_store: MlflowStore, study: Study, record_of: MakeRecord, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """Cut off before its result is there, the run is incomplete; the next delivery completes it."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    def fail(*arguments: object) -> None:
        raise MlflowException("cut off")

    first = record_of(study, status="failed", cause="error", error="first", metrics={})
    second = replace(first, attempts=2, error="second")
    sqlite_store.deliver(study, first, {})
    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "log_text", fail)
        with pytest.raises(StoreUnavailable, match="cut off"):
            sqlite_store.deliver(study, second, {})
    assert sqlite_store.known([first.trial_id]) == {}
    sqlite_store.deliver(study, second, {})
    assert sqlite_store.fetch(first.trial_id, tmp_path) == second


def test_a_summary_is_on_the_parents_and_grows_by_changes_only(
    mlflow_store: MlflowStore, study: Study, record_of: MakeRecord
):
    """Aggregates are the parents' metrics, one point for each value.

    An aggregate that is not there any more is NaN, once, rather than a number of an earlier run.
    """
    mlflow_store.deliver(study, record_of(study), {})
    for mean in (0.5, 0.5, 0.75):
        aggregates = {"baseline": {"accuracy/mean": mean, "accuracy/sd": math.nan}, "posemb=learned": {"n": 2.0}}
        mlflow_store.summarise(study, aggregates, [])
    parents = {run.info.run_name: run for run in runs_of(mlflow_store, study, "variant")}
    assert parents.keys() == {"baseline", "posemb=learned"}
    baseline = parents["baseline"]
    assert sorted(value for _, value, _ in curve(mlflow_store, baseline, "accuracy/mean")) == [0.5, 0.75]
    assert len(curve(mlflow_store, baseline, "accuracy/sd")) == 1
    assert baseline.data.metrics["accuracy/mean"] == 0.75
    assert {run.info.status for run in parents.values()} == {"FINISHED"}
    mlflow_store.summarise(study, {"baseline": {"n": 1.0}}, [])
    [baseline] = [run for run in runs_of(mlflow_store, study, "variant") if run.info.run_name == "baseline"]
    held = baseline.data.metrics
    assert held.keys() == {"accuracy/mean", "accuracy/sd", "n"}
    assert (math.isnan(held["accuracy/mean"]), math.isnan(held["accuracy/sd"]), held["n"]) == (True, True, 1.0)
    mlflow_store.summarise(study, {"baseline": {"n": 1.0}}, [])
    assert len(curve(mlflow_store, baseline, "accuracy/mean")) == 3


def test_the_report_lies_on_a_run_of_its_own(mlflow_store: MlflowStore, study: Study, tmp_path: Path):
    """Its name is `report`, its artifacts are the report's files under their own names, its description the table; a
    later report replaces both, on the same run.
    """
    (tmp_path / "report.md").write_text("one")
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "effects.svg").write_text("<svg/>")
    files = [tmp_path / "report.md", tmp_path / "figures"]
    client = client_of(mlflow_store)
    for text in ("one", "two"):
        (tmp_path / "report.md").write_text(text)
        mlflow_store.summarise(study, {}, files, f"| Variant | {text} |")
        [run] = runs_of(mlflow_store, study, "report")
        assert (run.info.run_name, run.info.status) == ("report", "FINISHED")
        assert run.data.tags["mlflow.note.content"].endswith(f"| Variant | {text} |")
        assert {f.path for f in client.list_artifacts(run.info.run_id)} == {"report.md", "figures"}
        (tmp_path / text).mkdir()
        got = client.download_artifacts(run.info.run_id, "report.md", str(tmp_path / text))
        assert Path(got).read_text() == text


def test_a_table_too_long_for_a_description_ends_with_a_whole_row(
    sqlite_store: MlflowStore, study: Study, tmp_path: Path
):
    """MLflow takes 5,000 letters; the description says where the rest is."""
    (tmp_path / "report.md").write_text("all")
    sqlite_store.summarise(study, {}, [tmp_path / "report.md"], "\n".join(f"| Variant {i} | 1.0 |" for i in range(999)))
    [run] = runs_of(sqlite_store, study, "report")
    note = run.data.tags["mlflow.note.content"]
    assert len(note) <= 5000
    *rows, _, last = note.splitlines()
    assert rows[-1].endswith("| 1.0 |")
    assert "report.md" in last


def test_an_edited_variant_gets_a_parent_of_its_own(sqlite_store: MlflowStore, study: Study, record_of: MakeRecord):
    """Trials of two Recipes never share a parent, though the Variant has kept its name."""
    sqlite_store.deliver(study, record_of(study), {})
    longer = replace(study.baseline, recipe={**study.baseline.recipe, "epochs": 2})
    edited = replace(
        study, variants=(longer, study.variants[1]), trials=(replace(study.trials[0], id=f"{study.name}b"),)
    )
    sqlite_store.deliver(edited, record_of(edited), {})
    parents = {run.info.run_id for run in runs_of(sqlite_store, study, "variant")}
    assert parents == {run.data.tags["mlflow.parentRunId"] for run in runs_of(sqlite_store, study, "trial")}
    assert len(parents) == 2


def test_a_trial_that_the_study_does_not_have_is_a_mistake(
    sqlite_store: MlflowStore, study: Study, record_of: MakeRecord
):
    """It is not taken for an outage."""
    with pytest.raises(KeyError, match="has no Trial"):
        sqlite_store.deliver(study, record_of(study, trial_id="unknown"), {})


@pytest.mark.parametrize("uri", ["nonsense://here", "sqlite:////proc/no/such/folder/mlflow.db"])
def test_a_place_that_cannot_be_used_is_unavailable_with_its_reason(uri: str, study: Study):
    """The message says which place and why, in one line."""
    with pytest.raises(StoreUnavailable) as caught:
        MlflowStore(uri).known(["a"])
    assert uri in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("clean_mlflow_settings")
def test_an_outage_is_noticed_soon_unless_the_user_has_said_otherwise(port: int, monkeypatch: pytest.MonkeyPatch):
    """Retries are cut down by default; what the user has set stays."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    with pytest.raises(StoreUnavailable, match=f"{port}: Connection refused"):
        MlflowStore().known(["a"])
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
    assert int(os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"]) <= 30


def test_mlflows_default_place_is_where_its_ui_looks(tmp_path: Path, study: Study):
    """With nothing configured, runs and artifacts lie in the working folder, where a bare client finds them.

    In a process of its own, which prints nothing and leaves MLflow's global state alone.
    """
    code = """
import sys; sys.path.insert(0, sys.argv[1])
import conftest
from ablate.tracking.mlflow_store import MlflowStore
study = conftest.make_study("small")
MlflowStore(None).deliver(study, conftest.make_record(study), {})
import mlflow
assert mlflow.active_run() is None and not mlflow.is_tracking_uri_set()
"""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW")}
    options = {"cwd": tmp_path, "env": environment, "check": True, "capture_output": True, "text": True}
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(Path(__file__).parent)], **options)
    assert run.stdout + run.stderr == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mlflow.db", "mlruns"]
    look = """
import mlflow
[run] = mlflow.search_runs(search_all_experiments=True, output_format="list",
    filter_string="tags.`ablate.kind` = 'trial'")
print(run.info.artifact_uri, [f.path for f in mlflow.MlflowClient().list_artifacts(run.info.run_id)])
"""
    found = subprocess.run([sys.executable, "-W", "ignore", "-c", look], **options)
    assert found.stdout.startswith((tmp_path / "mlruns").as_uri())
    assert "result.json" in found.stdout


def test_trials_of_a_renamed_variant_move_to_its_parent(
    mlflow_store: MlflowStore, study: Study, record_of: MakeRecord, spool: Spool
):
    """Parent, name, description, Factor and Level follow the study; the curve stays, and once moved it is settled."""
    record = record_of(study, 1)
    assert Delivery(mlflow_store, spool, study).deliver_all([record]).delivered == (record.trial_id,)
    new = replace(study.variants[1], name="position=free", levels={"position": "free"})
    trials = tuple(replace(t, variant=new.name) if t.variant == study.variants[1].name else t for t in study.trials)
    renamed = replace(study, variants=(study.baseline, new), trials=trials)
    delivery = Delivery(mlflow_store, spool, renamed)
    assert delivery.deliver_all([record]) == DeliveryReport(delivered=(record.trial_id,))
    assert delivery.deliver_all([record]) == DeliveryReport(already=(record.trial_id,))
    parents = {run.info.run_name: run.info.run_id for run in runs_of(mlflow_store, study, "variant")}
    [child] = runs_of(mlflow_store, study, "trial")
    tags = child.data.tags
    assert child.info.run_name == "position=free · seed 0"
    assert (tags["mlflow.parentRunId"], tags["ablate.variant"]) == (parents["position=free"], "position=free")
    assert {name for name in tags if name.startswith("factor.")} == {"factor.position"}
    assert "position=free" in tags["mlflow.note.content"]
    assert [step for step, _, _ in curve(mlflow_store, child, "accuracy")] == [0, 1, 2]


def test_what_a_study_does_not_say_is_no_empty_line_of_its_description(
    sqlite_store: MlflowStore, study: Study, record_of: MakeRecord
):
    """Without a source and an expectation the experiment's note has no such words."""
    silent = replace(study, source="", expected="", question="")
    sqlite_store.deliver(silent, record_of(silent), {})
    experiment = client_of(sqlite_store).get_experiment_by_name(study.slug)
    assert experiment is not None
    assert experiment.tags["mlflow.note.content"].startswith("One parent run a Variant")
