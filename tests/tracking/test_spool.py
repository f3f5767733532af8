from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.study.study import Study, Trial
from ablate.tracking.claim import Claim
from ablate.tracking.record import Record
from ablate.tracking.spool import Spool

#: A process that claims one Trial, says whether it got it, reports once and waits to be killed.
HOLDER = """
import sys, time
from pathlib import Path
from ablate.study.study import Trial
from ablate.tracking.spool import Spool
claim = Spool(Path(sys.argv[1])).claim(Trial(sys.argv[2], "baseline", 0, {}), "m:f", "")
if claim is None:
    print("refused", flush=True)
else:
    (claim.folder / "checkpoint").write_text("half way")
    claim.report(0, {"loss": 1.0})
    print("got it", flush=True)
time.sleep(60)
"""


@pytest.fixture
def trial(study: Study) -> Trial:
    return study.trials[0]


def claim_of(spool: Spool, trial: Trial) -> Claim:
    claim = spool.claim(trial, "m:f", "fingerprint")
    assert claim is not None
    return claim


def hold(spool: Spool, trial: Trial) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(spool.root), trial.id], stdout=subprocess.PIPE, text=True
    )


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_a_trial_from_claim_to_result(spool: Spool, study: Study, train: Callable[..., Record]):
    """The result has everything; of the folder only the artifacts stay; and it reads back equal."""
    record = train(study)
    assert (record.status, record.attempts, record.metrics) == ("finished", 1, {"accuracy": 0.2})
    assert [row.step for row in record.history] == [0, 1, 2]
    assert record.artifacts == ("per_example.npz",)
    assert record.recipe == study.trials[0].recipe
    assert record.data_fingerprint == study.data_fingerprint
    assert record.started <= record.history[0].time <= (record.ended or 0)
    assert 0 < record.seconds <= (record.ended or 0) - record.started + 0.1
    assert spool.record(record.trial_id) == record
    work = spool.home(record.trial_id) / "work"
    assert [p.name for p in work.iterdir()] == ["artifacts"]
    path = spool.artifact(record.trial_id, "per_example.npz")
    assert path is not None
    assert path.read_bytes() == b"examples"


def test_a_finished_trial_can_be_claimed_and_says_so(spool: Spool, study: Study, train: Callable[..., Record]):
    """Whoever claims it sees the Record before training anything."""
    record = train(study)
    with claim_of(spool, study.trials[0]) as claim:
        assert claim.record == record
    assert spool.record(record.trial_id) == record


def test_a_trial_that_never_started_has_no_record(spool: Spool, trial: Trial):
    """Neither an unknown Trial nor one that was claimed and given back is a row anywhere."""
    assert spool.record(trial.id) is None
    assert not spool.held(trial.id)
    with claim_of(spool, trial) as claim:
        assert claim.record is None
        assert spool.record(trial.id) is None
    assert spool.records([trial.id]) == {}
    assert spool.last_row(trial.id) is None


def test_running_and_interrupted_are_told_apart_by_the_lock(spool: Spool, trial: Trial):
    """The history so far is there in both; after an interruption the next attempt finds its checkpoint."""
    with claim_of(spool, trial) as claim:
        (claim.folder / "checkpoint").write_text("epoch 1")
        claim.report(1, {"loss": float("nan")})
        running = spool.records([trial.id])[trial.id]
        assert running.status == "running"
        assert [row.step for row in running.history] == [1]
        assert spool.held(trial.id)
        row = spool.last_row(trial.id)
        assert row is not None
        assert row.step == 1
        claim.interrupted()
    stopped = spool.record(trial.id)
    assert stopped is not None
    assert (stopped.status, stopped.attempts) == ("interrupted", 1)
    with claim_of(spool, trial) as claim:
        assert repr(claim.record) == repr(stopped)  # NaN is not equal to itself
        assert (claim.folder / "checkpoint").read_text() == "epoch 1"
        assert claim.finish({}, {}).attempts == 2


def test_two_processes_claim_one_trial(spool: Spool, trial: Trial):
    """Of processes that claim the same Trial at the same moment exactly one gets it."""
    processes = [hold(spool, trial) for _ in range(3)]
    try:
        answers = [process.stdout.readline().strip() for process in processes if process.stdout]
        assert sorted(answers) == ["got it", "refused", "refused"]
        assert spool.claim(trial, "m:f", "") is None
        assert spool.held(trial.id)
    finally:
        for process in processes:
            end(process)


