"""A study that grows by its results, on a real Slurm: while its command waits, and from one detached command to the
next.
"""

from __future__ import annotations

import pytest

STUDY = """
study: steady
question: What do the results ask for?
trainable: steady:train
metric: {{name: score, direction: maximize}}
{seeds}
{design}
base: {{steps: 2, sleep: 0.05, shade: red, mode: "", marks: {marks}}}
factors:
  shade: {{reference: red, levels: {{blue: {{shade: blue}}}}}}
  mode: {{reference: none, levels: {{quiet: {{mode: quiet}}}}}}
"""
LADDER = {"seeds": "seeds: 1", "design": "design: {ladder: {order: greedy}}"}
SEEDS = {"seeds": "seeds: {min: 2, max: 3, stop: decided}", "design": "design: one_at_a_time"}


def growing(lab, **asked):
    """The lab with a study that grows: of a Level that changes the score and of one that does not."""
    made = lab()
    (made.root / "study.yaml").write_text(STUDY.format(marks=made.marks, **asked))
    return made


def check_each_trained_once(lab, trials):
    """So many Trials have finished, each at its first attempt and in a job that was submitted once."""
    records = lab.records().values()
    assert [(r.status, r.attempts) for r in records] == [("finished", 1)] * trials
    assert len(lab.lines(containing=" end ")) == trials
    assert lab.jobs_submitted() == trials


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        pytest.param(LADDER, "the ladder's next rung: ", id="ladder"),
        pytest.param(SEEDS, "another seed for ", id="seeds", marks=pytest.mark.slow),
    ],
)
def test_a_study_grows_while_its_command_waits(slurm, lab, asked, told):
    """One command submits what the study has, then what the results ask for, and ends with a report of all of it."""
    lab = growing(lab, **asked)
    first = len(lab.trials())
    counts, said = lab.run()
    all_ = len(lab.trials())
    assert counts == (all_, 0, 0), said
    assert first < all_
    assert told in said
    assert f"{first} Trials; " in said
    assert f"{all_} Trials, {first} of them finished before; " in said
    check_each_trained_once(lab, all_)
    table = (lab.root / "reports" / "steady" / "default" / "trials.csv").read_text()
    assert len(table.splitlines()) == 1 + all_
    assert lab.run()[0] == (0, all_, 0)
    assert slurm.run("squeue", "-h") == ""


@pytest.mark.slow
@pytest.mark.parametrize("asked", [pytest.param(LADDER, id="ladder"), pytest.param(SEEDS, id="seeds")])
def test_a_detached_study_grows_with_the_next_command(slurm, lab, asked):
    """Nobody waits for the first jobs: the second command submits what their results ask for, and nothing twice."""
    lab = growing(lab, **asked)
    first = len(lab.trials())
    assert f"{first} jobs are with Slurm" in lab.run("--detach")[1]
    lab.until_finished(first)
    lab.run("--detach")
    all_ = len(lab.trials())
    assert first < all_
    lab.until_finished(all_)
    counts, said = lab.run()
    assert counts == (0, all_, 0), said
    check_each_trained_once(lab, all_)
