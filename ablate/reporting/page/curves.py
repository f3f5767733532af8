"""Learning curves as data: what the page's script draws, thinned so that the page stays small."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ablate.reporting.comparison import Comparison
from ablate.reporting.drawn_variants import drawn_variants, not_drawn
from ablate.reporting.page.embedded import short
from ablate.study.study import EMA, VISION
from ablate.tracking.record import Record

#: What is embedded at most: points of a curve, seeds of a Variant, and kinds of measurement.
POINTS, SEEDS, NAMES = 100, 10, 16
TRAINING = ("train_", "train/", "training/")


def curves_data(comparison: Comparison, records: Mapping[str, Record]) -> dict[str, Any] | None:
    """The curves of the baseline and of the Variants that figures draw; None where nothing was reported on the way.

    `names`: what was measured, the study's metric first; `chosen`: the place of the one to show first. `steps`: lists
    of steps. `curves`: rows `[place of the Variant in the study, seed, status, place of the name, place of its steps,
    values]`. `pairs`: places of (held-out, training) measurements of one kind. `note`: what was left out.
    """
    study = comparison.study
    drawn = {study.baseline.name, *drawn_variants(comparison)}
    places = {variant.name: place for place, variant in enumerate(study.variants) if variant.name in drawn}
    trials = [t for t in study.trials if t.variant in drawn and t.id in records and records[t.id].history]
    kept = list(_first_seeds(trials))
    names = _names(study.metric.name, [records[trial.id] for trial in kept])
    if not names:
        return None
    steps: dict[tuple[int, ...], int] = {}
    curves, thinned = [], False
    for trial in kept:
        record = records[trial.id]
        for number, name in enumerate(names[:NAMES]):
            points = [(row.step, row.metrics[name]) for row in record.history if name in row.metrics]
            few = _thin(points)
            thinned |= len(few) < len(points)
            if few:
                at = steps.setdefault(tuple(step for step, _ in few), len(steps))
                values = [short(value, 5) for _, value in few]
                curves.append([places[trial.variant], trial.seed, record.status, number, at, values])
    notes = [not_drawn(comparison).strip()]
    notes += [f"Of each curve {POINTS} points are drawn." * thinned]
    notes += [f"Of each Variant the first {SEEDS} seeds are drawn." * (len(kept) < len(trials))]
    notes += [f"Of {len(names)} measurements {NAMES} can be chosen." * (len(names) > NAMES)]
    return {
        "names": names[:NAMES],
        "pairs": _pairs(names[:NAMES]),
        "chosen": _chosen(study.metric.name, names[:NAMES]),
        "averaged": _averaged(comparison, names[:NAMES]),
        "steps": [list(each) for each in steps],
        "curves": curves,
        "axis": "epoch" if study.trainable == VISION else "step",
        "note": " ".join(filter(None, notes)),
    }


def _first_seeds(trials: Sequence[Any]) -> Iterator[Any]:
    seen: dict[str, int] = {}
    for trial in trials:
        seen[trial.variant] = seen.get(trial.variant, 0) + 1
        if seen[trial.variant] <= SEEDS:
            yield trial


def _names(metric: str, records: Sequence[Record]) -> list[str]:
    """The study's metric first, then what ends with its name, then losses, then the rest by name."""
    found = {name for record in records for row in record.history for name in row.metrics}

    def order(name: str) -> tuple[int, str]:
        rank = [name == metric, name.endswith((f"/{metric}", f"_{metric}")), "loss" in name.lower(), True].index(True)
        return rank, name

    return sorted(found, key=order)


def _thin(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Every so-manieth point, counted from the end, so that the last one is always there."""
    every = math.ceil(len(points) / POINTS) if points else 1
    return list(points[::-1][::every])[::-1]


def _pairs(names: Sequence[str]) -> list[tuple[int, int]]:
    """(`loss`, `train_loss`), (`val/loss`, `train/loss`): the same measured on held-out and on training images."""
    pairs = []
    for place, name in enumerate(names):
        for start in TRAINING:
            bare = name.removeprefix(start)
            held_out = next((n for n in (bare, f"val/{bare}", f"val_{bare}", f"test/{bare}") if n in names), None)
            if bare != name and held_out is not None:
                pairs.append((names.index(held_out), place))
    return pairs


def _averaged(comparison: Comparison, names: Sequence[str]) -> dict[str, dict[str, int]]:
    """Variants judged by the average of their weights: place -> {place of a name: place of the same of the average}."""
    study = comparison.study
    same = {
        str(names.index(n.removeprefix(EMA))): i
        for i, n in enumerate(names)
        if n.startswith(EMA) and n.removeprefix(EMA) in names
    }
    judged = [str(i) for i, v in enumerate(study.variants) if study.metric_of(v.recipe) != study.metric.name]
    return dict.fromkeys(judged, same) if same else {}


def _chosen(metric: str, names: Sequence[str]) -> int:
    exact = [n for n in names if n == metric] + [n for n in names if n.endswith(f"/{metric}")]
    return names.index(exact[0]) if exact else next((i for i, n in enumerate(names) if "loss" in n.lower()), 0)
