"""Damaged and stale checkpoints of the built-in trainer, and a disk that is full, on a real Slurm."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import torch
from lab import Lab, check_finished_once

from ablate.tracking.spool import Spool
from ablate.training.vision import TIMING_METRICS

pytestmark = pytest.mark.slow
TINY = Path(__file__).parents[1] / "end_to_end" / "tiny.yaml"
ONE_TRIAL = ("--profile", "longer", "--only", "baseline", "--seeds", 1)
#: As in a job of one CPU: sums depend on how many threads share them.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
OFTEN = {"ABLATE_CHECKPOINT_INTERVAL_S": "0.2"}


def write_study(lab):
    """Real digits and a transformer, for some seconds."""
    (lab.root / "study.yaml").write_text(TINY.read_text().replace("schedule.epochs: 16", "schedule.epochs: 60"))
    lab.settings(memory_gb=2)
    return lab


def outcome(home):
    """Metrics, history and weights of the one Trial that was trained there."""
    spool = Spool(home)
    (trial_id,) = (path.name for path in (home / "trials").iterdir())
    record = spool.record(trial_id)
    assert record.status == "finished", (record.cause, record.error, record.log_tail)
    rows = [(row.step, timeless(row.metrics)) for row in record.history]
    return timeless(record.metrics), rows, torch.load(spool.artifact(trial_id, "weights.pt"), weights_only=True)


def timeless(metrics):
    return {name: value for name, value in metrics.items() if name not in TIMING_METRICS}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What comes of it on this machine, where nothing happens."""
    lab = write_study(Lab(tmp_path_factory.mktemp("undisturbed")))
    counts, said = lab.run(*ONE_TRIAL, "--executor", "local", "--slots", 2, **ONE_THREAD)
    assert counts == (1, 0, 0), said
    return outcome(lab.root / ".ablate")


def truncate(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def garble(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "newest_only", "told"),
    [
        (truncate, True, "goes on from checkpoint.before"),
        (garble, True, "goes on from checkpoint.before"),
        (garble, False, "starts afresh"),
    ],
)
def test_damaged_checkpoints_cost_time_and_nothing_else(slurm, lab, undisturbed, damage, newest_only, told):
    """Killed, and started again beside damaged files: weights, history and metrics as if nothing had happened."""
    lab = write_study(lab())
    lab.run("--detach", *ONE_TRIAL, **OFTEN)
    job = slurm.run("squeue", "-h", "-r", "-o", "%i")
    lab.until_step(3)
    (home,) = (lab.root / ".ablate" / "trials").iterdir()
    lab.until(lambda: list(home.glob("attempt-*/checkpoint.before")))
    lab.worker(slurm, job).kill()
    lab.until_requeued(slurm, job)
    files = sorted(home.glob("attempt-*/checkpoint*"))
    assert [file.name for file in files] == ["checkpoint", "checkpoint.before"]
    for file in files[:1] if newest_only else files:
        damage(file)
    lab.until(lambda: told in lab.logs())
    counts, said = lab.run(*ONE_TRIAL)
    assert counts[2] == 0, said
    metrics, rows, weights = outcome(lab.root / ".ablate")
    expected_metrics, expected_rows, expected_weights = undisturbed
    assert metrics == expected_metrics
    assert rows == expected_rows
    assert weights.keys() == expected_weights.keys()
    assert all(torch.equal(weights[name], expected_weights[name]) for name in weights)


def test_a_full_disk_is_told_and_corrupts_nothing(slurm, lab):
    """Jobs cannot write, nor can the driver: it says so and ends; with room again the same command finishes all."""
    lab = lab(steps=30, sleep=0.3)
    with slurm.small_disk(60) as disk:
        (disk / "spool").mkdir()
        (lab.root / ".ablate").symlink_to(disk / "spool")
        driver = lab.start("run", "--seeds", 1)
        lab.until_step(2, trials=2)
        with (disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
            while True:
                filler.write(b"0" * 4096)
        counts, said = lab.end(driver, code=1)
        assert "No space left on device" in said
        assert counts == (0, 0, 0), said
        (disk / "filler").unlink()
        counts, said = lab.run("--seeds", 1)
        assert counts[2] == 0, said
        check_finished_once(lab, steps=30, seeds=(0,))
        assert not list(disk.rglob("*.bad"))
