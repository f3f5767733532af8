"""What the page says of single seeds when a reader points at a Variant."""

from __future__ import annotations

import math
from typing import Any

from ablate.reporting.captions import NOT_TRAINED
from ablate.reporting.comparison import Comparison
from ablate.reporting.page.embedded import short
from ablate.reporting.page.factors import moved_factors
from ablate.reporting.precision import difference_decimals, mean_decimals


def variants_data(comparison: Comparison) -> dict[str, Any]:
    """`variants`: for each in the study's order `[name, places of the Factors that it moves, seeds]`, where `seeds` are
    `[seed, value, difference]`, or `[seed, why there is no value]`. `decimals`: of values and of differences.
    """
    study = comparison.study
    pairs = comparison.pairs
    differences = dict(zip(zip(pairs["variant"], pairs["seed"], strict=True), pairs["difference"], strict=True))
    seeds: dict[str, list[list[Any]]] = {variant.name: [] for variant in study.variants}
    trials = comparison.trials
    columns = (trials[name] for name in ("variant", "seed", "metric", "status", "cause"))
    for variant, seed, value, status, cause in zip(*columns, strict=True):
        if math.isfinite(value):
            difference = differences.get((variant, seed), math.nan)
            seeds[variant].append([seed, short(value), short(difference)])
        else:
            why = cause if isinstance(cause, str) and cause else status
            seeds[variant].append([seed, NOT_TRAINED if why == "missing" else why])
    factors = {name: place for place, name in enumerate(study.factors)}
    return {
        "decimals": [mean_decimals(comparison), difference_decimals(comparison)],
        "unit": study.metric.unit,
        "metric": comparison.metric_title,
        "variants": [
            [variant.name, [factors[name] for name in moved_factors(study, variant)], seeds[variant.name]]
            for variant in study.variants
        ],
    }
