from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from ablate.recipe import Optimizer
from ablate.training import state
from ablate.training.optimiser import AdamW
from ablate.training.state import Checkpoint, Progress, write_durably

SETTINGS = Optimizer(
    name="adamw",
    learning_rate=0.1,
    beta1=0.9,
    beta2=0.999,
    eps=1e-8,
    weight_decay=0.1,
    decay="kernels",
    clip_norm="off",
)


def trained(seed: int, steps: int = 3) -> tuple[nn.Module, AdamW]:
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    optimiser = AdamW(model, SETTINGS)
    for _ in range(steps):
        model.zero_grad()
        model(torch.randn(5, 3, generator=generator)).square().sum().backward()
        optimiser.step(0.1)
    return model, optimiser


def same(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def test_what_is_saved_is_what_is_restored(tmp_path: Path) -> None:
    """Weights, buffers, moments and progress come back bit for bit."""
    model, optimiser = trained(0)
    progress = Progress(epoch=2, step=7, loss_sum=1 / 3, norm_sum=2 / 7, train_loss=0.1)
    Checkpoint(tmp_path / "c", model, optimiser, "key", 0).save(progress)
    other, its_optimiser = trained(1)
    assert Checkpoint(tmp_path / "c", other, its_optimiser, "key", 0).restore() == progress
    assert same(dict(model.state_dict()), dict(other.state_dict()))
    assert same(optimiser.state_dict(), its_optimiser.state_dict())


def test_without_a_file_training_starts_at_the_beginning(tmp_path: Path) -> None:
    """No checkpoint is no error, and needs no warning."""
    progress = Checkpoint(tmp_path / "c", *trained(0), "key", 0).restore()
    assert (progress.epoch, progress.step) == (0, 0)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "foreign"])
def test_a_damaged_file_is_ignored_with_a_warning(tmp_path: Path, damage: str) -> None:
    """A file whose digest is not right is left out whole: nothing of it reaches the model."""
    path = tmp_path / "c"
    Checkpoint(path, *trained(0), "key", 0).save(Progress(epoch=1))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    damaged = {"cut": content[:-1], "flipped": content, "empty": b"", "foreign": b"PK\x03\x04 something"}
    path.write_bytes(damaged[damage])
    model, optimiser = trained(1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.warns(RuntimeWarning, match="is damaged; the Trial starts afresh"):
        assert Checkpoint(path, model, optimiser, "key", 0).restore().epoch == 0
    assert same(before, dict(model.state_dict()))


def test_another_trials_file_is_refused(tmp_path: Path) -> None:
    """A folder that two Trials share is an error, not a silent mixture."""
    Checkpoint(tmp_path / "c", *trained(0), "one", 0).save(Progress())
    with pytest.raises(ValueError, match="holds the state of another Trial"):
        Checkpoint(tmp_path / "c", *trained(0), "two", 0).restore()


def test_nothing_but_tensors_and_plain_values_is_loaded(tmp_path: Path) -> None:
    """A file with a right digest but a pickled object of another kind is refused by torch's safe loader."""
    import hashlib
    import pickle

    payload = state.archive({"key": "key", "progress": Path("x")})
    header = state._HEADER + hashlib.sha256(payload).hexdigest().encode() + b"\n"
    (tmp_path / "c").write_bytes(header + payload)
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        Checkpoint(tmp_path / "c", *trained(0), "key", 0).restore()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where writing breaks off, what was there stays there."""
    path = tmp_path / "file"
    write_durably(path, b"old")

    def broken(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(state.os, "fsync", broken)
    with pytest.raises(OSError, match="no space"):
        write_durably(path, b"new")
    assert path.read_bytes() == b"old"


def test_due_follows_the_interval_and_stretches_with_the_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint is due after the interval, or after twenty times what the last one took if that is more."""
    now = [100.0]
    monkeypatch.setattr(state.time, "monotonic", lambda: now[0])
    checkpoint = Checkpoint(tmp_path / "c", *trained(0), "key", 15.0)
    now[0] += 14.9
    assert not checkpoint.due
    now[0] += 0.1
    assert checkpoint.due

    def slow(*_: object) -> None:
        now[0] += 2.0

    monkeypatch.setattr(state, "write_durably", slow)
    checkpoint.save(Progress())
    now[0] += 39.9
    assert not checkpoint.due
    now[0] += 0.1
    assert checkpoint.due
    assert Checkpoint(tmp_path / "c", *trained(0), "key", 0.0).due
