"""Trials that learn from others, on a real Slurm: their jobs wait for their teachers' by dependency."""

from __future__ import annotations

import pytest

from ablate.execution.cluster.driver import run_on_slurm
from ablate.execution.cluster.queue import job_name
from ablate.execution.cluster.snapshot import take_snapshot
from ablate.execution.cluster.submission import submissions
from ablate.execution.cluster.submitter import Submitter
from ablate.execution.display import QuietDisplay
from ablate.execution.pack import Pack
from ablate.execution.resources import Resources
from ablate.execution.run_folder import RunFolder
from ablate.execution.stopping import Stop
from ablate.study.study import Trial
from ablate.tracking.spool import Spool

TRAINABLE = "taught:train"


class School:
    """Trials of `taught.py`, which say when they begin and end and of whom they have learnt."""

    def __init__(self, root, trainables):
        self.root, self.home, self.marks = root, root / ".ablate", root / "marks"
        self.spool, self.code = Spool(self.home), take_snapshot(root / "code", sources=[trainables])

    def trial(self, name, *, needs=(), **recipe):
        about = {"name": name, "marks": str(self.marks), "steps": 4, "sleep": 0.2, **recipe}
        return Trial(name, "base", 0, about, tuple(needs))

    def run(self, trials, name="run", detach=False):
        """One invocation of the driver."""
        run = RunFolder(self.home / "runs" / "school" / name)

        def pack(chosen, slot):
            return Pack(chosen, TRAINABLE, "score", "", self.home, run.path, slot)

        with run.driving():
            submitter = Submitter(
                run=run,
                job_name=job_name("school"),
                trainable=TRAINABLE,
                make_pack=pack,
                resources_for=lambda _: Resources(time=5, cpus=1, memory_gb=0.25),
                seconds=dict,
                snapshot=lambda: self.code,
                delivery=None,
            )
            return run_on_slurm(
                trials,
                home=self.home,
                slug="school",
                submitter=submitter,
                spool=self.spool,
                observer=QuietDisplay(),
                stop=Stop(None),
                detach=detach,
                poll_s=0.5,
            )

    def names(self, event):
        """Trials in the order in which they left such marks."""
        lines = [line.split() for line in self.marks.read_text().splitlines()]
        return [line[0] for line in sorted(lines, key=lambda line: float(line[-2])) if line[1] == event]


@pytest.fixture
def school(slurm, tmp_path, request):
    return School(tmp_path, request.config.rootpath / "tests" / "execution" / "trainables")


def test_jobs_of_pupils_wait_for_those_of_their_teachers(slurm, school):
    """A chain of three in whatever order, submitted and left: Slurm starts each after the one that it needs."""
    chain = [
        school.trial("pupil", needs=["assistant"]),
        school.trial("assistant", needs=["teacher"]),
        school.trial("teacher"),
    ]
    school.run(chain, detach=True)
    arrays = {s.packs[0][0]: s.array for s in submissions(school.home, "school")}
    waits = dict(line.split("|") for line in slurm.run("squeue", "-h", "-r", "-o", "%F|%E").splitlines())
    assert f"afterany:{arrays['assistant']}" in waits[arrays["pupil"]]
    summary = school.run(chain, "again")
    assert sorted([*summary.trained, *summary.reused]) == ["assistant", "pupil", "teacher"]
    assert school.names("begin") == school.names("end") == ["teacher", "assistant", "pupil"]
    assert {t.id: school.spool.record(t.id).metrics["score"] for t in chain} == {
        "teacher": 0.0,
        "assistant": 1.0,
        "pupil": 2.0,
    }


@pytest.mark.slow
def test_pupils_fail_with_their_teacher_and_are_tried_again_with_it(slurm, school):
    """Untrained, and saying why; once the teacher's trouble is gone the next run trains all of them."""
    school.marks.with_suffix(".broken").touch()
    trials = [
        school.trial("teacher", mode="raise"),
        school.trial("pupil", needs=["teacher"]),
        school.trial("free"),
    ]
    summary = school.run(trials)
    assert (summary.trained, sorted(summary.failed)) == (("free",), ["pupil", "teacher"])
    assert sorted(school.names("begin")) == ["free", "teacher"]
    pupil = school.spool.record("pupil")
    assert pupil.cause == "teacher"
    assert pupil.error == "its teacher, Trial teacher, failed: ValueError: not today"
    school.marks.with_suffix(".broken").unlink()
    again = school.run(trials, "again")
    assert (sorted(again.trained), again.reused) == (["pupil", "teacher"], ("free",))


@pytest.mark.slow
def test_pupils_of_a_teacher_whose_job_is_lost_wait_for_its_next_one(slurm, school, lab):
    """The teacher's process is killed and its job started again: the pupil trains after that, and only once."""
    trials = [school.trial("teacher", steps=20), school.trial("pupil", needs=["teacher"])]
    school.run(trials, detach=True)
    lab().until(lambda: school.spool.last_row("teacher") is not None)
    for node in slurm.nodes:
        for process in slurm.job_processes(node):
            process.kill()
    summary = school.run(trials, "again")
    assert sorted(summary.trained) == ["pupil", "teacher"]
    assert school.names("end") == ["teacher", "pupil"]
    assert school.names("begin") == ["teacher", "teacher", "pupil"]
