from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ablate.study.study import Study
from ablate.tracking import mlflow_client
from ablate.tracking.delivery import Delivery, DeliveryReport
from ablate.tracking.disk import Lock
from ablate.tracking.live import LiveDelivery
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.record import Record
from ablate.tracking.results import collect
from ablate.tracking.spool import Spool

Train = Callable[..., Record]


def ids_of(study: Study) -> tuple[str, ...]:
    return tuple(trial.id for trial in study.trials)


def wait_for(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.01)


def test_what_was_trained_is_delivered_once(fake_store: Any, spool: Spool, study: Study, train: Train):
    """The first delivery writes all outcomes with their artifacts, the second finds them there."""
    for index in range(4):
        train(study, index)
    delivery = Delivery(fake_store, spool, study)
    records = spool.records(ids_of(study)).values()
    assert delivery.deliver_all(records) == DeliveryReport(delivered=ids_of(study))
    assert delivery.deliver_all(records) == DeliveryReport(already=ids_of(study))
    assert fake_store.calls == 4
    assert fake_store.runs[study.slug, study.trials[0].id][1] == {"per_example.npz": b"examples"}


def test_an_outage_is_reported_and_loses_nothing(fake_store: Any, spool: Spool, study: Study, train: Train):
    """The reason is told, nothing is raised, and the next delivery does it."""
    record = train(study)
    delivery = Delivery(fake_store, spool, study)
    fake_store.down = "the server is asleep"
    report = delivery.deliver_all([record])
    assert report == DeliveryReport(undelivered=(record.trial_id,), reason="the server is asleep")
    fake_store.down = ""
    assert delivery.deliver_all([record]) == DeliveryReport(delivered=(record.trial_id,))


def test_one_refused_record_does_not_stop_the_others(
    fake_store: Any, spool: Spool, study: Study, train: Train, monkeypatch: pytest.MonkeyPatch
):
    """It alone is undelivered, with the reason."""
    from ablate.tracking.store import StoreUnavailable

    for index in range(3):
        train(study, index)
    deliver = fake_store.deliver

    def picky(study: Study, record: Record, artifacts: Any) -> None:
        if record.trial_id == study.trials[0].id:
            raise StoreUnavailable("I do not like it")
        deliver(study, record, artifacts)

    monkeypatch.setattr(fake_store, "deliver", picky)
    first, second, third = ids_of(study)[:3]
    report = Delivery(fake_store, spool, study).deliver_all(spool.records(ids_of(study)).values())
    assert report == DeliveryReport(delivered=(second, third), undelivered=(first,), reason="I do not like it")


def test_two_processes_do_not_deliver_at_once(fake_store: Any, spool: Spool, study: Study, train: Train):
    """While another one delivers from this spool, this one waits its time and then says so."""
    record = train(study)
    with Lock(spool.root / "delivery.lock") as lock:
        assert lock.acquire()
        report = Delivery(fake_store, spool, study).deliver_all([record], wait_s=0.1)
    assert report == DeliveryReport(undelivered=(record.trial_id,), reason="another process is delivering")
    assert fake_store.calls == 0


def test_a_server_that_was_down_gets_everything_once(
    spool: Spool,
    study: Study,
    train: Train,
    port: int,
    tmp_path: Path,
    serve: Callable[[Path, int], AbstractContextManager[str]],
    monkeypatch: pytest.MonkeyPatch,
):
    """Down: undelivered, and nothing lost. Up: delivered. Again: already there. Runs and points are counted."""
    from mlflow import MlflowClient

    monkeypatch.setattr(mlflow_client, "_LEFT_ALONE_S", 0.0)
    for index in range(4):
        train(study, index, rows=5)
    records = list(spool.records(ids_of(study)).values())
    delivery = Delivery(MlflowStore(f"http://127.0.0.1:{port}"), spool, study)
    down = delivery.deliver_all(records)
    assert down.undelivered == ids_of(study)
    assert "127.0.0.1" in down.reason
    assert collect(study, spool, delivery.store) == spool.records(ids_of(study))
    with serve(tmp_path / "server", port) as uri:
        assert delivery.deliver_all(records) == DeliveryReport(delivered=ids_of(study))
        assert delivery.deliver_all(records) == DeliveryReport(already=ids_of(study))
        again = Delivery(MlflowStore(uri), spool, study).deliver_all(records)
        assert again == DeliveryReport(already=ids_of(study))
        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name(study.slug)
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id])
        assert len(runs) == 2 + 4
        trials = [run for run in runs if run.data.tags["ablate.kind"] == "trial"]
        assert sorted(run.data.tags["ablate.trial_id"] for run in trials) == sorted(ids_of(study))
        assert [len(client.get_metric_history(run.info.run_id, "accuracy")) for run in trials] == [5] * 4


