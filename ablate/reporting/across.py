"""Several studies beside each other, as numbers: baselines, the effects that they share, and how these differ."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ablate.reporting.across_contrasts import Contrast, contrast
from ablate.reporting.across_effects import SharedEffect, shared_effects
from ablate.reporting.comparison import Comparison, value_text
from ablate.reporting.statistics import UNSURE, holm
from ablate.study.overrides import differences
from ablate.study.study import Study

DIFFERS = "differs"
#: Stands for an effect's name where the baselines themselves are compared.
BASELINES = "baselines"
#: Fields of the built-in trainer's Recipe that decide which images a Trial is judged on.
_EVALUATION = ("evaluate_on", "test_split", "test_fraction", "split_seed", "carve", "classes")


@dataclass(frozen=True, eq=False)
class Across:
    """What two or more studies say together. `study` in the frames is one of `labels`."""

    comparisons: tuple[Comparison, ...]
    labels: tuple[str, ...]
    """What the studies are called here: their names, with the profile where names alone do not part them."""
    baselines: pd.DataFrame
    """One row per study: `study`, `profile`, `metric`, `direction`, `n`, `planned`, `mean`, `half`, `low`, `high`,
    `data`, `data_fingerprint`, `evaluated_on`, `epochs`, `parameters`, `seconds`."""
    effects: pd.DataFrame
    """One row per shared effect and study that has it: `effect`, `alike` (see `SharedEffect`), `study`, `variant`,
    `changes` (fields, from and to), `pairs`, `difference`, `low`, `high`, `p_holm` (within its own study), `verdict`,
    `reason`."""
    contrasts: pd.DataFrame
    """One row per pair of comparable studies and effect that both have, and one for their baselines (`BASELINES`):
    `effect`, `first`, `second`, the fields of `Contrast` (second less first), `p_holm` (over all rows) and `verdict`
    (`DIFFERS` or "not enough evidence")."""
    trials: pd.DataFrame
    """Trials that studies share: `first`, `second`, `variant_first`, `variant_second`, `seeds`, `trials` (how many)."""
    fields: pd.DataFrame
    """Fields in which the baselines differ: `field`, then a column per study with its value as text."""
    warnings: tuple[str, ...]
    """Why studies cannot be compared by their numbers, and what else a reader has to know."""

    @property
    def alpha(self) -> float:
        """The rate of wrong verdicts over all contrasts: the smallest that any of the studies names."""
        return _alpha(self.comparisons)


def across(comparisons: Sequence[Comparison]) -> Across:
    """Put studies beside each other. Raises ValueError for fewer than two, and where one is given twice."""
    if len(comparisons) < 2:
        raise ValueError("a comparison of studies needs at least two")
    studies = [compared.study for compared in comparisons]
    labels = _labels(studies)
    shared = shared_effects(studies)
    barred = {
        pair: reasons
        for pair in itertools.combinations(range(len(studies)), 2)
        if (reasons := list(_differences_in_measure(studies[pair[0]], studies[pair[1]])))
    }
    effects = pd.DataFrame(_effect_rows(comparisons, labels, shared), columns=_EFFECTS)
    return Across(
        tuple(comparisons),
        labels,
        pd.DataFrame([_baseline(compared, label) for compared, label in zip(comparisons, labels, strict=True)]),
        effects,
        _contrasts(comparisons, labels, shared, barred),
        _shared_trials(studies, labels),
        _fields(studies, labels),
        tuple(_warnings(labels, barred, comparisons)),
    )


def _alpha(comparisons: Sequence[Comparison]) -> float:
    return min(compared.study.analysis.alpha for compared in comparisons)


def _labels(studies: Sequence[Study]) -> tuple[str, ...]:
    names = Counter(study.name for study in studies)
    labels = [study.name if names[study.name] == 1 else study.slug for study in studies]
    twice = [label for label, count in Counter(labels).items() if count > 1]
    if twice:
        raise ValueError(f"{', '.join(twice)}: given twice, and a study is not compared with itself")
    return tuple(labels)


def _baseline(compared: Comparison, label: str) -> dict[str, Any]:
    study, row = compared.study, compared.summary.iloc[0]
    data, schedule = (_section(study, name) for name in ("data", "schedule"))
    numbers = ("n", "planned", "mean", "half", "low", "high", "parameters", "seconds")
    return {
        "study": label,
        "profile": study.profile,
        "metric": study.metric.name,
        "direction": study.metric.direction,
        **{name: row[name] for name in numbers},
        "data": str(data.get("source", "")),
        "data_fingerprint": study.data_fingerprint,
        "evaluated_on": str(data.get("evaluate_on", "")),
        "epochs": schedule.get("epochs", np.nan),
    }


def _section(study: Study, name: str) -> Mapping[str, Any]:
    section = study.baseline.recipe.get(name)
    return section if isinstance(section, Mapping) else {}


def _differences_in_measure(first: Study, second: Study) -> Iterator[str]:
    """Why numbers of the two studies are not of one kind; nothing where they are."""
    a, b = first.metric, second.metric
    for what, one, other in (
        ("the metric", a.name, b.name),
        ("what is better", a.direction, b.direction),
        ("the metric's unit", a.unit, b.unit),
        ("the data", first.data_fingerprint, second.data_fingerprint),
    ):
        if one != other:
            yield f"{what} ({one or 'not known'} and {other or 'not known'})"
    data, others = _section(first, "data"), _section(second, "data")
    judged = [
        *_EVALUATION,
        *(["val_fraction"] if "val" in (data.get("evaluate_on"), others.get("evaluate_on")) else []),
    ]
    for name in judged:
        if data.get(name) != others.get(name):
            yield f"data.{name} ({value_text(data.get(name))} and {value_text(others.get(name))})"


_EFFECTS = [
    *("effect", "alike", "study", "variant", "changes", "pairs", "difference", "low", "high", "p_holm"),
    *("verdict", "reason"),
]


def _effect_rows(
    comparisons: Sequence[Comparison], labels: Sequence[str], shared: Sequence[SharedEffect]
) -> Iterator[dict[str, Any]]:
    rows = [compared.summary.set_index("variant") for compared in comparisons]
    for effect in shared:
        for place, name in effect.variants.items():
            row = rows[place].loc[name]
            variant = next(v for v in comparisons[place].study.variants if v.name == name)
            fields = [f"{key}: {value_text(old)} → {value_text(new)}" for key, (old, new) in variant.changes.items()]
            yield {
                "effect": effect.name,
                "alike": effect.alike,
                "study": labels[place],
                "variant": name,
                "changes": "; ".join(fields),
                "low": row["difference_low"],
                "high": row["difference_high"],
                **{column: row[column] for column in ("pairs", "difference", "p_holm", "verdict", "reason")},
            }


def _contrasts(
    comparisons: Sequence[Comparison],
    labels: Sequence[str],
    shared: Sequence[SharedEffect],
    barred: Mapping[tuple[int, int], list[str]],
) -> pd.DataFrame:
    level, rows = 1 - _alpha(comparisons), []
    own = [_by_seed(compared) for compared in comparisons]
    for i, j in itertools.combinations(range(len(comparisons)), 2):
        if (i, j) in barred:
            continue
        names = [(BASELINES, comparisons[i].study.baseline.name, comparisons[j].study.baseline.name)]
        names += [(e.name, e.variants[i], e.variants[j]) for e in shared if {i, j} <= e.variants.keys()]
        for effect, one, other in names:
            found = contrast(own[i][one], own[j][other], level)
            rows.append({"effect": effect, "first": labels[i], "second": labels[j], **found._asdict()})
    table = pd.DataFrame(rows, columns=["effect", "first", "second", *Contrast._fields])
    table["p_holm"] = holm(table["p"].to_numpy(float))
    table["verdict"] = [DIFFERS if p < _alpha(comparisons) else UNSURE for p in table["p_holm"]]
    return table


def _by_seed(compared: Comparison) -> dict[str, pd.Series[float]]:
    """Variant -> its difference to the baseline by seed, and of the baseline its metric by seed; without NaN."""
    trials, pairs = compared.trials, compared.pairs
    base = compared.study.baseline.name
    found = {name: rows.set_index("seed")["difference"] for name, rows in pairs.groupby("variant")}
    empty = pd.Series(dtype=float)
    series = {variant.name: found.get(variant.name, empty) for variant in compared.study.variants}
    return series | {base: trials[trials["variant"] == base].set_index("seed")["metric"].dropna()}


def _shared_trials(studies: Sequence[Study], labels: Sequence[str]) -> pd.DataFrame:
    columns = ["first", "second", "variant_first", "variant_second", "seeds", "trials"]
    rows = []
    for i, j in itertools.combinations(range(len(studies)), 2):
        others = {trial.id: trial.variant for trial in reversed(studies[j].trials)}
        found: dict[tuple[str, str], list[int]] = {}
        for trial in studies[i].trials:
            if trial.id in others:
                found.setdefault((trial.variant, others[trial.id]), []).append(trial.seed)
        rows += [
            (labels[i], labels[j], *names, ", ".join(map(str, seeds)), len(seeds)) for names, seeds in found.items()
        ]
    return pd.DataFrame(rows, columns=columns)


def _fields(studies: Sequence[Study], labels: Sequence[str]) -> pd.DataFrame:
    """What differs is told against the first study, as a Variant's changes are told against its baseline."""
    base = studies[0].baseline.recipe
    changes = [differences(base, study.baseline.recipe) for study in studies[1:]]
    names = dict.fromkeys(name for change in changes for name in change)
    rows = []
    for name in names:
        old = next(change[name][0] for change in changes if name in change)
        rows.append([name, value_text(old), *(value_text(change.get(name, (old, old))[1]) for change in changes)])
    return pd.DataFrame(rows, columns=["field", *labels])


def _warnings(
    labels: Sequence[str], barred: Mapping[tuple[int, int], list[str]], comparisons: Sequence[Comparison]
) -> Iterator[str]:
    for (i, j), reasons in barred.items():
        yield (
            f"{labels[i]} and {labels[j]} are not measured alike, so no differences between them are shown. "
            f"They differ in {'; '.join(reasons)}."
        )
    for label, compared in zip(labels, comparisons, strict=True):
        planned, done = len(compared.trials), int(compared.trials["metric"].notna().sum())
        if done < planned:
            yield f"{label} has results of {done} of its {planned} Trials."
        if compared.study.sequential is not None:
            yield (
                f"{label} adds seeds where its own verdicts are open. Its own p and intervals hold under that; those "
                "of differences between studies take the number of seeds for fixed, and are too sure."
            )
