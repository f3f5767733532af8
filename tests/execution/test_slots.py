"""How a machine is divided."""

from __future__ import annotations

import os

import pytest

from ablate.execution import slots
from ablate.execution.gpus import CONTEXT_GB
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
    ("count", "most", "cores", "threads", "shown"),
    [
        (None, 2, 8, [2] * 4, ["0", "1", "0", "1"]),
        (3, 2, 8, [2] * 3, ["0", "1", "0"]),
        (None, 1, 8, [4] * 2, ["0", "1"]),
        (None, 3, 2, [1] * 6, ["0", "1"] * 3),
    ],
)
def test_small_trials_share_gpus(smi, count, most, cores, threads, shown):
    """Every GPU takes as many as asked, in turn, and cores are shared out evenly among all of them."""
    planned = plan_slots(count, cores=cores, gpus=("0", "1"), trials_per_gpu=most)
    assert [slot.threads for slot in planned] == threads
    assert [slot.gpu for slot in planned] == shown
    assert [slot.name for slot in planned] == [f"slot{k}" for k in range(len(planned))]


@pytest.mark.parametrize(
    ("need", "most", "shown"),
    [
        (20.0, None, ["0", "1", "0", "0"]),  # 85.9 GB, of which 77.3 may be used: 3; 32.2 and 28.9: 1
        (20.0, 2, ["0", "1", "0"]),
        (30.0, None, ["0", "0"]),  # too much for the smaller one
        (70.0, 4, ["0"]),
    ],
)
def test_as_many_share_a_gpu_as_fit(smi, need, most, shown):
    """Nine tenths of the free memory, in GB of 1e9 bytes, hold so many; never more than asked."""
    smi(f"0, GPU-a, {81920}, {81920}", f"1, GPU-b, {30720}, {30720}")
    planned = plan_slots(cores=1, gpus=("0", "1"), gpu_memory_gb=need, trials_per_gpu=most)
    assert [slot.gpu for slot in planned] == shown


def test_a_gpu_that_is_in_use_takes_one_at_least(smi):
    """Where others have most of its memory now, one Trial is planned: it fits as soon as they are gone."""
    smi("0, GPU-a, 81920, 4000")
    assert [slot.gpu for slot in plan_slots(cores=1, gpus=("GPU-a",), gpu_memory_gb=20)] == ["GPU-a"]


def test_parts_of_divided_gpus_are_shared_by_their_size(smi):
    """The size of a part (MIG) is in its name: 20 GB hold two Trials of 8 GB, 10 GB one."""
    smi(
        listing="GPU 0: NVIDIA A100 (UUID: GPU-a)\n"
        "  MIG 2g.20gb     Device  0: (UUID: MIG-m)\n"
        "  MIG 1g.10gb     Device  1: (UUID: MIG-n)\n"
    )
    assert [slot.gpu for slot in plan_slots(cores=1, gpu_memory_gb=8)] == ["MIG-m", "MIG-n", "MIG-m"]


@pytest.mark.parametrize(
    ("number", "share"),
    [(1, None), (2, (0.9 * 80 / 2 - CONTEXT_GB) / 100), (4, (0.9 * 80 / 4 - CONTEXT_GB) / 100)],
)
def test_slots_of_one_gpu_share_its_free_memory(smi, number, share):
    """Together they leave a tenth of what is free and what CUDA itself takes; one alone has no limit."""
    smi(f"0, GPU-a, {100e9 / 1024**2:.0f}, {80e9 / 1024**2:.0f}")
    planned = plan_slots(cores=1, gpus=("0",), trials_per_gpu=number)
    assert [slot.gpu_share for slot in planned] == [share and pytest.approx(share, abs=1e-4)] * number


def test_slots_share_also_where_only_their_number_says_so(smi):
    """With more slots than GPUs those that share one are limited, and those that do not are not."""
    planned = plan_slots(3, cores=1, gpus=("0", "1"))
    assert [slot.gpu_share for slot in planned] == [0.45, None, 0.45]  # nothing is known of the memory


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"processes": 2, "trials_per_gpu": 2}, "2 processes to a Trial need whole GPUs of their own"),
        ({"processes": 2, "gpus": ("MIG-a", "MIG-b")}, r"whole GPUs, and these are parts of divided ones \(MIG\)"),
        ({"trials_per_gpu": 0}, "at least one Trial to a GPU is needed, got 0"),
        ({"trials_per_gpu": 2, "gpus": ()}, "none is visible"),
        ({"trials_per_gpu": 2, "count": 5}, "5 slots do not fit: the GPUs take 4 Trials"),
        ({"gpu_memory_gb": 200}, "a Trial takes 200 GB, and the largest GPU has 85.9 GB"),
        ({"gpu_memory_gb": 0}, "above zero"),
        ({"gpu_memory_gb": 5, "gpus": ("7",)}, "nvidia-smi does not tell"),
        ({"trials_per_gpu": 200}, "200 Trials do not fit into GPU 0, of which 85.9 GB are free"),
    ],
)
def test_sharing_that_cannot_be_is_refused(smi, options, message):
    """In plain words, before anything is started."""
    smi("0, GPU-a, 81920, 81920", "1, GPU-b, 81920, 81920")
    options = {"gpus": ("0", "1"), **options}
    with pytest.raises(ValueError, match=message):
        plan_slots(options.pop("count", None), cores=4, **options)


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