def test_sigkill_releases_the_claim_and_keeps_the_work(spool: Spool, trial: Trial):
    """After kill -9 the Trial is interrupted, can be claimed at once, and what was journaled is there."""
    process = hold(spool, trial)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "got it"
    os.kill(process.pid, signal.SIGKILL)
    end(process)
    left = spool.record(trial.id)
    assert left is not None
    assert (left.status, left.attempts, len(left.history)) == ("interrupted", 1, 1)
    assert left.seconds > 0
    with claim_of(spool, trial) as claim:
        assert (claim.folder / "checkpoint").read_text() == "half way"
        claim.report(1, {"loss": 0.5})
        done = claim.finish({"loss": 0.5}, {})
    assert (done.attempts, [row.step for row in done.history]) == (2, [0, 1])
    assert done.seconds >= left.seconds


@pytest.mark.parametrize(("cause", "kept"), [("error", True), ("lost", True), ("diverged", False)])
def test_a_failure_can_be_retried(spool: Spool, trial: Trial, cause: str, kept: bool):
    """A retry resumes from the folder after an error or a lost process, and starts clean after a divergence."""
    with claim_of(spool, trial) as claim:
        (claim.folder / "checkpoint").write_text("epoch 1")
        claim.report(0, {"loss": 1.0})
        claim.report(1, {"loss": 2.0})
        failed = claim.fail(cause, "it went\nwrong", "Traceback ...", {"python": "3"})  # type: ignore[arg-type]
    assert spool.record(trial.id) == failed
    assert (failed.status, failed.cause, failed.error) == ("failed", cause, "it went wrong")
    assert failed.log_tail == "Traceback ..."
    with claim_of(spool, trial) as claim:
        assert claim.record == failed
        assert (claim.folder / "checkpoint").exists() is kept
        running = spool.record(trial.id)
        assert running is not None
        assert (running.status, running.attempts) == ("running", 2)
        assert len(running.history) == (2 if kept else 0)
        claim.report(2, {"loss": 0.1})
        done = claim.finish({"loss": 0.1}, {})
    assert spool.record(trial.id) == done
    assert [row.step for row in done.history] == ([0, 1, 2] if kept else [2])
    assert done.seconds > failed.seconds


def test_a_retry_that_was_stopped_is_interrupted_not_failed(spool: Spool, trial: Trial):
    """The failure before is history once another attempt has begun."""
    with claim_of(spool, trial) as claim:
        _ = claim.folder
        claim.fail("error", "x")
    with claim_of(spool, trial) as claim:
        _ = claim.folder
        claim.interrupted()
    record = spool.record(trial.id)
    assert record is not None
    assert record.status == "interrupted"


def test_lost_can_be_written_without_another_attempt(spool: Spool, trial: Trial):
    """Giving a Trial up starts no attempt, so that the failure stands."""
    with claim_of(spool, trial) as claim:
        _ = claim.folder
    with claim_of(spool, trial) as claim:
        claim.fail("lost", "killed too often")
    record = spool.record(trial.id)
    assert record is not None
    assert (record.status, record.cause, record.attempts) == ("failed", "lost", 1)


def test_reporting_before_the_folder_is_a_mistake(spool: Spool, trial: Trial):
    """An attempt begins with its folder; without one there is nothing to report to."""
    with claim_of(spool, trial) as claim, pytest.raises(RuntimeError, match="folder"):
        claim.report(0, {"loss": 1.0})


def orphaned(spool: Spool, trial: Trial) -> Claim:
    """A claim whose holder lost the lock without noticing, as on a network file system."""
    claim = claim_of(spool, trial)
    _ = claim.folder
    claim.report(0, {"loss": 9.0})
    (spool.home(trial.id) / "lock").unlink()
    return claim


def test_an_orphan_cannot_overwrite_a_finished_result(spool: Spool, trial: Trial):
    """Whatever a late writer says, the finished result stands, and it is told so."""
    late = orphaned(spool, trial)
    with claim_of(spool, trial) as claim:
        _ = claim.folder
        claim.report(0, {"loss": 0.5})
        done = claim.finish({"loss": 0.5}, {})
    with pytest.raises(FileNotFoundError, match="taken over"):
        late.report(1, {"loss": 8.0})
    assert late.finish({"loss": 9.0}, {}) == done
    assert late.fail("error", "x") == done
    assert spool.record(trial.id) == done
    late.release()


def test_an_orphans_failure_does_not_end_anothers_attempt(spool: Spool, trial: Trial):
    """While another process trains the Trial, a late failure is not written."""
    late = orphaned(spool, trial)
    with claim_of(spool, trial) as claim:
        _ = claim.folder
        late.fail("error", "x")
        record = spool.record(trial.id)
        assert record is not None
        assert record.status == "running"
        (claim.folder / "checkpoint").write_text("mine")
        late.release()
        assert claim.finish({}, {}).status == "finished"


