"""Accuracy by class: in which classes a Variant differs from the baseline."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablate.reporting import methods, numbers
from ablate.reporting.comparison import Comparison
from ablate.reporting.examples import Examples
from ablate.reporting.judging import judge_of
from ablate.reporting.named_table import NamedTable
from ablate.reporting.precision import column_decimals
from ablate.reporting.statistics import Judge, Pairs, holm
from ablate.study.study import Study

COLUMNS = (
    "variant",
    "class",
    "class_name",
    "n_images",
    "baseline",
    "accuracy",
    "difference",
    "low",
    "high",
    "pairs",
    "p",
    "p_holm",
)
#: What a table shows of many rows: so many classes of a Variant, and of so many Variants.
_CLASSES, _VARIANTS = 3, 20
#: A table of no more rows than this is shown whole.
_WHOLE = 30


def class_differences(study: Study, examples: Examples) -> pd.DataFrame:
    """One row per Variant but the baseline and class, in the study's order and that of the labels.

    Columns: `variant`, `class` (the label), `class_name` (the label again where it has none), `n_images`,
    `baseline` and `accuracy` (%, means over the seeds on both sides), `difference`, `low`, `high` (of the interval
    over seeds, at 1 - `analysis.alpha`, not adjusted), `pairs`, `p` (of its test) and `p_holm` (over the
    classes of this Variant). Interval and p are NaN with fewer than two pairs, or where all pairs differ by the same
    amount; differences that are all zero have p = 1.
    """
    labels_K, first_K, n_K = np.unique(np.sort(examples.label), return_index=True, return_counts=True)
    by_label_N = np.argsort(examples.label, kind="stable")

    def accuracy(name: str, rows: list[int]) -> NDArray[np.float64]:
        """(S, K), percent."""
        right_SN = examples.correct[name][rows][:, by_label_N]
        counts: NDArray[np.int64] = np.add.reduceat(right_SN, first_K, axis=1, dtype=np.int64)
        return 100 * counts / n_K

    base, own = study.baseline.name, examples.seeds
    names = [examples.class_name(int(label)) for label in labels_K]
    frames = [pd.DataFrame(columns=list(COLUMNS))]
    for name in (v.name for v in study.variants if v.name != base and v.name in own):
        seeds = examples.common_seeds(name, base)
        if seeds:
            of_base, of_own = (accuracy(side, [own[side].index(seed) for seed in seeds]) for side in (base, name))
            head = {"variant": name, "class": labels_K, "class_name": names, "n_images": n_K}
            frames.append(pd.DataFrame(head | _paired(of_base, of_own, judge_of(study)), columns=list(COLUMNS)))
    return pd.concat(frames[1:] or frames, ignore_index=True)


def _paired(baseline_SK: NDArray[np.float64], accuracy_SK: NDArray[np.float64], judge: Judge) -> dict[str, Any]:
    """The columns from `baseline` on, one value for each class."""
    pairs = Pairs.of_contrasts(accuracy_SK - baseline_SK, 100.0)
    tests = judge(pairs)
    return {
        "baseline": baseline_SK.mean(axis=0),
        "accuracy": accuracy_SK.mean(axis=0),
        "difference": np.where(pairs.zero, 0.0, pairs.mean),
        "low": tests.low,
        "high": tests.high,
        "pairs": pairs.n,
        "p": tests.p,
        "p_holm": holm(tests.p),
    }


def class_table(comparison: Comparison) -> NamedTable | None:
    """Differences by class; None where no outcomes by image are here. Its numbers are whole, its text the clearest."""
    if comparison.examples is None:
        return None
    found = class_differences(comparison.study, comparison.examples)
    if found.empty:
        return None
    shown = most_different(found)
    halves = (shown["high"] - shown["low"]) / 2
    decimals = column_decimals(shown["difference"], halves, [*shown["low"], *shown["high"]], least=1)
    with_interval = partial(numbers.with_interval, decimals=decimals)
    text = pd.DataFrame(
        {
            "Variant": shown["variant"],
            "Class": shown["class_name"],
            "Images": shown["n_images"].map(str),
            "Baseline": [numbers.number(value, 1) for value in shown["baseline"]],
            "Accuracy": [numbers.number(value, 1) for value in shown["accuracy"]],
            "Difference": list(map(with_interval, shown["difference"], shown["low"], shown["high"])),
            "p (Holm)": shown["p_holm"].map(numbers.p_value),
        }
    )
    return NamedTable("classes", "Accuracy by class (%)", text, found, _caption(comparison.study, found, shown))


def most_different(found: pd.DataFrame) -> pd.DataFrame:
    """What a page shows of `class_differences`: all if it is short, else the classes with the largest differences.

    Of each Variant the three largest, in falling order, and of more than 20 Variants those of the 20 in which a class
    differs most. Classes without any difference are left out.
    """
    if len(found) <= _WHOLE:
        return found.reset_index(drop=True)
    size = found["difference"].abs()
    largest = size.groupby(found["variant"]).max().nlargest(_VARIANTS).index
    kept = found[found["variant"].isin(largest) & (size > 0)]
    place = pd.Series({name: i for i, name in enumerate(found["variant"].unique())})
    order = pd.DataFrame({"variant": kept["variant"].map(place), "size": -size[kept.index]})
    kept = kept.loc[order.sort_values(["variant", "size"], kind="stable").index]
    return kept.groupby("variant", sort=False).head(_CLASSES).reset_index(drop=True)


def _caption(study: Study, found: pd.DataFrame, shown: pd.DataFrame) -> str:
    parts = [
        f"Share of a class's {'validation' if _on_val(study) else 'test'} images that are predicted right, in percent: "
        "means over the seeds with outcomes by image on both sides.",
        f"Difference: Variant − baseline, paired by seed, with its {methods.interval(study)} over seeds, on these "
        "images; not adjusted.",
        f"p: {methods.paired_test(study)}, adjusted by Holm's method over the classes of one Variant. Where all seeds "
        "differ by the same amount there is neither.",
    ]
    if len(shown) < len(found):
        many = found["variant"].nunique() > _VARIANTS
        of = f"of each of the {_VARIANTS} Variants with the largest" if many else "of each Variant"
        parts.append(
            f"Shown are the {_CLASSES} largest differences {of}: {len(shown)} of {len(found):,} rows, chosen for their "
            "size, so that p says more than they do. The file has all."
        )
    return " ".join(parts)


def _on_val(study: Study) -> bool:
    data = study.baseline.recipe.get("data")
    return isinstance(data, dict) and data.get("evaluate_on") == "val"
