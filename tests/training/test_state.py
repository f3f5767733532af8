from __future__ import annotations

import hashlib
import os
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def checkpoint_of(path: Path, seed: int = 0, key: str = "key", interval_s: float = 0) -> Checkpoint:
    """The checkpoint of a little model after three updates."""
    model, optimiser = trained(seed)
    return Checkpoint(path, {"model": model, "optimiser": optimiser}, key, interval_s)


class Counter:
    """A part whose state is one number."""

    def __init__(self, value: int = 0) -> None:
        self.value = value

    def state_dict(self) -> dict[str, int]:
        return {"value": self.value}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.value = state["value"]


def same(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def test_what_is_saved_is_what_is_restored(tmp_path: Path) -> None:
    """Weights, buffers, moments, progress and whatever other parts there are come back bit for bit."""
    model, optimiser = trained(0)
    progress = Progress(2, 7, 1 / 3, 2 / 7, 0.1, micro_batch=16, spent={"seconds": 1 / 7})
    Checkpoint(tmp_path / "c", {"model": model, "optimiser": optimiser, "x": Counter(5)}, "key", 0).save(progress)
    other, its_optimiser = trained(1)
    counter = Counter()
    restored = Checkpoint(tmp_path / "c", {"model": other, "optimiser": its_optimiser, "x": counter}, "key", 0)
    assert restored.restore() == progress
    assert same(dict(model.state_dict()), dict(other.state_dict()))
    assert same(optimiser.state_dict(), its_optimiser.state_dict())
    assert counter.value == 5


def test_without_a_file_training_starts_at_the_beginning(tmp_path: Path) -> None:
    """No checkpoint is no error, and needs no warning."""
    progress = checkpoint_of(tmp_path / "c").restore()
    assert (progress.epoch, progress.step) == (0, 0)


def test_a_checkpoint_from_before_there_were_other_parts_is_read(tmp_path: Path) -> None:
    """A file of model, optimiser and five numbers of progress, as the first version wrote it, goes on."""
    model, optimiser = trained(0)
    progress = {"epoch": 2, "step": 7, "loss_sum": 0.5, "norm_sum": 0.25, "train_loss": 0.1}
    states = {"model": model.state_dict(), "optimiser": optimiser.state_dict()}
    payload = state.archive({"key": "key", "progress": progress, **states})
    digest = hashlib.sha256(payload).hexdigest().encode()
    (tmp_path / "c").write_bytes(b"ablate checkpoint, sha256 " + digest + b"\n" + payload)
    other, its_optimiser = trained(1)
    restored = Checkpoint(tmp_path / "c", {"model": other, "optimiser": its_optimiser}, "key", 0).restore()
    assert restored == Progress(2, 7, 0.5, 0.25, 0.1, micro_batch=None, spent={})
    assert same(dict(model.state_dict()), dict(other.state_dict()))


@pytest.mark.parametrize(
    ("held", "wanted", "fault"), [((), ("a",), "has no state of a"), (("a",), (), "has a state of a")]
)
def test_a_file_of_other_parts_is_refused(
    tmp_path: Path, held: tuple[str, ...], wanted: tuple[str, ...], fault: str
) -> None:
    """A part without a state, or a state without a part, is an error in words, and nothing is taken over."""
    common = Counter(1)
    Checkpoint(tmp_path / "c", {"x": Counter(2)} | {name: Counter() for name in held}, "key", 0).save(Progress())
    checkpoint = Checkpoint(tmp_path / "c", {"x": common} | {name: Counter() for name in wanted}, "key", 0)
    with pytest.raises(ValueError, match=f"{fault}: another version of ablate"):
        checkpoint.restore()
    assert common.value == 1


@pytest.mark.parametrize("name", ["key", "progress"])
def test_a_part_cannot_have_a_name_that_the_file_uses(tmp_path: Path, name: str) -> None:
    """It would overwrite what says whose state it is, or how far it is."""
    with pytest.raises(ValueError, match=f"cannot be called '{name}'"):
        Checkpoint(tmp_path / "c", {name: Counter()}, "key", 0)


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    damaged = {"cut": content[:-1], "flipped": content, "empty": b"", "foreign": b"PK\x03\x04 something"}
    path.write_bytes(damaged[how])


@pytest.mark.parametrize("how", ["cut", "flipped", "empty", "foreign"])
def test_a_damaged_file_is_ignored_with_a_warning(tmp_path: Path, how: str) -> None:
    """A file whose digest is not right is left out whole: nothing of it reaches the model."""
    path = tmp_path / "c"
    checkpoint_of(path).save(Progress(epoch=1))
    damage(path, how)
    model, optimiser = trained(1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.warns(RuntimeWarning, match="is damaged; the Trial starts afresh"):
        assert Checkpoint(path, {"model": model, "optimiser": optimiser}, "key", 0).restore().epoch == 0
    assert same(before, dict(model.state_dict()))


@pytest.mark.parametrize("how", ["cut", "flipped", "empty", "foreign"])
def test_behind_a_damaged_file_stands_the_one_before(tmp_path: Path, how: str) -> None:
    """The Trial goes on from the last checkpoint but one, and a warning says that it does, and from where."""
    counter = Counter()
    checkpoint = Checkpoint(tmp_path / "c", {"x": counter}, "key", 0)
    for counter.value in (1, 2, 3):
        checkpoint.save(Progress(epoch=counter.value, step=10 * counter.value))
    damage(tmp_path / "c", how)
    with pytest.warns(RuntimeWarning, match=r"c is damaged; the Trial goes on from c\.before, epoch 3 after step 20"):
        progress = Checkpoint(tmp_path / "c", {"x": counter}, "key", 0).restore()
    assert (progress.epoch, progress.step, counter.value) == (2, 20, 2)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["c", "c.before"]


def test_with_both_files_damaged_training_starts_at_the_beginning(tmp_path: Path) -> None:
    """The warning names both."""
    checkpoint = checkpoint_of(tmp_path / "c")
    checkpoint.save(Progress(epoch=1))
    checkpoint.save(Progress(epoch=2))
    damage(tmp_path / "c", "cut")
    damage(tmp_path / "c.before", "flipped")
    with pytest.warns(RuntimeWarning, match=r"/c and .*/c\.before are damaged; the Trial starts afresh"):
        assert checkpoint_of(tmp_path / "c").restore() == Progress(train_loss=pytest.approx(float("nan"), nan_ok=True))


def test_a_damaged_file_does_not_take_the_intact_ones_place(tmp_path: Path) -> None:
    """The first checkpoint after a damaged one replaces that one, and leaves the intact one before it alone."""
    checkpoint = Checkpoint(tmp_path / "c", {"x": Counter()}, "key", 0)
    checkpoint.save(Progress(epoch=1))
    checkpoint.save(Progress(epoch=2))
    damage(tmp_path / "c", "cut")
    resumed = Checkpoint(tmp_path / "c", {"x": Counter()}, "key", 0)
    with pytest.warns(RuntimeWarning, match="goes on from"):
        resumed.restore()
    intact = (tmp_path / "c.before").read_bytes()
    resumed.save(Progress(epoch=3))
    assert (tmp_path / "c.before").read_bytes() == intact
    assert resumed.restore().epoch == 3
    resumed.save(Progress(epoch=4))
    (tmp_path / "c").unlink()
    assert resumed.restore().epoch == 3


class Killed(BaseException):
    """The process ends here."""


def killed_at(call: int, patch: pytest.MonkeyPatch) -> None:
    """Let the process end just before it opens, writes, syncs or renames for the ``call``-th time, counted from 0."""
    calls = [0]

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any) -> Any:
            calls[0] += 1
            if calls[0] > call:
                raise Killed
            return real(*arguments)

        return step

    def half_written(path: Path, mode: str) -> Any:
        file = open(path, mode, buffering=0)  # noqa: PTH123, SIM115 - Path.open is what is patched
        whole = file.write

        class Half:
            def write(self, content: bytes) -> None:
                whole(content[: len(content) // 2])
                dying(lambda: None)()
                whole(content[len(content) // 2 :])

            def __enter__(self) -> Half:
                return self

            def __exit__(self, *_: object) -> None:
                file.close()

            flush = file.flush
            fileno = file.fileno

        return Half()

    patch.setattr(state.os, "fsync", dying(os.fsync))
    patch.setattr(state.os, "replace", dying(os.replace))
    patch.setattr(Path, "open", dying(half_written))


def test_killed_at_any_step_of_writing_a_checkpoint_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a save breaks off, the next attempt goes on from the new state or the one before, unwarned, and
    another save succeeds.
    """
    restored = []
    for call in range(20):
        path = tmp_path / str(call) / "c"
        path.parent.mkdir()
        checkpoint = Checkpoint(path, {"x": Counter(1)}, "key", 0)
        checkpoint.save(Progress(epoch=1))
        checkpoint.save(Progress(epoch=2))
        with monkeypatch.context() as patch:
            killed_at(call, patch)
            try:
                checkpoint.save(Progress(epoch=3))
                died = False
            except Killed:
                died = True
        resumed = Checkpoint(path, {"x": Counter()}, "key", 0)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            restored.append(resumed.restore().epoch)
        resumed.save(Progress(epoch=4))
        assert Checkpoint(path, {"x": Counter()}, "key", 0).restore().epoch == 4
        if not died:
            break
    # Opening, two writes, a sync and two renames come before the new state is there; syncing the folder after that.
    assert restored == [2, 2, 2, 2, 2, 2, 3, 3]


def test_another_trials_file_is_refused(tmp_path: Path) -> None:
    """A folder that two Trials share is an error, not a silent mixture."""
    checkpoint_of(tmp_path / "c", key="one").save(Progress())
    with pytest.raises(ValueError, match="holds the state of another Trial"):
        checkpoint_of(tmp_path / "c", key="two").restore()


def test_nothing_but_tensors_and_plain_values_is_loaded(tmp_path: Path) -> None:
    """A file with a right digest but a pickled object of another kind is refused by torch's safe loader."""
    payload = state.archive({"key": "key", "progress": Path("x")})
    header = state._HEADER + hashlib.sha256(payload).hexdigest().encode() + b"\n"
    (tmp_path / "c").write_bytes(header + payload)
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        checkpoint_of(tmp_path / "c").restore()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where writing breaks off, what was there stays there."""
    path = tmp_path / "file"
    write_durably(path, b"old")

    def broken(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(state.os, "fsync", broken)
    with pytest.raises(OSError, match="no space"):
        write_durably(path, b"new", keep=tmp_path / "before")
    assert path.read_bytes() == b"old"


def test_due_follows_the_interval_and_stretches_with_the_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint is due after the interval, or after twenty times what the last one took if that is more."""
    now = [100.0]
    monkeypatch.setattr(state.time, "monotonic", lambda: now[0])
    checkpoint = checkpoint_of(tmp_path / "c", interval_s=15.0)
    now[0] += 14.9
    assert not checkpoint.due
    now[0] += 0.1
    assert checkpoint.due

    def slow(*_: object, **__: object) -> None:
        now[0] += 2.0

    monkeypatch.setattr(state, "write_durably", slow)
    checkpoint.save(Progress())
    now[0] += 39.9
    assert not checkpoint.due
    now[0] += 0.1
    assert checkpoint.due
    assert checkpoint_of(tmp_path / "c").due


def test_an_epoch_ends_with_its_sums(tmp_path: Path) -> None:
    """The next one begins at its first update; what was learnt about memory and cost stays."""
    ended = Progress(2, 7, 1.5, 2.5, 0.1, micro_batch=16, spent={"seconds": 3.0}).after_epoch(train_loss=0.05)
    assert ended == Progress(3, 0, 0.0, 0.0, 0.05, micro_batch=16, spent={"seconds": 3.0})
