"""Fake studies and records, in one place, for every test of the reports."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest

from ablate.reporting.report import Report, write_report
from ablate.study.study import Factor, Level, Metric, PublishedColumn, Study, Trial, Variant
from ablate.tracking.record import Record, Row

BASE = {
    "model": {"dim": 64, "position": {"name": "sincos2d"}, "dropout": 0.0},
    "data": {"source": "digits", "evaluate_on": "test"},
    "schedule": {"epochs": 30, "batch_size": 64},
}


def make_study(
    names: Sequence[str] = ("baseline", "a", "b"),
    seeds: Sequence[int] = (0, 1, 2),
    direction: Literal["maximize", "minimize"] = "maximize",
    **fields: Any,
) -> Study:
    """A study in which each Variant is one Level of a Factor, `factor=level` or of its own name."""
    grouped: dict[str, list[str]] = {}
    for name in names[1:]:
        if "+" not in name:
            factor, _, level = name.rpartition("=")
            grouped.setdefault(factor or name, []).append(level)
    factors = {
        factor: Factor(factor, "reference", {level: Level(level, {"x": level}) for level in levels})
        for factor, levels in grouped.items()
    }
    variants, trials = [], []
    for name in names:
        levels = dict.fromkeys(factors, "reference")
        if name != names[0]:
            for part in name.split("+"):
                factor, _, level = part.rpartition("=")
                levels[factor or part] = level
        changes = {} if name == names[0] else {"model.dropout": (0.0, 0.1), "model.position": ("sincos2d", name)}
        variants.append(Variant(name, levels, {**BASE, "name": name}, changes))
    for seed in seeds:
        trials += [Trial(f"{v.name}-{seed}", v.name, seed, v.recipe) for v in variants]
    values: dict[str, Any] = {
        "name": "simplevit",
        "profile": "digits",
        "path": Path("studies/simplevit.yaml"),
        "question": "Which parts of SimpleViT matter on digits?",
        "source": "Beyer, Zhai and Kolesnikov, arXiv 2205.01580, Table 1",
        "expected": "The position embedding matters most.",
        "trainable": "ablate.training.vision:train",
        "metric": Metric("top1", direction, "%", "top-1 accuracy"),
        "data_fingerprint": "d1g175",
        "citation": "@article{beyer2022better,\n  title={Better plain ViT baselines for ImageNet-1k}\n}",
        "header": {"command": "ablate run studies/simplevit.yaml", "cost": "5 min on 2 cores"},
    }
    return Study(
        factors=factors, variants=tuple(variants), seeds=tuple(seeds), trials=tuple(trials), **{**values, **fields}
    )


def make_record(study: Study, variant: str, seed: int, value: float, history: int = 0, **fields: Any) -> Record:
    """A finished Trial that ended at `value`; `history` epochs of a curve that leads there."""
    curve = [value - (value - 10) * math.exp(-5 * (i + 1) / history) for i in range(history)]
    rows = tuple(Row(i + 1, {study.metric.name: v, "train/loss": 3 - v / 50}, 1000.0 + i) for i, v in enumerate(curve))
    record = Record(
        trial_id=f"{variant}-{seed}",
        seed=seed,
        trainable=study.trainable,
        recipe=BASE,
        status="finished",
        started=1000.0,
        ended=1007.3,
        seconds=7.25,
        metrics={study.metric.name: value, "loss": 3 - value / 50, "parameters": 102_666.0},
        history=rows,
        data_fingerprint=study.data_fingerprint,
        environment={"commit": "0123abc", "torch": "2.14.1", "machine": "laptop"},
    )
    return replace(record, **fields)


def make_records(study: Study, values: Mapping[str, Sequence[float]], history: int = 0) -> dict[str, Record]:
    """Records for `values[variant]`, one per seed in the study's order; NaN makes a diverged Trial."""
    records = {}
    for variant, row in values.items():
        for seed, value in zip(study.seeds, row, strict=False):
            if math.isnan(value):
                record = make_record(study, variant, seed, 40.0, history)
                record = replace(
                    record,
                    status="failed",
                    cause="diverged",
                    error="loss is nan at step 7",
                    metrics={},
                    history=record.history[: history // 3],
                    log_tail="Traceback (most recent call last):\nablate.trainable.Diverged: loss is nan at step 7",
                )
            else:
                record = make_record(study, variant, seed, value, history)
            records[record.trial_id] = record
    return records


#: Variant -> (effect, spread over seeds), percentage points: about what a well-tuned digits recipe shows.
EFFECTS = {
    "baseline": (0.0, 0.15),
    "position=learned": (-1.6, 0.3),
    "position=none": (-45.0, 0.9),
    "pooling=cls": (-0.4, 0.25),
    "head=linear": (0.3, 0.1),
    "dropout=0.1": (-0.25, 0.3),
    "batch=4x": (-2.9, 0.2),
    "randaugment=5": (0.2, 0.2),
    "randaugment=15": (-0.6, 0.2),
    "randaugment=off": (-0.9, 0.05),
    "mixup=0.5": (-0.1, 0.2),
    "mixup=off": (0.1, 0.15),
    "randaugment=off+mixup=off": (-2.2, 0.4),
    "position=learned+pooling=cls+dropout=0.1": (-4.4, 0.6),
}


def make_realistic(seeds: int = 3) -> tuple[Study, dict[str, Record]]:
    """14 Variants x 3 seeds in percent, one of them 45 points down, and one failed seed."""
    draws = np.random.default_rng(3)
    luck = draws.normal(0, 0.3, seeds)
    values = {n: list(97.2 + e + luck + draws.normal(0, s, seeds)) for n, (e, s) in EFFECTS.items()}
    values["dropout=0.1"][1] = math.nan
    published = PublishedColumn("SimpleViT, 90 epochs", {"baseline": 76.5, "position=learned": 75.2}, "Table 1")
    study = make_study(tuple(EFFECTS), tuple(range(seeds)), published=(published,))
    return study, make_records(study, values, history=30)


HOSTILE = (
    "baseline",
    "<script>alert(1)</script>",
    "50%_of & #1 $x^2$ {~} \\frac",
    "a | b `c` *d* [e](f)",
    "Größe 尺寸 🎲 --seeds",
    "line\nbreak",
)


def make_hostile() -> tuple[Study, dict[str, Record]]:
    """A study whose every text tries to be something other than text."""
    bad = "</style></pre><img src=http://evil.example/x.png onerror=alert(1)>"
    study = make_study(
        HOSTILE,
        question=bad,
        source=bad,
        expected="{{ 7 * 7 }} | %",
        citation=bad,
        metric=Metric("top1", "maximize", "%_$", "<b>acc</b>"),
        header={bad: bad},
        data_fingerprint=bad,
        selection=bad,
        published=(PublishedColumn("Variant", {"baseline": 1.0}, bad), PublishedColumn("Variant", {}, bad)),
    )
    draws = np.random.default_rng(0)
    records = make_records(study, {name: list(draws.normal(90, 1, 3)) for name in HOSTILE}, history=4)
    first = f"{HOSTILE[1]}-0"
    records[first] = replace(
        records[first], status="failed", cause="error", error=bad, log_tail=bad, metrics={}, environment={bad: bad}
    )
    return study, records


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The report of `make_realistic()`, written once; no test may change it."""
    return write_report(*make_realistic(), tmp_path_factory.mktemp("realistic"))


@pytest.fixture(scope="session")
def written_hostile(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The report of `make_hostile()`, written once; no test may change it."""
    return write_report(*make_hostile(), tmp_path_factory.mktemp("hostile"))


@pytest.fixture
def fake() -> SimpleNamespace:
    """The factory: `fake.study(...)`, `fake.records(study, {variant: [values]})`, `fake.record(...)`, and so on."""
    factory: Mapping[str, Callable[..., Any]] = {
        "study": make_study,
        "record": make_record,
        "records": make_records,
        "realistic": make_realistic,
        "hostile": make_hostile,
    }
    return SimpleNamespace(**factory)
