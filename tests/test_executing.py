"""How a study is executed is no part of what it is: no request for resources changes an id."""

from __future__ import annotations

import pytest

from ablate.execution.resources import ResourceFields
from ablate.execution.slots import Slot
from ablate.run import plan_study
from ablate.run_options import RunOptions
from ablate.settings import load_settings
from ablate.settings_schema import LocalSettings
from ablate.study.load import load_study

STUDY = """\
study: asked
question: Does a request change a Trial?
metric: {name: score, direction: maximize}
trainable: asked_trainable:train
seeds: 2
base: {width: 1}
factors:
  width: {reference: one, levels: {two: {width: 2}}}
"""
ONE_LINE = '"some-text"'
#: A value that is not the default, for each field, as TOML has it.
ASKED = {
    **dict.fromkeys(("partition", "account", "qos", "constraint", "reservation", "exclude", "container"), ONE_LINE),
    **dict.fromkeys(("nodes", "processes", "cpus", "parallel", "trials_per_job", "requeues", "checkpoint_s"), "3"),
    "gpus": "4",
    "gpu_type": '"a100"\ngpus = 2',
    "memory_gb": "12.5",
    "time": '"1-12:00:00"',
    "job_minutes": "7.5",
    "poll_s": "2",
    "setup": '["module load cuda"]',
    "python": '"/opt/python"',
    "container_runtime": '"apptainer"',
    "container_mounts": '["/scratch:/data"]\ncontainer = "image.sqsh"',
    "sbatch": "{exclusive = true}",
    "srun": '["--cpu-bind=cores"]',
}
LOCALLY = {"slots": "3", "processes": "2", "trials_per_gpu": '"auto"', "gpu_memory_gb": "7.5"}


@pytest.fixture
def study(tmp_path):
    (tmp_path / "asked_trainable.py").write_text("def train(recipe, seed, report, folder):\n    return {'score': 1}\n")
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path / "study.yaml"


@pytest.fixture(autouse=True)
def gpus(monkeypatch):
    """A machine that has whatever is asked of it."""
    monkeypatch.setattr("ablate.executing.plan_slots", lambda *_, **__: (Slot("cpu0", threads=1),))


def planned(file, text=""):
    """All that `ablate plan --json --full` says of the Trials, with such settings beside the study."""
    (file.parent / ".ablate.toml").write_text(text)
    options = RunOptions(file.parent / "home", file.parent / "reports", settings=load_settings(file.parent))
    return plan_study(load_study(file), options).as_json(full=True)["trials"]


def test_every_field_has_a_value_here():
    """A field that is new to the settings needs one in this test."""
    assert ASKED.keys() == ResourceFields.model_fields.keys()
    assert LOCALLY.keys() == LocalSettings.model_fields.keys()


@pytest.mark.parametrize("field", ASKED)
def test_a_trial_s_id_knows_nothing_of_a_request(study, field):
    """Each field of a job's request, for all Variants and for one: the ids are those without any settings."""
    before = planned(study)
    assert len({trial["id"] for trial in before}) == 4
    line = f"{field} = {ASKED[field]}\n"
    assert planned(study, f"[executors.slurm]\n{line}") == before
    assert planned(study, f'[[executors.slurm.shapes]]\nvariants = "*two*"\n{line}') == before


@pytest.mark.parametrize("field", LOCALLY)
def test_a_trial_s_id_knows_nothing_of_the_machine_s_slots(study, field):
    """Each field of how Trials share this machine."""
    assert planned(study, f"[executors.local]\n{field} = {LOCALLY[field]}\n") == planned(study)
