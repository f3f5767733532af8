"""What is remembered of a submission is what was written, whoever reads it and whatever happened to the file."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.execution.cluster.submission import Submission, forget_concluded, new_key, read_submission, submissions
from ablate.execution.status import JobStatus, write_status

SLUG = "study"
ids = st.text("0123456789abcdef", min_size=1, max_size=6)


def run_of(home, name="20260101-000000-1"):
    return home / "runs" / SLUG / name


def submission(home, *packs, array="7", key="ablate-k", run="20260101-000000-1", **fields):
    return Submission(
        run=run_of(home, run), key=key, packs=packs, submitted=fields.pop("at", 5.0), array=array, **fields
    )


@settings(max_examples=40, deadline=None)
@given(
    packs=st.lists(st.lists(ids, min_size=1, max_size=3).map(tuple), min_size=1, max_size=5).map(tuple),
    array=st.none() | st.integers(1, 10**9).map(str),
    at=st.floats(0, 2e9),
    concluded=st.frozensets(st.integers(0, 4)),
    resources=st.dictionaries(st.sampled_from(["time", "gpus"]), st.integers(1, 9)),
)
def test_what_was_saved_is_read_again(tmp_path_factory, packs, array, at, concluded, resources):
    """Every field survives the file."""
    home = tmp_path_factory.mktemp("home")
    concluded &= frozenset(range(len(packs)))
    given_ = submission(home, *packs, array=array, at=at, concluded=concluded, resources=resources, snapshot="/code")
    given_.save()
    assert submissions(home, SLUG) == [given_]


def test_jobs_are_named_as_slurm_names_them(tmp_path):
    """An array's id and the task's index; none without an id; concluded ones are left out."""
    made = submission(tmp_path, ("a",), ("b", "c"), ("d",), concluded=frozenset([1]))
    assert [(j.job_id, j.index, j.trials) for j in made.jobs()] == [("7_0", 0, ("a",)), ("7_2", 2, ("d",))]
    assert list(submission(tmp_path, ("a",), array=None).jobs()) == []


def test_the_array_s_id_is_noted_when_sbatch_has_answered(tmp_path):
    """The file without an id and the one with it are the same file."""
    first = submission(tmp_path, ("a",), array=None).save()
    assert submissions(tmp_path, SLUG)[0].array is None
    assert first.begun_as("42").array == "42"
    (read,) = submissions(tmp_path, SLUG)
    assert read.array == "42"
    assert len(list(read.file.parent.iterdir())) == 1


def test_conclusions_of_several_rounds_add_up(tmp_path):
    """Each round concludes some jobs of the submission as it was left by the round before; none is forgotten."""
    made = submission(tmp_path, *[(f"t{i}",) for i in range(6)]).save()
    for indices in ([0, 3], [1], [5, 2]):
        made = made.conclude(indices)
    assert [job.index for job in made.jobs()] == [4]
    assert [job.index for job in submissions(tmp_path, SLUG)[0].jobs()] == [4]


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"packs": [["a"]]}', b"\xff\xfe", b'{"packs": 3}', b"null"])
def test_a_damaged_file_is_set_aside_and_stops_nobody(tmp_path, damage, caplog):
    """The other submissions are read; the bad file is kept under another name, with a warning."""
    submission(tmp_path, ("a",), key="good").save()
    bad = submission(tmp_path, ("b",), key="bad").save().file
    bad.write_bytes(damage)
    assert [s.key for s in submissions(tmp_path, SLUG)] == ["good"]
    assert bad.with_name("bad.json.bad").read_bytes() == damage
    assert "bad.json" in caplog.text
    assert [s.key for s in submissions(tmp_path, SLUG)] == ["good"]


def test_a_field_of_a_newer_version_counts_as_damage(tmp_path):
    """A file that says more than is understood is not half believed."""
    file = submission(tmp_path, ("a",)).save().file
    file.write_text(json.dumps({**json.loads(file.read_text()), "colour": "red"}))
    assert submissions(tmp_path, SLUG) == []


def test_submissions_of_all_runs_are_read_the_oldest_first(tmp_path):
    """Those of other studies are not among them."""
    submission(tmp_path, ("a",), key="late", run="r2", at=9.0).save()
    submission(tmp_path, ("b",), key="early", run="r1", at=3.0).save()
    Submission(run=tmp_path / "runs" / "other" / "r", key="x", packs=(("z",),), submitted=1.0).save()
    assert [s.key for s in submissions(tmp_path, SLUG)] == ["early", "late"]


def test_what_is_forgotten_is_gone_and_may_be_forgotten_twice(tmp_path):
    """Nothing is left of a submission that Slurm never had."""
    made = submission(tmp_path, ("a",)).save()
    made.forget()
    made.forget()
    assert submissions(tmp_path, SLUG) == []


def test_a_run_s_folder_stays_as_long_as_a_job_of_it_is_not_concluded(tmp_path):
    """Of several runs those are deleted whose jobs have all been concluded; an array without an id may yet live."""
    submission(tmp_path, ("a",), key="done", run="done", concluded=frozenset([0])).save()
    submission(tmp_path, ("b",), key="ended", run="half", concluded=frozenset([0])).save()
    submission(tmp_path, ("c",), key="open", run="half").save()
    submission(tmp_path, ("d",), key="unsure", run="unsure", array=None).save()
    forget_concluded(tmp_path, SLUG)
    assert sorted(run.name for run in (tmp_path / "runs" / SLUG).iterdir()) == ["half", "unsure"]


def test_a_job_says_what_it_does_and_who_cancelled_it(tmp_path):
    """Status, logs and the mark of `ablate cancel` are found by the job's name."""
    (job,) = submission(tmp_path, ("a",)).save().jobs()
    assert (job.status(), job.log_files(), job.cancelled) == (None, [], False)
    write_status(job.status_file, JobStatus(trial="a", host="gpu1"))
    logs = run_of(tmp_path) / "jobs"
    logs.mkdir()
    for name in ("7_0_1_log.err", "7_0_0_log.err", "7_0_0_log.out", "7_01_0_log.out", "17_0_0_log.out", "7_0.sh"):
        (logs / name).write_text("")
    job.mark_cancelled()
    assert job.status().host == "gpu1"
    assert [file.name for file in job.log_files()] == ["7_0_0_log.out", "7_0_0_log.err", "7_0_1_log.err"]
    assert submissions(tmp_path, SLUG)[0].jobs().__next__().cancelled


def test_keys_differ():
    """Each submission has a name of its own, which is a plain word for Slurm's comment."""
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(key.replace("-", "").isalnum() for key in keys)


def test_a_file_that_is_gone_is_told(tmp_path):
    """Reading one file raises where it is not there."""
    with pytest.raises(FileNotFoundError):
        read_submission(run_of(tmp_path) / "submissions" / "x.json")
