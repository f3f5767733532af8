"""A small study that every test here starts from, and the way to load a changed copy of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ablate.study.errors import StudyError
from ablate.study.load import load_study
from ablate.study.study import Study

EXAMPLE = """\
study: example
question: Which of these matter?
metric: {name: top1, direction: maximize, unit: "%"}
seeds: [0, 1, 2]
profile: small

base:
  model:
    dim: 16
    depth: 2
    stem: {name: patches, patch_size: 2}
    position: sincos2d
    position_covers: patches
    mixer: {name: self_attention, heads: 2}
    feed_forward: {name: mlp, ratio: 2.0}
    norm: layer_norm
    final_norm: before_pooling
    readout: gap
    head: mlp
    dropout: 0.0
    init: jax
  data:
    source: digits
    image_size: 8
    channels: 1
    classes: 10
    mean: 0.5
    std: 0.5
    test_fraction: 0.25
    val_fraction: 0.0
    split_seed: 0
    evaluate_on: test
    eval_resize: 8
  augment:
    crop: off
    flip: false
    randaug: {layers: 2, level: 10}
    mixup: {alpha: 0.2}
  optimizer:
    name: adamw
    learning_rate: 1e-3
    beta1: 0.9
    beta2: 0.999
    eps: 1e-8
    weight_decay: 0.1
    decay: kernels
    clip_norm: 1.0
  schedule:
    epochs: 30
    batch_size: 64
    warmup_steps: 100
    decay: cosine
  precision: float32

factors:
  posemb:
    reference: sincos2d
    levels:
      learned: {model.position: learned}
      none: {model.position: none}
  batch:
    label: batch size
    reference: 64
    levels:
      128: {schedule.batch_size: 128}
  randaug:
    reference: "10"
    levels:
      off: {augment.randaug: off}

design: one_at_a_time

variants:
  original:
    levels: {posemb: learned, batch: 128}
    note: Both.

published:
  file: numbers.csv
  rows:
    baseline: ours
    posemb=learned: learned posemb

profiles:
  small:
    base:
      schedule.epochs: 3
    factors:
      batch:
        reference: 32
        levels:
          64: {schedule.batch_size: 64}
      randaug: {label: RandAugment}
  paper:
    seeds: 5
    published:
      - {label: Table 1, where: {epochs: 90}}
      - {label: Rerun, where: {epochs: 91}, rows: {baseline: base}}
"""
# The profile `small` would name two Levels alike; its base moves the batch size out of the way.
EXAMPLE = EXAMPLE.replace("      schedule.epochs: 3\n", "      schedule: {epochs: 3, batch_size: 32}\n")

NUMBERS = """\
variant,epochs,value,source
ours,90,76.5,Table 1
learned posemb,90,75.0,Table 1
base,91,76.8,a rerun
learned posemb,91,76.2,a rerun
"""

Loader = Callable[..., Study]


@pytest.fixture
def example() -> str:
    """The text of the example study."""
    return EXAMPLE


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study's folder, with published numbers; what loading does to the search path is undone."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    tmp_path.joinpath("numbers.csv").write_text(NUMBERS, encoding="utf-8")
    return tmp_path


@pytest.fixture
def load(folder: Path) -> Loader:
    """Write a text to `study.yaml` in the folder and load it."""

    def write_and_load(text: str = EXAMPLE, profile: str | None = None, **options: Any) -> Study:
        path = folder / "study.yaml"
        path.write_text(text, encoding="utf-8")
        return load_study(path, profile, **options)

    return write_and_load


TRAINABLE = """\
study: crossing
question: Which of these matter?
trainable: crossed:train
metric: {name: score, direction: maximize}
seeds: 1
base: {a: 0, b: 0, c: 0, d: 0, e: 0, shared: {x: 0, y: 0}}
factors:
  a: {reference: low, levels: {high: {a: 1}}}
  b: {reference: low, levels: {high: {b: 1}}}
  c: {reference: low, levels: {middle: {c: 1}, high: {c: 2}}}
  d: {reference: low, levels: {high: {d: 1}}}
"""


@pytest.fixture
def cross(load: Loader, folder: Path) -> Loader:
    """Load a study of a Trainable of its own: Factors a, b and d of two Levels, c of three, and what is added."""
    folder.joinpath("crossed.py").write_text("def train(recipe, seed, report, folder):\n    return {}\n")

    def load_with(text: str = "", base: str = TRAINABLE, **options: Any) -> Study:
        return load(base + text, **options)

    return load_with


@pytest.fixture
def told(load: Loader, folder: Path) -> Callable[[str, str, str], None]:
    """Load the example with `old` replaced by `new`, in which `¦` stands before the place that has to be told."""

    def check(old: str, new: str, message: str) -> None:
        assert EXAMPLE.count(old) >= 1
        text = EXAMPLE.replace(old, new, 1)
        before = text.partition("¦")[0] if "¦" in text else ""
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        with pytest.raises(StudyError) as caught:
            load(text.replace("¦", "", 1))
        said = str(caught.value)
        assert said.startswith(f"{folder / 'study.yaml'}:{line}:{column}: "), said
        assert message in said
        assert len(caught.value.problems) == 1
        assert "\n" not in said

    return check