def test_live_delivery_shows_curves_and_then_results(fake_store: Any, spool: Spool, study: Study):
    """A running Trial is in the Store with its rows so far; once finished it is delivered by the end of the block."""
    trial = study.trials[0]
    claim = spool.claim(trial, study.trainable, "")
    assert claim is not None
    with LiveDelivery(fake_store, spool, study, every_s=0.02) as live, claim:
        _ = claim.folder
        claim.report(0, {"loss": 1.0})
        wait_for(lambda: (study.slug, trial.id) in fake_store.runs)
        assert fake_store.runs[study.slug, trial.id][0].status == "running"
        claim.report(1, {"loss": 0.5})
        wait_for(lambda: len(fake_store.runs[study.slug, trial.id][0].history) == 2)
        claim.finish({"loss": 0.5}, {})
    assert live.report == DeliveryReport(delivered=(trial.id,))
    assert fake_store.runs[study.slug, trial.id][0].status == "finished"


def test_live_delivery_writes_only_what_is_new(fake_store: Any, spool: Spool, study: Study, train: Train):
    """Passes without news do not touch the Store, and a Trial that it held already is told apart."""
    first = train(study, 0)
    Delivery(fake_store, spool, study).deliver_all([first])
    with LiveDelivery(fake_store, spool, study, every_s=0.01) as live:
        second = train(study, 1)
        wait_for(lambda: fake_store.runs.get((study.slug, second.trial_id), (second,))[0].status == "finished")
        time.sleep(0.1)
    assert set(live.report.delivered) == {second.trial_id}
    assert live.report.already == (first.trial_id,)
    assert fake_store.calls <= 1 + 1 + 5  # the second may have been seen running, a row at a time


def test_live_delivery_survives_an_outage(fake_store: Any, spool: Spool, study: Study, train: Train):
    """Nothing is raised while the Store is down; when it comes back, everything is there at the end."""
    fake_store.down = "asleep"
    with LiveDelivery(fake_store, spool, study, every_s=0.01) as live:
        record = train(study)
        time.sleep(0.1)
        assert fake_store.runs == {}
        fake_store.down = ""
    assert live.report == DeliveryReport(delivered=(record.trial_id,))


@pytest.mark.parametrize("trouble", [RuntimeError("a bug"), OSError("disk full")])
def test_live_delivery_raises_nothing(
    fake_store: Any, spool: Spool, study: Study, train: Train, trouble: Exception, monkeypatch: pytest.MonkeyPatch
):
    """Even a mistake in the store is a reason in the report, and the training goes on."""

    def fail(*arguments: object) -> Any:
        raise trouble

    monkeypatch.setattr(fake_store, "known", fail)
    with LiveDelivery(fake_store, spool, study, every_s=0.01) as live:
        record = train(study)
        time.sleep(0.05)
    assert live.report.undelivered == (record.trial_id,)
    assert str(trouble) in live.report.reason


def test_stopping_takes_no_longer_than_it_may(
    fake_store: Any, spool: Spool, study: Study, train: Train, monkeypatch: pytest.MonkeyPatch
):
    """With a Store that hangs, stop returns within its time and says what is undelivered (bound: 0.3 s + 2 s)."""
    hanging = threading.Event()
    monkeypatch.setattr(fake_store, "deliver", lambda *arguments: hanging.wait(20))
    record = train(study)
    live = LiveDelivery(fake_store, spool, study, every_s=0.01)
    live.start()
    start = time.monotonic()
    report = live.stop(timeout_s=0.3)
    assert time.monotonic() - start < 2.3
    assert report.undelivered == (record.trial_id,)
    assert "0.3 s" in report.reason
    hanging.set()


