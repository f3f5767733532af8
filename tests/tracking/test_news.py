from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ablate.study.study import Study
from ablate.tracking.live import LiveDelivery
from ablate.tracking.news import News
from ablate.tracking.record import Record
from ablate.tracking.spool import Spool

Train = Callable[..., Record]


def test_what_was_settled_is_read_again_only_when_it_changed(
    spool: Spool, study: Study, train: Train, monkeypatch: pytest.MonkeyPatch
):
    """A settled Trial costs no reading until its journal grows or it ends."""
    reads: list[str] = []
    read = Spool.record
    monkeypatch.setattr(Spool, "record", lambda self, trial_id: reads.append(trial_id) or read(self, trial_id))
    ids = [trial.id for trial in study.trials]
    done, news = train(study, 1), News(spool)
    claim = spool.claim(study.trials[0], study.trainable, "")
    assert claim is not None
    with claim:
        _ = claim.folder
        claim.report(0, {"loss": 1.0})
        first = news.records(ids)
        assert set(first) == {ids[0], done.trial_id}
        for record in first.values():
            news.settle(record)
        reads.clear()
        assert news.records(ids) == {}
        assert reads == []
        claim.report(1, {"loss": 0.5})
        [grown] = news.records(ids).values()
        assert len(grown.history) == 2
        news.settle(grown)
    # The process is gone without a word: no file has changed.
    [left] = news.records(ids).values()
    assert left.status == "interrupted"


def test_a_sweep_leaves_fresh_outcomes_and_what_still_runs_to_the_workers(spool: Spool, study: Study, train: Train):
    """An outcome counts when it is old enough; at the end any does, and what nobody trains any more."""
    old, fresh = train(study, 0), train(study, 1)
    for name in ("journal", "result.json"):
        path = spool.home(old.trial_id) / name
        os.utime(path, (time.time() - 100, time.time() - 100))
    for index in (2, 3):
        claim = spool.claim(study.trials[index], study.trainable, "")
        assert claim is not None
        with claim:
            _ = claim.folder
    ids, news = [trial.id for trial in study.trials], News(spool, outcomes_after_s=50)
    assert list(news.records(ids)) == [old.trial_id]
    assert list(news.records(ids, active={ids[3]}, last=True)) == [old.trial_id, fresh.trial_id, ids[2]]


def test_between_its_first_and_last_pass_a_driver_looks_at_active_trials_alone(
    fake_store: Any, spool: Spool, study: Study, train: Train
):
    """What ended unseen meanwhile is found at the end."""
    active = [study.trials[1].id]
    live = LiveDelivery(fake_store, spool, study, every_s=0.01, active=lambda: active)
    with live:
        time.sleep(0.1)
        unseen, seen = train(study, 0), train(study, 1)
        until = time.monotonic() + 10
        while (study.slug, seen.trial_id) not in fake_store.runs and time.monotonic() < until:
            time.sleep(0.01)
        assert (study.slug, unseen.trial_id) not in fake_store.runs
    assert set(live.report.delivered) == {seen.trial_id, unseen.trial_id}


def test_a_folder_of_marks_that_is_damaged_means_nothing(spool: Spool, study: Study, train: Train, tmp_path: Path):
    """A mark that cannot be read is no mark."""
    from ablate.tracking.delivered import mark, marked
    from ablate.tracking.store import Stamp

    record = train(study)
    stamp = Stamp("finished", 1, "k")
    mark(spool, record.trial_id, "http://a", "s/p", stamp)
    mark(spool, record.trial_id, "http://b", "s/p", Stamp("failed", 2, "k"))
    assert marked(spool, record.trial_id, "http://a", "s/p") == stamp
    assert marked(spool, record.trial_id, "http://a", "other") is None
    for text in ("", "[]", "{", '{"s/p in http://a": 3}'):
        (spool.home(record.trial_id) / "delivered").write_text(text)
        assert marked(spool, record.trial_id, "http://a", "s/p") is None


def test_a_failure_that_is_tried_again_is_no_outcome_for_a_sweep(spool: Spool, study: Study, train: Train):
    """However old the failure is, the Trial belongs to the worker that has it now; a result stays one."""
    trial = study.trials[0]
    for error in ("first", "second"):
        claim = spool.claim(trial, study.trainable, "")
        assert claim is not None
        with claim:
            _ = claim.folder
            news = News(spool, outcomes_after_s=50)
            assert news.records([trial.id]) == {}
            claim.fail("error", error)
        for name in ("journal", "failure.json"):
            os.utime(spool.home(trial.id) / name, (time.time() - 100, time.time() - 100))
        assert [r.error for r in News(spool, outcomes_after_s=50).records([trial.id]).values()] == [error]
    done = train(study, 1)
    os.utime(spool.home(done.trial_id) / "result.json", (time.time() - 100, time.time() - 100))
    assert list(News(spool, outcomes_after_s=50).records([done.trial_id])) == [done.trial_id]


def test_what_may_go_on_elsewhere_is_looked_at_until_it_has_been_silent_for_long(
    fake_store: Any, spool: Spool, study: Study, monkeypatch: pytest.MonkeyPatch
):
    """A Trial killed just now is left out at first, and comes to the server once its last sign is old."""
    monkeypatch.setattr(type(fake_store), "uri", "http://server")
    trial = study.trials[0]
    claim = spool.claim(trial, study.trainable, "")
    assert claim is not None
    with claim:
        _ = claim.folder
        claim.report(0, {"loss": 1.0})
    live = LiveDelivery(fake_store, spool, study)
    live._pass(last=False)
    assert fake_store.runs == {}
    monkeypatch.setattr("ablate.tracking.delivery._MAY_LIVE_S", 0.0)
    live._pass(last=False)
    assert fake_store.runs[study.slug, trial.id][0].status == "interrupted"
