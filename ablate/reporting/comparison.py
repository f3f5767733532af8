"""The comparison that a study asks for, as numbers: what tables, figures and the terminal are made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ablate.reporting.design_results import DesignResults, design_results
from ablate.reporting.examples import Examples, examples_of
from ablate.reporting.frame import FINAL, teacher_frame, trial_frame
from ablate.reporting.judging import TEXTS, against_published, differences, means
from ablate.reporting.kept import Kept
from ablate.reporting.statistics import PairedDifference
from ablate.study.study import PublishedColumn, Study, Trial, Variant
from ablate.tracking.record import Record

#: The final metric that holds the number of trainable parameters, where a Trainable reports it.
PARAMETERS = "parameters"


@dataclass(frozen=True, eq=False)
class Comparison:
    """A study's results against its baseline."""

    study: Study
    trials: pd.DataFrame
    """`trial_frame`: one row per planned Trial."""
    pairs: pd.DataFrame
    """One row per Variant and seed with a result on both sides: `variant`, `seed`, `difference`."""
    summary: pd.DataFrame
    """One row per Variant, in the study's order: `variant`, `changes`, the columns of `MeanInterval` and of
    `judging.differences`, `parameters`, `flops` (of one image's forward pass), `seconds`, and for each published
    column `published.<label>` and what `judging.against_published` adds."""
    failures: pd.DataFrame
    """Trials without a result, those with the same story in one row: `variant`, `seeds`, `status`, `cause`, `error`."""
    teachers: pd.DataFrame
    """`teacher_frame`: one row per teacher; they are no results of the study."""
    designs: DesignResults
    """What the designs say beside the comparison with the baseline."""
    examples: Examples | None = None
    """Outcomes by held-out image, where the Trials' files are here."""
    beyond: tuple[Trial, ...] = ()
    """Finished Trials that other results would have asked a growing study for: they are in no number."""

    @property
    def metric_title(self) -> str:
        """`top-1 accuracy (%)`."""
        metric = self.study.metric
        return (metric.label or metric.name) + (f" ({metric.unit})" if metric.unit else "")


def comparison(study: Study, records: Mapping[str, Record], kept: Kept = Kept()) -> Comparison:  # noqa: B008 - frozen
    """Compare every Variant of the study with its baseline on what is known so far."""
    trials = trial_frame(study, records)
    return compare(study, trials, teacher_frame(study, records), kept)


def compare(study: Study, trials: pd.DataFrame, teachers: pd.DataFrame, kept: Kept = Kept()) -> Comparison:  # noqa: B008
    """The same from frames, wherever they come from: `trial_frame` and `teacher_frame`."""
    examples = examples_of(study, trials, kept)
    judged = differences(study, trials, examples)
    summary = means(study, trials).join(judged).reset_index()
    summary.insert(1, "changes", [describe(study, variant) for variant in study.variants])
    summary["pairs"] = summary["pairs"].fillna(0).astype(int)
    for column in ("verdict", "reason", *TEXTS):
        summary[column] = [text if isinstance(text, str) else "" for text in summary[column]]
    done = trials[trials["metric"].notna()]
    costs = [kept.cost(variant.recipe) for variant in study.variants]
    measured = pd.Series(_mean_of(done, FINAL + PARAMETERS, summary))
    summary["parameters"] = measured.fillna(pd.Series([cost.parameters if cost else np.nan for cost in costs]))
    summary["flops"] = [cost.flops if cost else np.nan for cost in costs]
    summary["seconds"] = _mean_of(done, "seconds", summary)
    published = pd.DataFrame(
        {label: pd.Series(given.values, dtype=float) for label, given in published_columns(study).items()},
    ).reindex(summary["variant"])
    beside = published.add_prefix("published.").join(against_published(study, trials, published))
    summary = summary.join(beside.reset_index(drop=True))
    pairs = PairedDifference(study.baseline.name, study.metric.direction).pairs(trials)
    designs = design_results(study, trials)
    return Comparison(study, trials, pairs, summary, _failures(trials), teachers, designs, examples, kept.beyond())


def aggregates(compared: Comparison) -> dict[str, dict[str, float]]:
    """Variant name -> the finite numbers of its row, for the Store's parent runs: `n`, `mean`, `difference`, ..."""
    numbers = compared.summary.set_index("variant").select_dtypes("number")
    return {
        str(variant): {str(name): float(value) for name, value in row.items() if np.isfinite(value)}
        for variant, row in numbers.iterrows()
    }


def published_columns(study: Study) -> dict[str, PublishedColumn]:
    """Label -> column; two columns of the same label are told apart by a number."""
    columns: dict[str, PublishedColumn] = {}
    for column in study.published:
        label, copies = column.label, 2
        while label in columns:
            label, copies = f"{column.label} ({copies})", copies + 1
        columns[label] = column
    return columns


def describe(study: Study, variant: Variant) -> str:
    """The Levels in which a Variant differs from the baseline; its changed fields where no Level says it."""
    if variant.name == study.baseline.name:
        return ""
    levels = [
        f"{factor.label or name}: {variant.levels[name]}"
        for name, factor in study.factors.items()
        if variant.levels.get(name, factor.reference) != factor.reference
    ]
    fields = [f"{name}: {value_text(old)} → {value_text(new)}" for name, (old, new) in variant.changes.items()]
    # A control makes the change of its Variant, and another one so that it costs no more.
    return "; ".join([*(levels or fields), *(["at equal parameters"] if variant.control_of else [])])


def value_text(value: Any) -> str:
    """A value of a Recipe as one writes it: strings bare, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _mean_of(done: pd.DataFrame, column: str, summary: pd.DataFrame) -> list[float]:
    if column not in done:
        return [float("nan")] * len(summary)
    means = done.groupby("variant")[column].mean()
    return [float(means.get(name, np.nan)) for name in summary["variant"]]


def _failures(trials: pd.DataFrame) -> pd.DataFrame:
    columns = ["variant", "status", "cause", "error"]
    without = trials.loc[trials["metric"].isna(), [*columns, "seed"]]
    rows = [
        {"variant": key[0], "seeds": ", ".join(map(str, group["seed"])), **dict(zip(columns[1:], key[1:], strict=True))}
        for key, group in without.groupby(columns, sort=False)
    ]
    return pd.DataFrame(rows, columns=["variant", "seeds", "status", "cause", "error"])
