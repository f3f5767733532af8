"""A comparison's numbers as the frames that Python users ask for: one question, one frame, short names."""

from __future__ import annotations

import pandas as pd

from ablate.reporting.comparison import Comparison, published_columns

_DIFFERENCE = {"difference_low": "low", "difference_high": "high"}
_FIRST = ["variant", "changes", "pairs", "difference", "low", "high", "p", "p_holm", "verdict", "reason"]
#: Of the summary, what belongs to the Variant and not to its difference.
_OWN = ["n", "planned", "mean", "std", "low", "high", "parameters", "flops", "seconds"]


def variants(comparison: Comparison) -> pd.DataFrame:
    """One row per Variant, the baseline first: what was measured of it alone."""
    return comparison.summary[["variant", "changes", *_OWN]].copy()


def effects(comparison: Comparison) -> pd.DataFrame:
    """One row per Variant but the baseline: its difference, and all that was concluded from it."""
    summary = comparison.summary
    out = [*_OWN, "half", "difference_half"]
    out += [name for name in map(str, summary.columns) if name.partition(".")[0] in _PUBLISHED]
    table = summary.drop(columns=[name for name in out if name in summary]).rename(columns=_DIFFERENCE)
    table = table[table["variant"] != comparison.study.baseline.name]
    return table[[*_FIRST, *(name for name in table if name not in _FIRST)]].reset_index(drop=True)


#: Before the dot in the summary's columns of published numbers.
_PUBLISHED = ("published", "minus", "minus_low", "minus_high", "stands")


def published(comparison: Comparison) -> pd.DataFrame:
    """One row per published number, beside what was measured."""
    summary, rows = comparison.summary, []
    for label, column in published_columns(comparison.study).items():
        there = summary[summary[f"published.{label}"].notna()]
        table = there[["variant", "mean", "n"]].copy()
        table.insert(1, "column", label)
        table.insert(2, "published", there[f"published.{label}"])
        for name, kind in (("minus", "minus"), ("low", "minus_low"), ("high", "minus_high"), ("stands", "stands")):
            table[name] = there[f"{kind}.{label}"]
        table["source"] = column.source
        rows.append(table)
    names = ["variant", "column", "published", "mean", "n", "minus", "low", "high", "stands", "source"]
    return pd.concat(rows, ignore_index=True)[names] if rows else pd.DataFrame(columns=names)


def main_effects(comparison: Comparison) -> pd.DataFrame:
    """Of crossed designs, the effects of single Factors."""
    table = comparison.designs.effects
    return table[table["kind"] == "main"].drop(columns="kind").reset_index(drop=True)


def interactions(comparison: Comparison) -> pd.DataFrame:
    """Of crossed designs, and of pairs, in one frame: `estimate` is how much together exceeds the sum of both."""
    crossed, pairs = comparison.designs.effects, comparison.designs.interactions
    parts = []
    if len(crossed) or not len(pairs):
        parts.append(crossed[crossed["kind"] == "interaction"].drop(columns="kind"))
    if len(pairs):
        named = pairs.rename(columns={"interaction": "estimate"})
        named.insert(1, "effect", named["first"] + ":" + named["second"])
        parts.append(named)
    return pd.concat(parts, ignore_index=True)
