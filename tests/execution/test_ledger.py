"""What the ledger says of Trials, against a spool that real claims have written, and how often it asks the spool."""

from __future__ import annotations

from collections import Counter

import pytest

from ablate.execution.ledger import Ledger
from ablate.execution.status import JobStatus
from ablate.study.study import Trial
from ablate.tracking.spool import Spool


def trials(count, *, needs=()):
    return [Trial(f"t{i}", "baseline", i, {"x": i}, needs=needs) for i in range(count)]


class CountingSpool(Spool):
    """Counts how often each Trial is asked about."""

    def __init__(self, root):
        super().__init__(root)
        self.asked = Counter()

    def record(self, trial_id):
        self.asked[trial_id] += 1
        return super().record(trial_id)

    def held(self, trial_id):
        self.asked[trial_id] += 1
        return super().held(trial_id)


@pytest.fixture
def spool(tmp_path):
    return CountingSpool(tmp_path)


def finish(spool, trial):
    with spool.claim(trial, "m:f", "") as claim:
        _ = claim.folder
        return claim.finish({"m": 1.0}, {})


def fail(spool, trial):
    with spool.claim(trial, "m:f", "") as claim:
        _ = claim.folder
        return claim.fail("error", "ValueError: no")


def begin(spool, trial):
    with spool.claim(trial, "m:f", "") as claim:
        _ = claim.folder
        claim.interrupted()


def test_a_poll_with_hints_looks_at_nothing_else(spool):
    """Only open Trials among the hints are asked about, each once; without hints, all of them are."""
    every = trials(5)
    finish(spool, every[0])
    ledger = Ledger(every, spool)
    finish(spool, every[1])
    finish(spool, every[2])
    spool.asked.clear()
    found = ledger.newly_settled(["t2", "t0", "unknown", "t3", "t2"])
    assert [record.trial_id for record in found] == ["t2"]
    assert spool.asked == {"t2": 1, "t3": 1}
    assert [record.trial_id for record in ledger.newly_settled()] == ["t1", "t2"]


def test_only_as_many_free_trials_are_looked_for_as_are_wanted(spool):
    """The first free ones in the study's order, those in a process's hands left out; the rest is not asked about."""
    every = trials(9)
    ledger = Ledger(every, spool)
    spool.asked.clear()
    with spool.claim(every[1], "m:f", ""):
        assert [trial.id for trial in ledger.free(2)] == ["t0", "t2"]
        assert set(spool.asked) == {"t0", "t1", "t2"}
        assert len(ledger.free()) == 8


def test_a_teacher_is_looked_for_once_for_all_its_pupils(spool):
    """Pupils of a teacher that has not finished are untaught; once it has, they are free, and it is not asked again."""
    pupils, teacher = trials(20, needs=("teacher",)), Trial("teacher", "teacher:big", 0, {})
    ledger = Ledger(pupils, spool)
    spool.asked.clear()
    assert ledger.untaught() == pupils
    assert ledger.free() == []
    assert spool.asked == {"teacher": 2}
    finish(spool, teacher)
    assert ledger.untaught() == []
    assert ledger.free() == pupils
    assert spool.asked["teacher"] == 3


def test_a_dropped_trial_is_no_more_this_runs_business(spool):
    """It is not open, cannot be settled here, and has neither finished nor failed: interrupted if begun, or waiting."""
    every = trials(4)
    ledger = Ledger(every, spool)
    begin(spool, every[1])
    assert ledger.drop("t1") == [every[1]]
    assert ledger.drop("t2") == [every[2]]
    assert ledger.drop("t2") == []
    assert list(ledger.open) == ["t0", "t3"]
    assert not ledger.is_open("t1")
    finish(spool, every[2])
    assert ledger.newly_settled() == []
    progress = ledger.progress([], 2, stopping=False, queued=2)
    assert (progress.total, progress.waiting, progress.dropped, progress.queued) == (4, 2, 2, 2)

    begin(spool, every[3])
    summary = ledger.summary()
    assert set(summary.interrupted) == {"t1", "t3"}
    assert "t0" in summary.waiting
    assert not summary.complete


def test_with_a_teacher_go_those_that_need_it(spool):
    """They cannot be trained by this run, and have not failed: they are dropped, down to pupils of pupils."""
    teacher = Trial("teacher", "teacher:big", 0, {})
    pupil = Trial("pupil", "teacher:small", 0, {}, needs=("teacher",))
    grandchild, other = Trial("grandchild", "a", 0, {}, needs=("pupil",)), Trial("other", "b", 0, {})
    ledger = Ledger([teacher, pupil, grandchild, other], spool)
    assert ledger.drop("teacher") == [teacher, pupil, grandchild]
    assert ledger.untaught() == []
    assert list(ledger.open) == ["other"]
    assert set(ledger.summary().waiting) == {"teacher", "pupil", "grandchild", "other"}


def test_failures_of_jobs_left_to_themselves_can_be_kept(spool):
    """What failed from a time on is settled as failed and not tried again; what failed before stays open."""
    every = trials(3)
    before = fail(spool, every[0])
    since = fail(spool, every[1])
    ledger = Ledger(every, spool)
    assert ledger.newly_settled() == []
    assert ledger.keep_failures(since.ended + 1) == []
    (kept,) = ledger.keep_failures(since.ended)
    assert kept.trial_id == "t1"
    assert before.ended < since.ended
    ledger.settle(kept)
    assert ledger.summary().failed == ("t1",)
    assert set(ledger.open) == {"t0", "t2"}


def test_what_this_run_has_had_in_its_hands_counts_as_trained(spool):
    """A finished Trial that no job of this run has touched was reused."""
    every = trials(3)
    ledger = Ledger(every, spool)
    finish(spool, every[0])
    finish(spool, every[1])
    ledger.note(JobStatus(trial="t0"))
    for record in ledger.newly_settled(["t0", "t1"]):
        ledger.settle(record)
    summary = ledger.summary()
    assert (summary.trained, summary.reused, summary.waiting) == (("t0",), ("t1",), ("t2",))
