"""How a machine is divided."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from ablate.execution import slots
from ablate.execution.slots import Slot, plan_slots


@pytest.mark.parametrize(
    ("count", "cores", "gpus", "threads", "shown"),
    [
        (None, 4, (), [1] * 4, [None] * 4),
        (2, 8, (), [4] * 2, [None] * 2),
        (3, 2, (), [1] * 3, [None] * 3),
        (None, 16, ("0", "3"), [8] * 2, ["0", "3"]),
        (3, 16, ("0", "1"), [5] * 3, ["0", "1", "0"]),
    ],
)
def test_shares_cores_evenly_and_gpus_in_turn(count, cores, gpus, threads, shown):
    """One slot per GPU, else per core, else as many as asked for; never less than a thread."""
    planned = plan_slots(count, cores=cores, gpus=gpus)
    assert [slot.threads for slot in planned] == threads
    assert [slot.gpu for slot in planned] == shown
    assert len({slot.name for slot in planned}) == len(planned)


@pytest.mark.parametrize(
    ("count", "processes", "cores", "gpus", "threads", "shown"),
    [
        (None, 2, 5, (), [2, 2], [None] * 2),
        (None, 4, 2, (), [2], [None]),
        (3, 2, 12, (), [4] * 3, [None] * 3),
        (None, 2, 16, ("0", "1", "4", "5", "6"), [8] * 2, ["0,1", "4,5"]),
        (3, 2, 12, ("0", "1", "2", "3"), [4] * 3, ["0,1", "2,3", "0,1"]),
    ],
)
def test_a_trial_of_several_processes_takes_as_many_places(count, processes, cores, gpus, threads, shown):
    """A slot has a core or a GPU for each process, or all cores where there are fewer."""
    planned = plan_slots(count, processes=processes, cores=cores, gpus=gpus)
    assert [slot.threads for slot in planned] == threads
    assert [slot.gpu for slot in planned] == shown


def test_too_few_gpus_for_one_trial_are_refused():
    """No two of its processes can have the same one."""
    with pytest.raises(ValueError, match="3 processes to a Trial need as many GPUs, and 2 are visible"):
        plan_slots(None, processes=3, cores=8, gpus=("0", "1"))


def test_no_slot_is_refused():
    """Zero is a mistake."""
    with pytest.raises(ValueError, match="at least one slot"):
        plan_slots(0, cores=2, gpus=())


@pytest.mark.parametrize(
    ("variable", "expected"),
    [(None, ("0", "1", "2")), ("", ()), ("-1", ()), ("2,0", ("2", "0")), ("1,-1,2", ("1",)), ("GPU-ab", ("GPU-ab",))],
)
def test_gpus_are_those_that_cuda_would_see(monkeypatch, variable, expected):
    """CUDA_VISIBLE_DEVICES chooses among what nvidia-smi lists, and stops at the first negative number."""
    listing = "GPU 0: A (UUID: a)\n  MIG 1g: (UUID: m)\nGPU 1: B (UUID: b)\nGPU 2: C (UUID: c)\n"
    monkeypatch.setattr(slots.subprocess, "run", lambda *a, **k: SimpleNamespace(returncode=0, stdout=listing))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if variable is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert slots.visible_gpus() == expected


def test_a_chosen_gpu_that_is_not_there_does_not_count(monkeypatch):
    """CUDA_VISIBLE_DEVICES on a machine without GPUs means nothing."""

    def missing(*args, **options):
        raise FileNotFoundError("nvidia-smi")

    monkeypatch.setattr(slots.subprocess, "run", missing)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert slots.visible_gpus() == ()


def test_hyperthreads_of_one_core_count_once(tmp_path):
    """Four logical CPUs on two cores are two; where nothing is known, all count."""
    for cpu, siblings in enumerate(("0,2", "1,3", "0,2", "1,3")):
        folder = tmp_path / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(siblings + "\n")
    assert slots._physical_cores({0, 1, 2, 3}, tmp_path) == 2
    assert slots._physical_cores({0, 2}, tmp_path) == 1
    assert slots._physical_cores({0, 9}, tmp_path) == 2


def test_a_containers_quota_counts(tmp_path):
    """cgroup v2 and v1 quotas in CPUs; no limit is None."""
    assert slots._cgroup_quota(tmp_path) is None
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert slots._cgroup_quota(tmp_path) is None
    (tmp_path / "cpu.max").write_text("250000 100000\n")
    assert slots._cgroup_quota(tmp_path) == 2.5
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert slots._cgroup_quota(tmp_path) is None


def test_this_machine_has_a_core():
    """The count is at least one and at most what the process may run on."""
    assert 1 <= slots.available_cores() <= len(os.sched_getaffinity(0))
    assert plan_slots(1, cores=1, gpus=()) == (Slot("slot0", 1, None),)
