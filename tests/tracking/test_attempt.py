from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ablate.study.study import Study, Trial
from ablate.tracking import attempt as attempt_module
from ablate.tracking.attempt import Attempt, Superseded
from ablate.tracking.claim import Claim
from ablate.tracking.codec import encode
from ablate.tracking.record import Record
from ablate.tracking.spool import Spool

#: Trains one Trial again and again, each time in a copy of a folder, and each time killed (SIGKILL) one step later:
#: just before its n-th change of a file or folder. Ends with the first time that it lives to the end.
KILLED = """
import itertools, os, shutil, signal, sys
from pathlib import Path
from ablate.study.study import Trial
from ablate.tracking.spool import Spool

CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.link", "shutil.rmtree"}

def kill_before(n):
    left = [n]
    def hook(event, arguments):
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event in CHANGES or writes:
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
    sys.addaudithook(hook)

def train(root, end):
    with Spool(root).claim(Trial("trial", "baseline", 0, {}), "m:f", "") as claim:
        folder = claim.folder
        (folder / "checkpoint").write_text("good")
        claim.report(5, {"loss": 5.0})
        (folder / "artifacts" / "weights").write_text("weights of 5.0")
        claim.finish({"loss": 5.0}, {}) if end == "finish" else claim.fail("error", "x")

start, roots, end = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
for n in itertools.count():
    shutil.copytree(start, roots / str(n))
    child = os.fork()
    if not child:
        kill_before(n)
        train(roots / str(n), end)
        os._exit(0)
    if not os.WIFSIGNALED(os.waitpid(child, 0)[1]):
        break
"""
TRIAL = Trial("trial", "baseline", 0, {})


def claim_of(spool: Spool) -> Claim:
    claim = spool.claim(TRIAL, "m:f", "")
    assert claim is not None
    return claim


def train(claim: Claim, loss: float) -> Record:
    """An attempt that trains to the end, from whatever is there."""
    (claim.folder / "checkpoint").write_text("good")
    claim.report(5, {"loss": loss})
    (claim.folder / "artifacts" / "weights").write_text(f"weights of {loss}")
    return claim.finish({"loss": loss}, {})


def assert_finished(spool: Spool, loss: float) -> None:
    """The Trial has this result and these artifacts, and nothing else lies in its folder."""
    record = spool.record("trial")
    assert record is not None
    assert (record.status, record.metrics, record.artifacts) == ("finished", {"loss": loss}, ("weights",))
    assert [row.metrics for row in record.history if row.step == 5] == [{"loss": loss}]
    weights = spool.artifact("trial", "weights")
    assert weights is not None
    assert weights.read_text() == f"weights of {loss}"
    home = spool.home("trial")
    assert weights == home / "work" / "artifacts" / "weights"
    names = sorted(p.name for p in home.iterdir() if not p.name.startswith(".trial.json."))
    assert names == ["journal", "lock", "result.json", "trial.json", "work"]
    assert [p.name for p in (home / "work").iterdir()] == ["artifacts"]


def nothing(spool: Spool) -> None:
    spool.root.mkdir()


def an_older_versions_checkpoint(spool: Spool) -> None:
    """As versions before attempts had folders left an interrupted Trial."""
    an_interruption(spool)
    home = spool.home("trial")
    (home / "attempt-1").rename(home / "work")


def an_interruption(spool: Spool) -> None:
    with claim_of(spool) as claim:
        (claim.folder / "checkpoint").write_text("good")
        claim.report(2, {"loss": 2.0})
        claim.interrupted()


def a_folder_in_the_way(spool: Spool) -> None:
    """What an orphan made at the place where results go."""
    an_interruption(spool)
    (spool.home("trial") / "work" / "artifacts").mkdir(parents=True)
    (spool.home("trial") / "work" / "artifacts" / "weights").write_text("the orphan's")


def a_failure(spool: Spool) -> None:
    with claim_of(spool) as claim:
        (claim.folder / "checkpoint").write_text("good")
        claim.report(2, {"loss": 2.0})
        claim.fail("error", "x")


def a_divergence(spool: Spool) -> None:
    with claim_of(spool) as claim:
        (claim.folder / "checkpoint").write_text("bad")
        claim.report(2, {"loss": 2.0})
        claim.fail("diverged", "nan")


