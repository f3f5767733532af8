from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from ablate.data.errors import DataError
from ablate.data.reading import Reader, Request
from ablate.data.workers import _PIECE, WORKERS_VARIABLE, default_workers

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="workers are forked under Linux only")

#: Of processes that import this file.
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[2]}"}


def drawn(request: Request) -> torch.Tensor:
    """Values that depend on position, key and epoch."""
    return torch.from_numpy(request.positions * 1000 + request.keys + request.epoch / 2)


def who(request: Request) -> torch.Tensor:
    return torch.full((len(request.positions),), os.getpid())


def requests(sizes: list[int], epoch: int = 0) -> Iterator[Request]:
    ends = np.cumsum(sizes)
    return (
        Request(np.arange(end - n, end), np.arange(end - n, end) % 7, epoch) for n, end in zip(sizes, ends, strict=True)
    )


@pytest.fixture
def reader_of():
    made = []

    def make(read, workers=1, decodes=True):
        made.append(Reader(read, decodes=decodes, workers=workers))
        return made[-1]

    yield make
    for reader in made:
        reader.close()


@pytest.mark.parametrize(("decodes", "workers"), [(False, 0), (True, 0), (True, 1), (True, 2)])
def test_answers_come_whole_and_in_order(reader_of, decodes, workers):
    """Whatever reads, each request is answered by its images, for requests smaller and larger than a worker's piece."""
    sizes = [3, _PIECE, 1, 2 * _PIECE + 5, 7, 2 * _PIECE]
    reader = reader_of(drawn, workers, decodes)
    for epoch in range(2):
        found = list(reader(requests(sizes, epoch)))
        expected = [drawn(request) for request in requests(sizes, epoch)]
        assert len(found) == len(expected)
        assert all(map(torch.equal, found, expected))


def test_an_epoch_that_is_left_early_leaves_nothing_behind(reader_of):
    """The next iteration begins with its own first request, and the one that was left cannot go on with its images."""
    reader = reader_of(drawn, 2)
    left = reader(requests([5] * 50))
    next(left)
    again = reader(requests([5] * 50, epoch=1))
    assert torch.equal(next(again), drawn(next(requests([5], epoch=1))))
    with pytest.raises(RuntimeError, match="taken the workers over"):
        next(left)
    assert len(list(again)) == 49


def test_workers_stay_from_epoch_to_epoch_until_closed(reader_of):
    """Two epochs are read by the same processes, none of them this one; closing ends them."""
    reader = reader_of(who, 2)
    first, second = ({int(pid) for answer in reader(requests([9] * 8)) for pid in answer} for _ in range(2))
    assert first == second
    assert len(first) == 2
    assert os.getpid() not in first
    reader.close()
    assert not any(Path(f"/proc/{pid}").exists() for pid in first)


def test_a_dropped_reader_ends_its_workers():
    """A reader that nobody refers to, not even in a cycle, leaves no processes."""
    reader = Reader(who, decodes=True, workers=1)
    (answer,) = reader(requests([1]))
    del reader
    assert not Path(f"/proc/{int(answer[0])}").exists()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_data_error_is_that_error(reader_of, workers):
    """It comes in its turn, with its own words and no others."""

    def read(request: Request) -> torch.Tensor:
        if request.positions[0] == 6:
            raise DataError("cannot read the image x.png: cut short")
        return drawn(request)

    answers = reader_of(read, workers)(requests([3] * 5))
    assert [len(next(answers)) for _ in range(2)] == [3, 3]
    with pytest.raises(DataError) as caught:
        next(answers)
    assert str(caught.value) == "cannot read the image x.png: cut short"


def test_a_mistake_in_a_worker_is_not_hidden(reader_of):
    """Any other exception keeps its type and tells where it was raised."""

    def read(request: Request) -> torch.Tensor:
        raise KeyError("mistake")

    with pytest.raises(KeyError, match="in read"):
        list(reader_of(read)(requests([3])))


def test_a_dead_worker_is_an_error_and_not_a_hang(reader_of):
    """A worker that is killed, as for memory, ends the iteration at once; the reader can begin anew."""
    reader = reader_of(who, 1)
    answers = reader(requests([1] * 100))
    first = next(answers)
    os.kill(int(first[0]), signal.SIGKILL)
    with pytest.raises(RuntimeError, match=r"killed by signal|exited unexpectedly|reads images died"):
        list(answers)
    assert int(next(reader(requests([1])))[0]) != int(first[0])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_of_a_job_are_for_the_trainer(number):
    """A signal to the whole job leaves workers reading until the trainer is done with them, and prints nothing."""
    code = f"""
import os, signal, sys
from test_reading import Reader, requests, who
signal.signal({int(number)}, lambda *_: None)
reader = Reader(who, decodes=True, workers=2)
answers = reader(requests([1] * 40))
pids = [int(next(answers)[0])]
sender = os.fork()
if sender == 0:
    signal.signal({int(number)}, signal.SIG_IGN)
    os.killpg(os.getpgid(0), {int(number)})
    os._exit(0)
os.waitpid(sender, 0)
pids += [int(answer[0]) for answer in answers]
print(len(pids), len(set(pids)))
"""
    found = subprocess.run(
        [sys.executable, "-c", code],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        start_new_session=True,
        timeout=60,
        check=False,
    )
    assert found.stderr == ""
    assert found.stdout.split() == ["40", "2"]


def test_workers_do_not_outlive_a_killed_trainer(tmp_path):
    """When the trainer is killed outright, its workers notice within some seconds."""
    code = """
import sys, time
from test_reading import Reader, requests, who
answers = Reader(who, decodes=True, workers=1)(requests([1] * 3))
print(int(next(answers)[0]), flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as trainer:
        worker = int(trainer.stdout.readline())
        trainer.kill()
    deadline = time.monotonic() + 30
    while _runs(worker) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _runs(worker)


def _runs(pid: int) -> bool:
    """Whether a process exists and is no zombie, which in a container nobody may reap."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_starting_workers_draws_nothing_from_torch(reader_of):
    """torch's own generator is where it was: what the trainer draws does not depend on who reads."""
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    list(reader_of(drawn)(requests([1])))
    assert torch.equal(torch.rand(4), expected)


def test_the_number_of_workers(monkeypatch):
    """The variable is obeyed, nonsense in it is an error, and cores that compute get no workers by default."""
    monkeypatch.delenv(WORKERS_VARIABLE, raising=False)
    assert default_workers(torch.device("cpu")) == 0
    assert default_workers(torch.device("cuda")) == torch.get_num_threads() - 1
    monkeypatch.setenv(WORKERS_VARIABLE, "3")
    assert default_workers(torch.device("cpu")) == 3
    monkeypatch.setenv(WORKERS_VARIABLE, "-1")
    with pytest.raises(DataError, match="must be a number of processes, not '-1'"):
        default_workers(torch.device("cpu"))