def test_a_delivery_that_still_runs_is_told_of_even_when_nothing_is_missing(
    fake_store: Any, spool: Spool, study: Study, monkeypatch: pytest.MonkeyPatch
):
    """Its thread holds the lock: whoever would write a summary has to know."""
    entered, hanging = threading.Event(), threading.Event()

    def hang(*arguments: object) -> None:
        entered.set()
        hanging.wait(20)

    monkeypatch.setattr(fake_store, "deliver", hang)
    claim = spool.claim(study.trials[0], study.trainable, "")
    assert claim is not None
    with claim:
        _ = claim.folder
        live = LiveDelivery(fake_store, spool, study, every_s=0.01)
        live.start()
        assert entered.wait(10)
        report = live.stop(timeout_s=0.1)
    assert report == DeliveryReport(reason="still not delivered after 0.1 s")
    hanging.set()


def test_results_come_from_the_spool_and_then_from_the_store(
    fake_store: Any, spool: Spool, study: Study, train: Train, tmp_path: Path, record_of: Callable[..., Record]
):
    """In a fresh folder the Store's Records are fetched with their artifacts, kept, and not asked for again."""
    mine = train(study, 0)
    Delivery(fake_store, spool, study).deliver_all([mine])
    fresh = Spool(tmp_path / "elsewhere")
    failed = record_of(study, 1, status="failed", cause="diverged", metrics={})
    fake_store.deliver(study, failed, {})
    assert collect(study, fresh, fake_store) == {mine.trial_id: mine, failed.trial_id: failed}
    assert fresh.artifact(mine.trial_id, "per_example.npz") is not None
    assert collect(study, fresh, None) == {mine.trial_id: mine, failed.trial_id: failed}
    assert sorted(p.name for p in fresh.root.iterdir()) == ["settled", "trials"]


def test_a_success_elsewhere_beats_a_failure_here(
    fake_store: Any, spool: Spool, study: Study, record_of: Callable[..., Record]
):
    """What another machine finished counts, and the spool keeps it."""
    claim = spool.claim(study.trials[0], study.trainable, "")
    assert claim is not None
    with claim:
        _ = claim.folder
        claim.fail("error", "out of luck")
    done = record_of(study)
    fake_store.deliver(study, done, {})
    assert collect(study, spool, fake_store) == {done.trial_id: done}
    assert spool.record(done.trial_id) == done


def test_results_without_a_store_are_those_of_the_spool(
    fake_store: Any, spool: Spool, study: Study, train: Train, caplog: pytest.LogCaptureFixture
):
    """An unreachable Store is a warning, not an error."""
    record = train(study)
    fake_store.down = "asleep"
    assert collect(study, spool, fake_store) == {record.trial_id: record}
    assert "asleep" in caplog.text


def test_a_summary_is_delivered_or_the_reason_is_told(fake_store: Any, spool: Spool, study: Study, tmp_path: Path):
    """An outage is a reason, not an exception; a second attempt delivers."""
    delivery = Delivery(fake_store, spool, study)
    fake_store.down = "asleep"
    assert delivery.summarise({"baseline": {"n": 3.0}}, [tmp_path]) == "asleep"
    fake_store.down = ""
    assert delivery.summarise({"baseline": {"n": 3.0}}, [tmp_path]) == ""
    assert fake_store.summaries == [(study.slug, {"baseline": {"n": 3.0}}, [tmp_path])]


def test_a_summary_waits_for_a_delivery(fake_store: Any, spool: Spool, study: Study):
    """Only one process writes at once, be it Trials or their summary."""
    spool.root.mkdir()
    with Lock(spool.root / "delivery.lock") as lock:
        assert lock.acquire()
        assert Delivery(fake_store, spool, study).summarise({}, [], wait_s=0.1) == "another process is delivering"
    assert fake_store.summaries == []


