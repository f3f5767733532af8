"""Which GPUs there are, and what is known of their memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ablate.execution.gpus import GpuMemory, gpu_in_use, gpu_memory, measured_memory_gb, visible_gpus
from ablate.tracking.record import Record

THREE = "GPU 0: A (UUID: GPU-a)\nGPU 1: B (UUID: GPU-b)\nGPU 2: C (UUID: GPU-c)\n"


@pytest.mark.parametrize(
    ("variable", "expected"),
    [(None, ("0", "1", "2")), ("", ()), ("-1", ()), ("2,0", ("2", "0")), ("1,-1,2", ("1",)), ("GPU-b", ("GPU-b",))],
)
def test_gpus_are_those_that_cuda_would_see(smi, monkeypatch, variable, expected):
    """CUDA_VISIBLE_DEVICES chooses among what nvidia-smi lists, and stops at the first negative number."""
    smi(listing=THREE)
    if variable is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert visible_gpus() == expected


def test_parts_of_a_divided_gpu_stand_for_it(smi):
    """Each part (MIG) is a GPU of its own, and all are named by UUID, because CUDA counts otherwise then."""
    smi(
        listing="GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-a)\n"
        "  MIG 3g.20gb     Device  0: (UUID: MIG-m)\n"
        "  MIG 1g.5gb      Device  1: (UUID: MIG-n)\n"
        "GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-b)\n"
    )
    assert visible_gpus() == ("MIG-m", "MIG-n", "GPU-b")
    assert gpu_memory(["MIG-m", "MIG-n", "GPU-b"]) == [GpuMemory(20, 20), GpuMemory(5, 5), None]


def test_a_chosen_gpu_that_is_not_there_does_not_count(monkeypatch, tmp_path):
    """CUDA_VISIBLE_DEVICES on a machine without GPUs means nothing, and neither does a driver that fails."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert visible_gpus() == ()
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho GPU 0: A '(UUID: GPU-a)'\nexit 9\n")
    program.chmod(0o755)
    assert visible_gpus() == ()


def test_memory_is_found_by_index_and_by_the_beginning_of_a_uuid(smi):
    """MiB become GB of 1e9 bytes; what a GPU does not tell stays unknown."""
    smi("0, GPU-1234-a, 1000, 500", "1, GPU-5678-b, [N/A], [N/A]", "11, GPU-9, 3000, 2000")
    whole = GpuMemory(1.048576, 0.524288)
    assert gpu_memory(["0", "GPU-12", "1", "GPU-5678-b", "11", "2"]) == [
        whole,
        whole,
        None,
        None,
        GpuMemory(3.145728, 2.097152),
        None,
    ]


def record(peak_mb: float | None, status="finished", **environment: str) -> Record:
    metrics = {} if peak_mb is None else {"peak_memory_mb": peak_mb}
    return Record("t", 0, "m:f", {}, status, 0.0, metrics=metrics, environment=environment)


def test_the_largest_measured_trial_says_what_one_takes():
    """Of finished Trials that one process trained on a GPU; a fifth more, and CUDA's own 0.6 GB."""
    assert measured_memory_gb([]) is None
    others = [
        record(90_000),
        record(80_000, "failed", gpu="H100"),
        record(70_000, gpu="H100", processes="2"),
        record(None, gpu="H100"),
    ]
    assert measured_memory_gb(others) is None
    assert measured_memory_gb([*others, record(5_000, gpu="H100"), record(10_000, gpu="A100")]) == pytest.approx(12.6)


def test_a_process_that_computes_on_no_gpu_names_none():
    """Nothing is imported to find out, and CUDA is not started."""
    code = "import sys; from ablate.execution.gpus import gpu_in_use as g; print(g(), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{} False"
    pytest.importorskip("torch")
    assert gpu_in_use() == {}