@pytest.mark.parametrize("end", ["finish", "fail"])
@pytest.mark.parametrize(
    "before", [nothing, an_older_versions_checkpoint, an_interruption, a_folder_in_the_way, a_failure, a_divergence]
)
def test_killed_at_any_step_a_trial_ends_as_an_undisturbed_one(
    tmp_path: Path, before: Callable[[Spool], None], end: str
):
    """After SIGKILL at any change of a file: a result comes with its artifacts, a checkpoint is never lost, one that
    diverged is never resumed, and the next attempt brings everything into its final form.
    """
    before(Spool(tmp_path / "start"))
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "start"), str(tmp_path / "killed"), end], check=True)
    roots = sorted((tmp_path / "killed").iterdir(), key=lambda root: int(root.name))
    assert len(roots) > 10
    seen = set()
    for root in roots:
        spool = Spool(root)
        left = spool.record("trial")
        status = left.status if left is not None else "nothing"
        seen.add(status)
        if status == "finished":
            weights = spool.artifact("trial", "weights")
            assert weights is not None
            assert weights.read_text() == "weights of 5.0"
        with claim_of(spool) as claim:
            if status == "finished":
                assert claim.record == left
            else:
                checkpoint = claim.folder / "checkpoint"
                resumable = before not in (nothing, a_divergence)
                assert checkpoint.read_text() != "bad" if checkpoint.exists() else not resumable
                train(claim, 5.0)
        assert_finished(spool, 5.0)
        assert spool.settled_since()[0] == [TRIAL.id]
    assert ("finished" if end == "finish" else "failed") in seen


def write(claim: Claim, folder: Path) -> None:
    (folder / "checkpoint").write_text("the orphan's")


def write_with_parents(claim: Claim, folder: Path) -> None:
    (folder / "artifacts").mkdir(parents=True, exist_ok=True)
    (folder / "checkpoint").write_text("the orphan's")
    (folder / "artifacts" / "weights").write_text("the orphan's")
    (folder / "artifacts" / "more").write_text("the orphan's")


def report(claim: Claim, folder: Path) -> None:
    claim.report(5, {"loss": 77.0})


def finish(claim: Claim, folder: Path) -> None:
    claim.finish({"loss": 77.0}, {})


def fail(claim: Claim, folder: Path) -> None:
    claim.fail("diverged", "the orphan's")


def interrupted(claim: Claim, folder: Path) -> None:
    claim.interrupted()


def orphan_of(spool: Spool, how: str) -> tuple[Claim, Path]:
    """A claim in mid-attempt whose lock is lost without notice: its file replaced, or freed by the file server."""
    claim = claim_of(spool)
    folder = claim.folder
    (folder / "checkpoint").write_text("good")
    claim.report(5, {"loss": 77.0})
    (folder / "artifacts" / "weights").write_text("weights of 77.0")
    if how == "lock replaced":
        (spool.home("trial") / "lock").unlink()
    else:
        claim.release()
    return claim, folder


@pytest.mark.parametrize("how", ["lock replaced", "lock freed"])
@pytest.mark.parametrize("when", range(4))
@pytest.mark.parametrize(
    "acts",
    [[write], [report], [finish], [fail], [interrupted]]
    + [[write_with_parents, act] for act in (write, report, finish, fail, interrupted)],
)
def test_an_orphan_changes_nothing(spool: Spool, how: str, when: int, acts: list[Callable[..., None]]):
    """Whatever it does once its folder was taken over, and whenever, its successor's result and files stand."""
    orphan, folder = orphan_of(spool, how)

    def at(moment: int) -> None:
        if moment == when:
            for act in acts:
                before = spool.records(["trial"])
                try:
                    act(orphan, folder)
                except FileNotFoundError:
                    assert act in (write, report)
                assert spool.records(["trial"]) == before

    with claim_of(spool) as claim:
        mine = claim.folder
        assert (mine / "checkpoint").read_text() == "good"
        at(0)
        (mine / "checkpoint").write_text("newer")
        claim.report(5, {"loss": 5.0})
        at(1)
        (mine / "artifacts" / "weights").write_text("weights of 5.0")
        at(2)
        assert (mine / "checkpoint").read_text() == "newer"
        assert claim.folder == mine
        claim.finish({"loss": 5.0}, {})
        at(3)
    with claim_of(spool):
        pass  # what the orphan may have made anew since is swept up
    assert_finished(spool, 5.0)
    orphan.release()


