"""`ablate plan --executor slurm`: the arrays that a run would submit."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from ablate.jobs_plan import asked, jobs_as_json, planned_jobs, render_jobs
from ablate.plan import make_plan
from ablate.settings import load_settings
from ablate.study.load import load_study


@pytest.fixture
def planned(studies, monkeypatch, tmp_path):
    """The plan of a new study, where there is no Slurm."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return make_plan(load_study(studies / "simplevit.yaml"), {}, [], 2)


def arrays_of(planned, *options):
    return planned_jobs(planned, load_settings(None, options))


def test_every_trial_is_in_one_job(planned):
    """The jobs of all arrays hold each Trial that is left, once."""
    arrays = jobs_as_json(arrays_of(planned, "trials_per_job=4"))
    jobs = [job for array in arrays for job in array["jobs"]]
    assert max(map(len, jobs)) == 4
    assert sorted(trial for job in jobs for trial in job) == sorted(trial.id for trial in planned.left)


def test_a_line_tells_jobs_trials_and_the_request(planned):
    """A person reads how many jobs there are, of how many Trials, and what each asks for."""
    console = Console(file=io.StringIO(), width=120)
    console.print(render_jobs(arrays_of(planned, "trials_per_job=4", "partition=a100", "gpus=1", "time=4h")))
    line = console.file.getvalue().splitlines()[1].split(maxsplit=6)
    assert line[:6] == ["1", "12", "45", "1", "to", "4"]
    assert line[6].split(maxsplit=2)[2].strip() == "partition a100, gpus 1, 4 h"


def test_a_request_names_what_differs_from_the_clusters_defaults():
    """Fields that nobody set are not named; the time limit always is."""
    assert asked(load_settings(None, ["memory_gb=8", "nodes=2"]).slurm) == "nodes 2, memory_gb 8, 60 min"
