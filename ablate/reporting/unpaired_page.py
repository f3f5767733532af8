"""Results whose seeds pair nothing: each Variant's runs against the baseline's as two independent samples."""

from __future__ import annotations

import pandas as pd

from ablate.reporting import methods, numbers
from ablate.reporting.across_contrasts import contrast
from ablate.reporting.captions import better, failures_caption
from ablate.reporting.comparison import Comparison
from ablate.reporting.named_table import NamedTable
from ablate.reporting.precision import column_decimals
from ablate.reporting.statistics import HELPS, HURTS, UNSURE, holm
from ablate.reporting.table_page import TablePage
from ablate.reporting.tables import failures_table
from ablate.wording import plural


def unpaired_page(compared: Comparison) -> TablePage:
    """The comparison by Welch's test, the runs without a result, and what the study's header says."""
    study = compared.study
    tables = [_comparison(compared)]
    failures = failures_table(compared)
    if len(failures):
        caption = failures_caption(compared)
        tables.append(NamedTable("failures", "Without a result", failures, compared.failures, caption))
    if study.header:
        about = pd.DataFrame({"Field": list(study.header), "Value": list(study.header.values())})
        tables.append(NamedTable("about", "What these runs are", about, about, "How the runs were read, and chosen."))
    return TablePage(
        f"{study.name} · {study.profile}",
        study.question,
        (),
        tuple(tables),
        possible=("comparison", "failures", "about"),
    )


def unpaired_differences(compared: Comparison) -> pd.DataFrame:
    """One row per Variant but the baseline: `variant`, the fields of `Contrast` (Variant less baseline, by Welch's
    test), `p_holm` and `verdict`.
    """
    study, trials = compared.study, compared.trials[compared.trials["metric"].notna()]
    alpha, base = study.analysis.alpha, study.baseline.name
    samples = {str(name): rows.set_index("seed")["metric"] for name, rows in trials.groupby("variant")}
    nothing = pd.Series(dtype=float)
    rows = [
        {"variant": v.name, **contrast(samples.get(base, nothing), samples.get(v.name, nothing), 1 - alpha)._asdict()}
        for v in study.variants[1:]
    ]
    table = pd.DataFrame(rows, columns=["variant", "estimate", "low", "high", "p", "pairs", "test", "reason"])
    table["p_holm"] = holm(table["p"].to_numpy(float))
    up = study.metric.direction == "maximize"
    table["verdict"] = [
        UNSURE if not p < alpha else HELPS if (estimate > 0) == up else HURTS
        for p, estimate in zip(table["p_holm"], table["estimate"], strict=True)
    ]
    return table


def _comparison(compared: Comparison) -> NamedTable:
    study, summary = compared.study, compared.summary
    found = summary[["variant", "changes", "n", "planned", "mean", "half"]].merge(
        unpaired_differences(compared), on="variant", how="left"
    )
    means = column_decimals(found["mean"], found["half"])
    halves = (found["high"] - found["low"]) / 2
    decimals = column_decimals(found["estimate"], halves, [*found["low"], *found["high"]])
    differences = [
        numbers.with_interval(estimate, low, high, decimals)
        for estimate, low, high in zip(found["estimate"], found["low"], found["high"], strict=True)
    ]
    text = pd.DataFrame(
        {
            "Variant": found["variant"],
            "n": [f"{n}/{planned}" for n, planned in zip(found["n"], found["planned"], strict=True)],
            compared.metric_title: [
                numbers.with_half_width(mean, half, means)
                for mean, half in zip(found["mean"], found["half"], strict=True)
            ],
            "Difference": ["baseline", *differences[1:]],
            "p (Holm)": list(map(numbers.p_value, found["p_holm"])),
            "Verdict": [text if isinstance(text, str) else numbers.NOTHING for text in found["verdict"]],
        }
    )
    level = methods.level(study)
    caption = (
        f"{compared.metric_title}, {better(study)}: mean over the runs with a result ± half the width of its {level} "
        "t interval. n: runs with a result of those found. Difference: mean of the Variant's runs − mean of the "
        "baseline's, which are taken for independent samples, as nothing says which runs share their luck; in brackets "
        f"its {level} interval by Welch's t test, not adjusted. p: of that test, adjusted by Holm's method over the "
        f"{plural(len(found) - 1, 'comparison')} of this table; Verdict by it at {study.analysis.alpha:g}. A run "
        "without a result lowers n; nothing is imputed."
    )
    return NamedTable("comparison", "Comparison", text, found, caption)