@pytest.mark.parametrize("act", [finish, fail, interrupted])
def test_an_orphan_leaves_a_failure_and_its_folder_alone(spool: Spool, act: Callable[..., None]):
    """The successor failed: that stands, its files are found, and the next attempt resumes from its checkpoint."""
    orphan, folder = orphan_of(spool, "lock freed")
    with claim_of(spool) as claim:
        (claim.folder / "checkpoint").write_text("newer")
        (claim.folder / "artifacts" / "log").write_text("the successor's")
        failed = claim.fail("error", "the successor's")
    write_with_parents(orphan, folder)
    act(orphan, folder)
    assert spool.record("trial") == failed
    log = spool.artifact("trial", "log")
    assert log is not None
    assert log.read_text() == "the successor's"
    with claim_of(spool) as claim:
        assert (claim.folder / "checkpoint").read_text() == "newer"
        train(claim, 5.0)
    assert spool.record("trial") != failed


def test_an_orphan_that_finishes_before_it_is_taken_over_has_finished(spool: Spool):
    """Nothing was lost with its lock; the other process, which had the claim already, is told and changes nothing."""
    orphan, _ = orphan_of(spool, "lock freed")
    with claim_of(spool) as late:
        done = orphan.finish({"loss": 77.0}, {})
        with pytest.raises(Superseded):
            _ = late.folder
        assert late.fail("error", "x") == done
    assert_finished(spool, 77.0)


def test_an_orphan_that_fails_before_it_is_taken_over_does_not_end_the_next_attempt(spool: Spool):
    """The failure is history as soon as the other process begins."""
    orphan, _ = orphan_of(spool, "lock freed")
    with claim_of(spool) as claim:
        orphan.fail("error", "x")
        _ = claim.folder
        record = spool.record("trial")
        assert record is not None
        assert (record.status, record.attempts) == ("running", 2)
        train(claim, 5.0)
    assert_finished(spool, 5.0)


