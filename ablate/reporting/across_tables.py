"""The tables of studies beside each other, and the words that say what they are."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from ablate.reporting import numbers
from ablate.reporting.across import BASELINES, Across
from ablate.reporting.across_effects import SAME_CHANGE
from ablate.reporting.named_table import NamedTable
from ablate.reporting.precision import column_decimals
from ablate.reporting.statistics.verdicts import verdict_text
from ablate.wording import plural

#: Name of the figure below the shared effects.
FIGURE = "effects"
#: Names of all tables that there may be.
TABLES = ("baselines", "effects", "contrasts", "shared-trials", "baseline-fields")


def across_tables(found: Across) -> tuple[NamedTable, ...]:
    """Those that have something to show, the baselines first."""
    tables = (_baselines(found), _effects(found), _contrasts(found), _trials(found), _fields(found))
    return tuple(table for table in tables if len(table.text))


def lead(found: Across) -> str:
    """What is compared, in a sentence."""
    shared = found.effects["effect"].nunique() if len(found.effects) else 0
    studies = ", ".join(f"{c.study.name} at profile {c.study.profile}" for c in found.comparisons)
    said = (
        plural(shared, "effect") + " that at least two of them share" if shared else "no effect that two of them share"
    )
    return f"{studies}, beside each other: their baselines, and {said}."


def _baselines(found: Across) -> NamedTable:
    table = found.baselines
    decimals = column_decimals(table["mean"], table["half"], least=_least(found))
    metrics = [compared.metric_title for compared in found.comparisons]
    title = metrics[0] if len(set(metrics)) == 1 else "Baseline"
    means = [
        numbers.with_half_width(mean, half, decimals) for mean, half in zip(table["mean"], table["half"], strict=True)
    ]
    columns = {
        "Study": table["study"],
        "Profile": table["profile"],
        "Metric": metrics,
        title: means,
        "n": [f"{n}/{planned}" for n, planned in zip(table["n"], table["planned"], strict=True)],
        "Data": [value or numbers.NOTHING for value in table["data"]],
        "Evaluated on": [value or numbers.NOTHING for value in table["evaluated_on"]],
        "Epochs": [f"{epochs:g}" if epochs == epochs else numbers.NOTHING for epochs in table["epochs"]],
        "Parameters": list(map(numbers.count, table["parameters"])),
        "Time": list(map(numbers.duration, table["seconds"])),
    }
    # What is the same for all stands above the table, or in a title.
    same = ["Profile"] * (table["profile"].nunique() == 1) + ["Metric"] * (title != "Baseline")
    text = pd.DataFrame({name: cells for name, cells in columns.items() if name not in same})
    caption = (
        f"{title}: of the baseline, mean over the seeds with a result ± half the width of its interval. n: seeds "
        "with a result of those planned. Time: of training one Trial, as measured where it ran."
    )
    return NamedTable("baselines", "Baselines", text, table, caption)


def _effects(found: Across) -> NamedTable:
    table = found.effects
    decimals = _decimals(found, table, "difference")
    margins = {
        label: (compared.study.analysis.margin, compared.study.metric.unit)
        for label, compared in zip(found.labels, found.comparisons, strict=True)
    }
    repeated = table["effect"].duplicated()
    text = pd.DataFrame(
        {
            "Effect": ["" if again else name for name, again in zip(table["effect"], repeated, strict=True)],
            "Study": table["study"],
            "Changes": table["changes"],
            "Pairs": table["pairs"].astype(str),
            "Difference": _intervals(table, "difference", decimals),
            "p (Holm)": list(map(numbers.p_value, table["p_holm"])),
            "Verdict": [
                verdict_text(verdict, *margins[label])
                for verdict, label in zip(table["verdict"], table["study"], strict=True)
            ],
        }
    )
    caption = (
        "Effects that at least two of the studies have: the same Level of the same Factor, or the same fields set to "
        "the same values. Difference, p and Verdict are those of each study's own report, against its own baseline and "
        "adjusted for its own comparisons; Pairs are the seeds with a result on both sides."
    )
    unlike = table.loc[table["alike"] != SAME_CHANGE].drop_duplicates("effect")
    if len(unlike):
        named = "; ".join(f"{row.effect} ({row.alike})" for row in unlike.itertuples())
        caption += f" Not the same change in all of them: {named}."
    return NamedTable("effects", "Effects that the studies share", text, table, caption, (FIGURE,))


def _contrasts(found: Across) -> NamedTable:
    table = found.contrasts
    decimals = _decimals(found, table, "estimate")
    text = pd.DataFrame(
        {
            "Effect": table["effect"],
            "Studies": [f"{second} − {first}" for first, second in zip(table["first"], table["second"], strict=True)],
            "Pairs": table["pairs"].astype(str),
            "Difference": _intervals(table, "estimate", decimals),
            "p (Holm)": list(map(numbers.p_value, table["p_holm"])),
            "Verdict": table["verdict"],
            "Test": [test or reason for test, reason in zip(table["test"], table["reason"], strict=True)],
        }
    )
    caption = (
        f"How much an effect differs between two studies: its difference to the baseline in one less that in the "
        f"other, with a {100 * (1 - found.alpha):g} % interval that is not adjusted; for {BASELINES!r}, the metric of "
        "one baseline less that of the other. Paired t test over the seeds that both studies have, Welch's t test "
        f"where they have none in common; p adjusted by Holm's method over the {plural(len(table), 'row')} of this "
        f"table, Verdict by it at {found.alpha:g}. An effect with a verdict in one study and none in the other does "
        "not differ between them for that reason: this table says whether it does."
    )
    return NamedTable("contrasts", "Do the effects differ between the studies?", text, table, caption)


def _trials(found: Across) -> NamedTable:
    table = found.trials
    text = pd.DataFrame(
        {
            "Studies": [f"{first}, {second}" for first, second in zip(table["first"], table["second"], strict=True)],
            "Variant": [
                one if one == other else f"{one}; {other}"
                for one, other in zip(table["variant_first"], table["variant_second"], strict=True)
            ],
            "Seeds": table["seeds"],
        }
    )
    caption = (
        "Trials that are the very same in two studies, trained once: the same Recipe, seed and data. Where the name is "
        "not the same in both, the first study's comes first."
    )
    return NamedTable("shared-trials", "Trials that the studies share", text, table, caption)


def _fields(found: Across) -> NamedTable:
    table = found.fields
    text = table.rename(columns={"field": "Field"})
    text.columns = pd.Index([text.columns[0], *(f"{label}: baseline" for label in found.labels)])
    caption = (
        "Every field of the Recipe in which the baselines differ. Whatever differs between the studies' effects may be "
        "owed to any of them."
    )
    return NamedTable("baseline-fields", "Fields in which the baselines differ", text, table, caption)


def _intervals(table: pd.DataFrame, value: str, decimals: int | None) -> list[str]:
    return [
        numbers.with_interval(estimate, low, high, decimals)
        for estimate, low, high in zip(table[value], table["low"], table["high"], strict=True)
    ]


def _decimals(found: Across, table: pd.DataFrame, value: str) -> int | None:
    halves: Iterable[float] = (table["high"] - table["low"]) / 2
    return column_decimals(table[value], halves, [*table["low"], *table["high"]], _least(found))


def _least(found: Across) -> int:
    """A percentage is read to a tenth at least, as in the studies' own reports."""
    return 1 if all(compared.study.metric.unit == "%" for compared in found.comparisons) else 0