def test_a_kill_between_result_and_cleaning_leaves_nothing_for_good(
    spool: Spool, study: Study, train: Callable[..., Record]
):
    """A leftover checkpoint of a finished Trial goes with the next claim."""
    record = train(study)
    (spool.home(record.trial_id) / "work" / "checkpoint.pt").write_bytes(b"left over")
    (spool.home(record.trial_id) / "work" / "cache").mkdir()
    with claim_of(spool, study.trials[0]):
        pass
    assert [p.name for p in (spool.home(record.trial_id) / "work").iterdir()] == ["artifacts"]


def test_a_fetched_record_is_kept_with_its_artifacts(
    spool: Spool, study: Study, record_of: Callable[..., Record], tmp_path: Path
):
    """What came from the Store is then here, and does not replace what was trained here."""
    record = record_of(study, artifacts=("deep/per_example.npz",))
    (tmp_path / "got" / "deep").mkdir(parents=True)
    (tmp_path / "got" / "deep" / "per_example.npz").write_bytes(b"x")
    assert spool.save(record, tmp_path / "got")
    assert spool.record(record.trial_id) == record
    path = spool.artifact(record.trial_id, "deep/per_example.npz")
    assert path is not None
    assert path.read_bytes() == b"x"
    assert not spool.save(replace(record, seconds=99.0))
    assert spool.record(record.trial_id) == record


def test_a_trial_in_training_is_not_replaced_by_a_fetched_one(
    spool: Spool, study: Study, record_of: Callable[..., Record]
):
    """The process that holds it goes on undisturbed."""
    with claim_of(spool, study.trials[0]) as claim:
        _ = claim.folder
        assert not spool.save(record_of(study))


@pytest.mark.parametrize("name", ["../../result.json", "/etc/passwd", "", "absent.npz"])
def test_artifacts_are_found_in_their_folder_only(spool: Spool, study: Study, train: Callable[..., Record], name: str):
    """A name that leads elsewhere, or nowhere, gives nothing."""
    record = train(study)
    assert spool.artifact(record.trial_id, name) is None


@pytest.mark.parametrize("trial_id", ["", "..", "a/b", ".hidden"])
def test_an_id_that_is_no_folder_name_is_refused(spool: Spool, trial_id: str):
    """An id from elsewhere cannot lead out of the spool."""
    with pytest.raises(ValueError, match="not a Trial's id"):
        spool.record(trial_id)


@pytest.mark.parametrize("content", [b"", b'{"format": 1, "trial_', b'{"format": 99}', b"\xff\xfe", b"[]"])
def test_a_damaged_result_is_set_aside_with_a_warning(
    spool: Spool, study: Study, train: Callable[..., Record], content: bytes, caplog: pytest.LogCaptureFixture
):
    """It does not block its study: it is kept under another name, named in the log, and the Trial can be trained."""
    record = train(study)
    path = spool.home(record.trial_id) / "result.json"
    path.write_bytes(content)
    left = spool.record(record.trial_id)
    assert left is not None
    assert left.status == "interrupted"
    assert path.with_name("result.json.bad").read_bytes() == content
    assert str(path) in caplog.text
    caplog.clear()
    assert train(study).attempts == 2
    assert spool.records([record.trial_id])[record.trial_id].status == "finished"
    assert caplog.text == ""


@pytest.mark.parametrize("content", [b"", b"{", b'{"id": "x"}', b"[]", b"\xff"])
def test_a_damaged_description_is_set_aside_and_written_anew(
    spool: Spool, trial: Trial, content: bytes, caplog: pytest.LogCaptureFixture
):
    """Until then the Trial counts as not started; what was journaled is there again with the next claim."""
    with claim_of(spool, trial) as claim:
        _ = claim.folder
        claim.report(0, {"loss": 1.0})
        claim.interrupted()
    path = spool.home(trial.id) / "trial.json"
    whole = path.read_bytes()
    path.write_bytes(content)
    assert spool.record(trial.id) is None
    assert str(path) in caplog.text
    path.write_bytes(content)
    with claim_of(spool, trial):
        assert path.read_bytes() == whole
        running = spool.record(trial.id)
        assert running is not None
        assert len(running.history) == 1


def test_attempts_go_on_counting_from_a_fetched_failure(spool: Spool, study: Study, record_of: Callable[..., Record]):
    """While it is tried again it is running, not failed; attempts and seconds of elsewhere are added to its own."""
    failed = record_of(study, status="failed", cause="error", error="x", metrics={}, attempts=2)
    assert spool.save(failed)
    assert spool.record(failed.trial_id) == failed
    with claim_of(spool, study.trials[0]) as claim:
        assert claim.record == failed
        _ = claim.folder
        claim.report(0, {"loss": 1.0})
        running = spool.record(failed.trial_id)
        assert running is not None
        assert (running.status, running.attempts) == ("running", 3)
        done = claim.finish({"loss": 1.0}, {})
    assert (done.attempts, done.started, len(done.history)) == (3, failed.started, 1)
    assert done.seconds >= failed.seconds