def test_two_spools_do_not_write_one_database_at_once(
    fake_store: Any, spool: Spool, study: Study, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """While a delivery from another spool writes the SQLite file, this one waits its time; then it delivers."""
    monkeypatch.setattr(type(fake_store), "uri", f"sqlite:///{tmp_path}/x.db")
    record = train(study)
    delivery = Delivery(fake_store, spool, study)
    with Lock(tmp_path / "x.db.lock") as lock:
        assert lock.acquire()
        assert delivery.deliver_all([record], wait_s=0.1).reason == "another process is delivering"
        assert delivery.summarise({}, [], wait_s=0.1) == "another process is delivering"
    assert delivery.deliver_all([record]).delivered == (record.trial_id,)


def test_a_database_where_no_lock_can_be_made_has_its_own_say(
    fake_store: Any, spool: Spool, study: Study, train: Train
):
    """A folder that is not there is for the Store to complain about."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(fake_store), "uri", "sqlite:////no/such/folder/x.db")
        report = Delivery(fake_store, spool, study).deliver_all([train(study)])
    assert report.reason == ""


def test_a_renamed_variants_trials_are_delivered_once_more(fake_store: Any, spool: Spool, study: Study, train: Train):
    """Settled or not is asked of the Variant as well; the others stay as they are."""
    for index in range(4):
        train(study, index)
    records = spool.records(ids_of(study)).values()
    Delivery(fake_store, spool, study).deliver_all(records)
    old, new = study.variants[1], replace(study.variants[1], name="another name")
    trials = tuple(replace(t, variant=new.name) if t.variant == old.name else t for t in study.trials)
    renamed = Delivery(fake_store, spool, replace(study, variants=(study.baseline, new), trials=trials))
    ids = ids_of(study)
    assert renamed.deliver_all(records) == DeliveryReport(delivered=ids[1::2], already=ids[::2])
    assert renamed.deliver_all(records) == DeliveryReport(already=ids)


def test_a_fetched_result_does_not_hide_the_trial_that_is_in_training_here(
    fake_store: Any, spool: Spool, study: Study, record_of: Callable[..., Record]
):
    """What could not be kept is not told as if it were."""
    claim = spool.claim(study.trials[0], study.trainable, "")
    assert claim is not None
    with claim:
        _ = claim.folder
        fake_store.deliver(study, record_of(study), {})
        found = collect(study, _Blind(spool.root), fake_store)
    assert found[study.trials[0].id].status == "running"


class _Blind(Spool):
    """Sees the Trial as interrupted at the first look, as if its claim came between the two."""

    def records(self, trial_ids: Iterable[str]) -> dict[str, Record]:
        return {i: replace(record, status="interrupted") for i, record in super().records(trial_ids).items()}


def test_any_number_of_refused_records_does_not_stop_the_others(
    fake_store: Any, spool: Spool, study: Study, train: Train, monkeypatch: pytest.MonkeyPatch
):
    """Three in a row are refused, the fourth arrives; of an outage two are enough to leave the rest."""
    from ablate.tracking.store import StoreUnavailable

    for index in range(4):
        train(study, index)
    deliver, asked, cause = fake_store.deliver, list[str](), None

    def picky(study: Study, record: Record, artifacts: Any) -> None:
        asked.append(record.trial_id)
        if record.trial_id != study.trials[3].id:
            raise StoreUnavailable("no") from cause
        deliver(study, record, artifacts)

    monkeypatch.setattr(fake_store, "deliver", picky)
    records, ids = list(spool.records(ids_of(study)).values()), ids_of(study)
    cause = ConnectionRefusedError()
    assert Delivery(fake_store, spool, study).deliver_all(records).undelivered == ids
    assert asked == list(ids[:2])
    cause = None
    assert Delivery(fake_store, spool, study).deliver_all(records).delivered == ids[3:]


def test_a_server_is_not_told_that_a_trial_stopped_while_it_may_go_on_elsewhere(
    fake_store: Any, spool: Spool, study: Study, monkeypatch: pytest.MonkeyPatch
):
    """Where locks do not reach: only its own word, or five minutes of silence, make an interrupted Trial one."""
    import os

    monkeypatch.setattr(type(fake_store), "uri", "http://server")
    monkeypatch.setattr("ablate.tracking.spool.is_held", lambda path: False)
    trial = study.trials[0]
    claim = spool.claim(trial, study.trainable, "")
    assert claim is not None
    with claim:
        _ = claim.folder
        claim.report(0, {"loss": 1.0})
        journal = spool.home(trial.id) / "journal"

        def delivered() -> bool:
            fake_store.runs.clear()
            Delivery(fake_store, spool, study).deliver_all(spool.records([trial.id]).values())
            return bool(fake_store.runs)

        assert not delivered()
        os.utime(journal, (time.time() - 400, time.time() - 400))
        assert delivered()
        claim.interrupted()
        assert delivered()
