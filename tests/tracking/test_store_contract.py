"""What every Store must do, run against one in memory, MLflow on SQLite, and a real MLflow server."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.study.study import Study
from ablate.tracking.record import Record, Row
from ablate.tracking.store import Stamp, Store, variant_key

MakeRecord = Callable[..., Record]
FinishedIn = Callable[..., set[str]]


def test_a_record_comes_back_as_it_went_in(store: Store, study: Study, record_of: MakeRecord, tmp_path: Path):
    """Recipe, history, non-finite metrics, environment and artifacts survive the way there and back."""
    kept = tmp_path / "anything.npz"
    kept.write_bytes(b"examples")
    record = record_of(
        study,
        artifacts=("deep/per_example.npz", "weights.pt"),
        metrics={"accuracy": 0.5, "odd": math.inf, "top-5 (%)": -math.inf},
        history=(Row(0, {"loss": 1.5, "odd": math.inf}, 1.7e9), Row(1, {"loss": 0.5, "acc@1": 2.0}, 1.7e9 + 1)),
    )
    store.deliver(study, record, {"deep/per_example.npz": kept, "weights.pt": kept})
    assert store.fetch(record.trial_id, tmp_path / "got") == record
    files = {p.relative_to(tmp_path / "got").as_posix() for p in (tmp_path / "got").rglob("*") if p.is_file()}
    assert files == {"deep/per_example.npz", "weights.pt"}
    assert (tmp_path / "got" / "deep" / "per_example.npz").read_bytes() == b"examples"


def test_nan_is_no_obstacle(store: Store, study: Study, record_of: MakeRecord, tmp_path: Path):
    """A NaN in the curve and among the final metrics is delivered and fetched as NaN."""
    nan = math.nan
    record = record_of(study, metrics={"loss": nan}, history=(Row(0, {"loss": nan}, 1.7e9),))
    store.deliver(study, record, {})
    assert repr(store.fetch(record.trial_id, tmp_path)) == repr(record)


def test_only_finished_trials_count_as_finished(
    store: Store, study: Study, record_of: MakeRecord, part_of: MakeRecord, tmp_path: Path, finished_in: FinishedIn
):
    """Neither a failed nor a running nor an unknown Trial is finished; the failed one is known as such."""
    ids = [trial.id for trial in study.trials]
    store.deliver(study, record_of(study, 0), {})
    store.deliver(study, record_of(study, 1, status="failed", cause="error", error="x", metrics={}), {})
    store.deliver(study, part_of(record_of(study, 2), rows=1), {})
    assert finished_in(store, ids) == {ids[0]}
    assert finished_in(store, [*ids, *(f"unknown{i}" for i in range(20))]) == {ids[0]}
    keys = [variant_key(variant) for variant in study.variants]
    assert store.known(ids, study) == {ids[0]: Stamp("finished", 1, keys[0]), ids[1]: Stamp("failed", 1, keys[1])}
    assert store.fetch(ids[1], tmp_path).cause == "error"
    assert finished_in(store, []) == set()
    for unfinished in ids[2:]:
        with pytest.raises(KeyError):
            store.fetch(unfinished, tmp_path)


def test_a_running_trial_is_completed(
    store: Store, study: Study, record_of: MakeRecord, part_of: MakeRecord, tmp_path: Path, finished_in: FinishedIn
):
    """Delivered while it runs, when it was interrupted and when it is done, it is finished with its whole history."""
    record = record_of(study, rows=5)
    for part in (part_of(record, 0), part_of(record, 2), part_of(record, 3, status="interrupted"), part_of(record, 4)):
        store.deliver(study, part, {})
        assert finished_in(store, [record.trial_id]) == set()
    store.deliver(study, record, {})
    assert finished_in(store, [record.trial_id]) == {record.trial_id}
    assert store.fetch(record.trial_id, tmp_path) == record


def test_a_finished_trial_is_not_replaced(store: Store, study: Study, record_of: MakeRecord, tmp_path: Path):
    """A later delivery of another outcome changes nothing."""
    record = record_of(study)
    store.deliver(study, record, {})
    store.deliver(study, replace(record, metrics={"accuracy": 0.0}, attempts=3), {})
    store.deliver(study, replace(record, status="failed", cause="error", metrics={}), {})
    assert store.fetch(record.trial_id, tmp_path) == record


def test_a_failure_is_superseded_by_a_retry(store: Store, study: Study, record_of: MakeRecord, tmp_path: Path):
    """A second failure replaces the first, and a success replaces both."""
    key = variant_key(study.baseline)
    failed = record_of(study, rows=2, status="failed", cause="error", error="first", metrics={})
    store.deliver(study, failed, {})
    store.deliver(study, replace(failed, attempts=2, error="second"), {})
    assert store.fetch(failed.trial_id, tmp_path).error == "second"
    assert store.known([failed.trial_id]) == {failed.trial_id: Stamp("failed", 2, key)}
    done = record_of(study, rows=4, attempts=3)
    store.deliver(study, done, {})
    assert store.fetch(failed.trial_id, tmp_path) == done
    assert store.known([failed.trial_id]) == {failed.trial_id: Stamp("finished", 3, key)}


def test_two_studies_share_a_trial(
    store: Store, study: Study, study_named: Callable[..., Study], record_of: MakeRecord, finished_in: FinishedIn
):
    """What one study trained is finished for another, and held by each study's experiment it was delivered to."""
    other = replace(study_named(), trials=study.trials, variants=study.variants)
    record = record_of(study)
    store.deliver(study, record, {})
    assert finished_in(store, [record.trial_id]) == {record.trial_id}
    assert store.known([record.trial_id], other) == {}
    store.deliver(other, record, {})
    assert store.known([record.trial_id], other) == {record.trial_id: Stamp("finished", 1, variant_key(study.baseline))}


def test_a_summary_can_be_written_again_and_again(
    store: Store, study: Study, record_of: MakeRecord, tmp_path: Path, finished_in: FinishedIn
):
    """Before any Trial, after one, and with nothing changed."""
    report = tmp_path / "report.md"
    report.write_text("# Report")
    for _ in range(2):
        store.summarise(study, {"baseline": {"accuracy/mean": 0.9, "n": 3.0}}, [report])
    assert finished_in(store, [trial.id for trial in study.trials]) == set()


def test_a_trial_of_a_renamed_variant_is_known_under_its_new_name(store: Store, study: Study, record_of: MakeRecord):
    """Delivered again after the study was edited, it is held by the Variant that it belongs to now."""
    record = record_of(study, 1)
    store.deliver(study, record, {})
    new = replace(study.variants[1], name="position=learned", levels={"position": "learned"})
    trials = tuple(replace(t, variant=new.name) if t.variant == study.variants[1].name else t for t in study.trials)
    renamed = replace(study, variants=(study.baseline, new), trials=trials)
    store.deliver(renamed, record, {})
    assert store.known([record.trial_id], renamed) == {record.trial_id: Stamp("finished", 1, variant_key(new))}