def test_thousands_of_records_are_read_in_seconds(
    spool: Spool, study: Study, record_of: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
):
    """A thousand results of 30 rows take less than 5 s (about 0.1 s on a quiet core)."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    record = record_of(study, rows=30)
    ids = [f"trial{i}" for i in range(1000)]
    for trial_id in ids:
        spool.save(replace(record, trial_id=trial_id))
    start = time.monotonic()
    assert list(spool.records([*ids, "absent"])) == ids
    assert time.monotonic() - start < 5


def test_the_last_sign_of_a_trial_is_its_last_line(spool: Spool, trial: Trial):
    """Before an attempt there is none; then it is the time of the journal's last line, in epoch seconds."""
    assert spool.last_sign(trial.id) is None
    with claim_of(spool, trial) as claim:
        _ = claim.folder
        os.utime(spool.home(trial.id) / "journal", (5.0, 5.0))
        assert spool.last_sign(trial.id) == 5.0
        claim.report(0, {"loss": 1.0})
        sign = spool.last_sign(trial.id)
        assert sign is not None
        assert sign > 5.0


def test_deaths_are_counted_without_a_driver(spool: Spool, trial: Trial):
    """Each process that dies counts until the Trial gets further or an attempt ends by itself."""
    counts = []
    for step in (3, 3, 2, 4):
        with claim_of(spool, trial) as claim:
            counts.append(claim.deaths)
            _ = claim.folder
            claim.report(step, {"loss": 1.0})
    assert counts == [0, 1, 2, 3]
    assert spool.deaths(trial.id) == 1
    with claim_of(spool, trial) as claim:
        _ = claim.folder
        claim.interrupted()
    assert spool.deaths(trial.id) == 0


def test_only_new_outcomes_are_told(spool: Spool, study: Study, train: Callable[..., Record]):
    """Each outcome is told once, whoever asks with what it was told before; a second failure is told as well."""
    assert spool.settled_since() == ([], frozenset())
    first, second = study.trials[0], study.trials[1]
    train(study, 0)
    told, seen = spool.settled_since()
    assert told == [first.id]
    assert spool.settled_since(seen) == ([], seen)
    for _ in range(2):
        with claim_of(spool, second) as claim:
            _ = claim.folder
            assert spool.settled_since(seen)[0] == []
            claim.fail("error", "x")
        told, seen = spool.settled_since(seen)
        assert told == [second.id]
    assert spool.settled_since(frozenset())[0] == sorted([first.id, second.id])


def test_a_fetched_record_is_news(spool: Spool, study: Study, record_of: Callable[..., Record]):
    """What was put here from the Store is told like what was trained here; what was refused is not."""
    record = record_of(study)
    assert spool.save(record)
    told, seen = spool.settled_since()
    assert told == [record.trial_id]
    assert not spool.save(record)
    assert spool.settled_since(seen)[0] == []


def test_a_mark_that_cannot_be_made_fails_no_trial(spool: Spool, study: Study, train: Callable[..., Record]):
    """Where there is no room for the mark the result stands all the same; the next claim makes up for the mark."""
    spool.root.mkdir()
    (spool.root / "settled").write_text("in the way of the folder")
    record = train(study)
    assert spool.record(record.trial_id) == record
    (spool.root / "settled").unlink()
    assert spool.settled_since()[0] == []
    with claim_of(spool, study.trials[0]):
        pass
    assert spool.settled_since()[0] == [record.trial_id]


def test_finished_trials_are_listed_and_nothing_else(
    spool: Spool, study: Study, train: Callable[..., Record], record_of: Callable[..., Record]
):
    """Failed and interrupted ones and strange files are left out."""
    assert spool.finished() == []
    record = train(study)
    assert spool.save(record_of(study, 1, status="failed", cause="error", metrics={}))
    with claim_of(spool, study.trials[2]) as claim:
        _ = claim.folder
    (spool.root / "trials" / ".DS_Store").write_text("")
    (spool.root / "trials" / "notes.txt").write_text("")
    assert spool.finished() == [record]


def test_the_description_is_plain_json(spool: Spool, trial: Trial):
    """Anybody can see what a folder of the spool is about."""
    with claim_of(spool, trial):
        about = json.loads((spool.home(trial.id) / "trial.json").read_text())
    assert about == {
        "id": trial.id,
        "seed": 0,
        "trainable": "m:f",
        "recipe": trial.recipe,
        "data_fingerprint": "fingerprint",
    }
