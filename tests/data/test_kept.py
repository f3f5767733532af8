from __future__ import annotations

import multiprocessing

import numpy as np
import pytest

from ablate.data.errors import DataError
from ablate.data.kept import Kept
from ablate.data.memory import MEMORY_VARIABLE, available_memory, memory_budget


@pytest.fixture
def budget(monkeypatch):
    monkeypatch.setenv(MEMORY_VARIABLE, str(100 / 1e9))
    return 100


def image(value: int, height: int = 4, width: int = 5, channels: int = 2) -> np.ndarray:
    return np.full((height, width, channels), value, dtype=np.uint8)


def test_what_is_kept_is_found(budget):
    """Each array comes back in its shape, and what was not kept is None."""
    kept = Kept(3)
    kept.put(2, image(7))
    kept.put(0, image(9, 1, 3, 1))
    assert np.array_equal(kept.get(2), image(7))
    assert np.array_equal(kept.get(0), image(9, 1, 3, 1))
    assert kept.get(1) is None
    assert kept.has_all([0, 2])
    assert not kept.has_all([0, 1])


def test_the_budget_is_one_for_all(budget):
    """Two that live at the same time share the budget; one that is gone gives back its part."""
    first, second = Kept(3), Kept(3)
    first.put(0, image(1))
    second.put(0, image(2))
    assert first.room_for(20)
    assert not first.room_for(21)
    first.put(1, image(3))  # 40 bytes do not fit into 20
    assert first.get(1) is None
    del second
    first.put(1, image(3))
    assert np.array_equal(first.get(1), image(3))
    assert np.array_equal(first.get(0), image(1))


def test_nothing_is_kept_without_memory(monkeypatch):
    """A budget of zero is no error."""
    monkeypatch.setenv(MEMORY_VARIABLE, "0")
    kept = Kept(2)
    kept.put(0, image(1))
    assert kept.get(0) is None


def _fill(kept: Kept, numbers: range) -> None:
    for number in numbers:
        kept.put(number, image(number % 251, 3, 7, 3))


def test_processes_keep_for_each_other(monkeypatch):
    """What several forked processes keep at once is found here, each whole and in its own place."""
    monkeypatch.setenv(MEMORY_VARIABLE, "0.001")
    kept = Kept(4000)
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_fill, args=(kept, range(k, 4000, 4))) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    found = [number for number in range(4000) if kept.get(number) is not None]
    assert len(found) == 4000
    assert all(np.array_equal(kept.get(number), image(number % 251, 3, 7, 3)) for number in found)


def test_memory_is_the_least_that_anyone_allows(tmp_path):
    """Free memory, or the limit of a control group or of one above it, of either version."""
    (tmp_path / "proc" / "self").mkdir(parents=True)
    cgroup = tmp_path / "cgroup"
    (cgroup / "memory" / "job" / "step").mkdir(parents=True)
    (cgroup / "job").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    8000 kB\n")
    assert available_memory(tmp_path / "proc", cgroup) == 8000 * 1024
    (tmp_path / "proc" / "self" / "cgroup").write_text("4:cpu,memory:/job/step\n1:name=systemd:/\n0::/job\n")
    (cgroup / "memory" / "job" / "step" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    (cgroup / "memory" / "job" / "memory.limit_in_bytes").write_text("5000\n")
    assert available_memory(tmp_path / "proc", cgroup) == 5000
    (cgroup / "job" / "memory.max").write_text("max\n")
    (cgroup / "memory.max").write_text("3000\n")
    assert available_memory(tmp_path / "proc", cgroup) == 3000
    (cgroup / "memory.current").write_text("2500\n")
    (cgroup / "memory.stat").write_text("anon 1800\ninactive_file 700\n")
    assert available_memory(tmp_path / "proc", cgroup) == 3000 - (2500 - 700)
    assert available_memory(tmp_path / "nowhere", cgroup) == 0


def test_the_budget_can_be_given(monkeypatch):
    """In gigabytes of 10^9 bytes; without it some of what is available; nonsense is an error."""
    monkeypatch.setenv(MEMORY_VARIABLE, "2.5")
    assert memory_budget() == 2_500_000_000
    monkeypatch.delenv(MEMORY_VARIABLE)
    assert 0 < memory_budget() <= available_memory() // 3
    for nonsense in ("much", "-1", "nan", "inf"):
        monkeypatch.setenv(MEMORY_VARIABLE, nonsense)
        with pytest.raises(DataError, match="ABLATE_MEMORY_GB must be a number of gigabytes"):
            memory_budget()
