"""What a local job sees of the machine's GPUs: its slot's, and of its memory no more than its share."""

from __future__ import annotations

import os

import pytest

from ablate.execution.executors import make_executor
from ablate.execution.executors.local import memory_limit, task_environment
from ablate.execution.run_folder import RunFolder
from ablate.execution.slots import Slot, plan_slots


@pytest.mark.parametrize("chosen", [None, "4,6,GPU-8"])
def test_jobs_side_by_side_see_their_slots_gpus_alone(workplace, until, monkeypatch, smi, chosen):
    """Jobs at once are not all put on GPUs 0..n-1, as submitit's own executor would: each has the one of its slot."""
    smi(listing="".join(f"GPU {k}: A (UUID: GPU-{k})\n" for k in range(9)))
    if chosen:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    slots = plan_slots(4, cores=4, trials_per_gpu=2)[1:]
    with RunFolder(workplace.root / "run").driving() as run:
        executor, jobs = make_executor("local", run.jobs), []
        for slot in slots:
            marks = workplace.root / slot.name
            trial = workplace.trial(slot.name, nested={"value": 0}, marks=str(marks))
            pack = workplace.pack([trial], run=run.path, trainable="toy:environment", slot=slot, job=slot.name)
            jobs.append(executor.submit(pack))
        until(lambda: all(job.done() for job in jobs))

    seen = [(workplace.root / f"{slot.name}.env").read_text().split()[1] for slot in slots]
    assert seen == (["6", "GPU-8", "4"] if chosen else ["1", "2", "3"])


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, {"PYTORCH_CUDA_ALLOC_CONF": "per_process_memory_fraction:0.4"}),
        (
            {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"},
            {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True,per_process_memory_fraction:0.4"},
        ),
        (
            {"PYTORCH_ALLOC_CONF": "expandable_segments:True"},
            {"PYTORCH_ALLOC_CONF": "expandable_segments:True,per_process_memory_fraction:0.4"},
        ),
        ({"PYTORCH_CUDA_ALLOC_CONF": "per_process_memory_fraction:0.1"}, {}),
    ],
)
def test_a_share_limits_torchs_allocator(monkeypatch, told, expected):
    """Beside what the user has told it; the user's own limit stands. A slot with a GPU of its own has no limit."""
    for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"):
        monkeypatch.delenv(name, raising=False)
    for name, value in told.items():
        monkeypatch.setenv(name, value)

    shared = task_environment(Slot("slot0", 1, "0", gpu_share=0.4), "job")
    assert {name: shared[name] for name in {**told, **expected}} == {**told, **expected}
    alone = task_environment(Slot("slot0", 1, "0"), "job")
    assert {name: value for name, value in alone.items() if "ALLOC_CONF" in name} == told


def test_the_installed_torch_understands_the_limit():
    """Its allocator takes the setting as it is written, and would refuse one that it does not know."""
    torch = pytest.importorskip("torch")
    setting = memory_limit(0.4, {})["PYTORCH_CUDA_ALLOC_CONF"]
    torch._C._accelerator_setAllocatorSettings(setting)
    with pytest.raises(ValueError, match="nonsense"):
        torch._C._accelerator_setAllocatorSettings("nonsense:0.4")
    torch._C._accelerator_setAllocatorSettings("per_process_memory_fraction:1.0")


def test_an_older_torch_is_not_told_what_it_does_not_know(monkeypatch):
    """It would refuse to start with a setting that is new to it."""
    monkeypatch.setattr("ablate.execution.executors.local.version", lambda _: "2.9.1+cu128")
    assert memory_limit(0.4, {}) == {}


@pytest.mark.parametrize(("chosen", "order"), [(None, "PCI_BUS_ID"), ("0", None)])
def test_numbers_of_gpus_mean_those_of_nvidia_smi(monkeypatch, chosen, order):
    """CUDA counts the fastest GPU first; what the user has chosen by CUDA's numbers keeps its meaning."""
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if chosen:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    environment = task_environment(Slot("slot0", 1, "0"), "job")
    assert (environment["CUDA_VISIBLE_DEVICES"], environment.get("CUDA_DEVICE_ORDER")) == ("0", order)
    assert os.environ.get("CUDA_DEVICE_ORDER") is None