def in_threads(*calls: Callable[[], object]) -> list[object]:
    """What calls at the same moment give, or raise."""
    barrier, given = threading.Barrier(len(calls)), [None] * len(calls)

    def run(index: int, call: Callable[[], object]) -> None:
        barrier.wait()
        try:
            given[index] = call()
        except FileNotFoundError as error:
            given[index] = error

    threads = [threading.Thread(target=run, args=item) for item in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return given


def test_of_attempts_at_the_same_moment_one_lives(tmp_path: Path):
    """However many take over at once, each number is given once and one folder is left, with all that was there."""
    for turn in range(20):
        home = tmp_path / str(turn)
        home.mkdir()
        (Attempt.take(home, 1).path / "checkpoint").write_text("good")
        taken = in_threads(*[lambda home=home: Attempt.take(home, 2)] * 6)
        attempts = [attempt for attempt in taken if isinstance(attempt, Attempt)]
        (living,) = [attempt for attempt in attempts if attempt.alive]
        assert len({attempt.number for attempt in attempts}) == len(attempts)
        assert (living.path / "checkpoint").read_text() == "good"
        assert [p.name for p in home.iterdir()] == [living.path.name]


def test_finishing_and_taking_over_at_the_same_moment_exclude_each_other(
    tmp_path: Path, study: Study, record_of: Callable[..., Record]
):
    """Either the result stands, with its files, or the other process has the folder: never both, never neither."""
    outcomes = set()
    for turn in range(40):
        home = tmp_path / str(turn)
        home.mkdir()
        attempt = Attempt.take(home, 1)
        (attempt.path / "artifacts" / "weights").write_text("x")
        result = encode(record_of(study))
        finished, taken = in_threads(
            lambda attempt=attempt, result=result: attempt.finish(result), lambda home=home: Attempt.take(home, 2)
        )
        assert finished is isinstance(taken, FileNotFoundError)
        place = home / "work" if finished else taken.path  # type: ignore[attr-defined]
        assert (place / "artifacts" / "weights").read_text() == "x"
        assert (home / "result.json").exists() is finished
        outcomes.add(finished)
        shutil.rmtree(home)
    assert outcomes


def test_a_published_folder_that_was_taken_by_mistake_is_found_and_put_back(spool: Spool):
    """A process that hung while it took over, and died, cannot hide the files of a Trial that finished meanwhile."""
    with claim_of(spool) as claim:
        train(claim, 5.0)
    home = spool.home("trial")
    (home / "work").rename(home / "attempt-2")
    assert spool.artifact("trial", "weights") == home / "attempt-2" / "artifacts" / "weights"
    with claim_of(spool):
        pass
    assert_finished(spool, 5.0)


def test_finished_trials_of_older_versions_stay_as_they_are(spool: Spool):
    """Their artifacts lie where they lay, a claim takes away a left-over checkpoint, and the Trial is not begun."""
    with claim_of(spool) as claim:
        done = train(claim, 5.0)
    (spool.home("trial") / "work" / "checkpoint").write_text("left over")
    with claim_of(spool) as claim:
        assert claim.record == done
        with pytest.raises(FileNotFoundError, match="has finished"):
            _ = claim.folder
    assert_finished(spool, 5.0)


def test_a_failure_of_an_older_version_is_replaced_by_a_later_outcome(spool: Spool):
    """It lies where results lie; a later failure counts more, and a result replaces it."""
    a_failure(spool)
    home = spool.home("trial")
    (home / "failure.json").rename(home / "result.json")
    (home / "attempt-1").rename(home / "work")
    with claim_of(spool) as claim:
        assert claim.record is not None
        assert claim.record.status == "failed"
        assert (claim.folder / "checkpoint").read_text() == "good"
        claim.fail("error", "again")
    record = spool.record("trial")
    assert record is not None
    assert (record.error, record.attempts) == ("again", 2)
    with claim_of(spool) as claim:
        done = train(claim, 5.0)
    assert spool.record("trial") == done


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize("turn", [1, 2])
@pytest.mark.parametrize("moment", ["rename", "alive", "_published"])
def test_an_orphan_that_wakes_amid_its_end_leaves_its_successors_result_alone(
    spool: Spool, moment: str, turn: int, settled: bool, monkeypatch: pytest.MonkeyPatch
):
    """It slept just before any of its steps, while the successor took over and published, and maybe died then."""
    orphan, _ = orphan_of(spool, "lock freed")
    (spool.home("trial") / "work" / "artifacts").mkdir(parents=True)  # in the way of both
    owner, step = {
        "rename": (Path, Path.rename),
        "alive": (Attempt, Attempt.alive.fget),  # type: ignore[attr-defined]
        "_published": (attempt_module, attempt_module._published),
    }[moment]

    def succeed() -> None:
        monkeypatch.undo()
        with claim_of(spool) as claim:
            if not settled:
                monkeypatch.setattr(attempt_module, "settle", lambda home: None)
            train(claim, 5.0)
            monkeypatch.undo()

    def sleep(*arguments: Any) -> Any:
        calls.append(None)
        if len(calls) == turn:
            succeed()
        return step(*arguments)

    calls = list[None]()
    monkeypatch.setattr(owner, moment, property(sleep) if moment == "alive" else sleep)
    orphan.finish({"loss": 77.0}, {})
    monkeypatch.undo()
    assert len(calls) >= turn
    with claim_of(spool):
        pass
    assert_finished(spool, 5.0)


@pytest.mark.parametrize("sealed", [True, False])
def test_a_result_that_an_orphan_moved_aside_and_died_is_put_back(spool: Spool, sealed: bool):
    """Its files are found meanwhile, and the next claim finds the Trial finished."""
    with claim_of(spool) as claim:
        train(claim, 5.0)
    home = spool.home("trial")
    (home / "work").rename(home / ".aside-1")
    if sealed:
        (home / "result.json").rename(home / ".aside-1" / ".result.json")
    assert spool.artifact("trial", "weights") == home / ".aside-1" / "artifacts" / "weights"
    with claim_of(spool) as claim:
        assert claim.record is not None
        assert claim.record.status == "finished"
    assert_finished(spool, 5.0)


def test_one_that_is_overtaken_while_it_begins_is_superseded_and_says_nothing(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
):
    """The other's attempt goes on: no failure of the slower one is written over it."""
    slow = claim_of(spool)
    slow.release()
    quick = claim_of(spool)
    sync = attempt_module.sync_folder

    def overtaken(home: Path) -> None:
        monkeypatch.undo()
        assert quick.folder.is_dir()
        sync(home)

    monkeypatch.setattr(attempt_module, "sync_folder", overtaken)
    with pytest.raises(Superseded):
        _ = slow.folder
    slow.fail("error", "no such folder")
    record = spool.record("trial")
    assert record is not None
    assert (record.status, record.attempts) == ("running", 2)
    with quick:
        train(quick, 5.0)
    assert_finished(spool, 5.0)
