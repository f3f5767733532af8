"""Main effects and interactions of two Factors in a crossed design, by a linear model with the seeds as blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ablate.reporting.statistics.crossed_fit import SEEDS, CrossedFit
from ablate.reporting.statistics.crossing import Term, contrasts
from ablate.reporting.statistics.families import holm

#: Rows of the table of variance beside the effects.
SEEDS_ROW, HIGHER, RESIDUAL, TOTAL = "seeds", "higher interactions", "residual", "total"
#: In the place of `HIGHER` where interactions of two Factors are not in the model.
LEFT_AND_HIGHER = "interactions left out, and higher"
MAIN, INTERACTION = "main", "interaction"
#: What a row of the effects says beside its numbers.
COLUMNS = ["effect", "kind", "levels", "first", "second", "n", "planned", "left_out", "reason"]


@dataclass(frozen=True)
class CrossedEffects:
    """Least squares on the Factors, the interactions of two of them and the seeds, in sum-to-zero coding.

    A main effect of a Level is the metric at that Level less the metric at the reference, averaged over the Levels of
    all other Factors, each combination counted once. An interaction is a difference of differences, (both changed -
    second alone) - (first alone - neither), averaged likewise: zero where the effects add up.

    Their errors come from the residual of the model with a mean for each Variant and each seed (`metric ~ variant +
    seed`), so that an interaction of three Factors does not pass as noise. With one seed there is no such residual;
    then it is what interactions of three and more Factors leave, which are taken as noise. The spread of a Trial is
    taken as the same everywhere. p values are adjusted by Holm's method in two families, the main effects and the
    interactions; an effect that was planned and has no test counts in its family.
    """

    levels: Mapping[str, Sequence[str]]
    """Factor -> its Levels, the reference first."""
    level: float = 0.95
    """Of the intervals, which are not adjusted."""

    def __call__(self, data: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Effects and the table of variance.

        ``data`` has a row per planned Trial: a column for each Factor with its Level, `seed`, `variant` and `metric`
        (NaN without a result). A Variant may stand in several cells whose Recipe is the same; its Trials then are rows
        of each, and count once in the errors.

        Effects: `effect` (`a`, `a:b`), `kind` (`main`, `interaction`), `levels` (`learned`, `learned:cls`), `first`
        and `second` (changes, `a=learned`), `estimate`, `low`, `high`, `p`, `p_holm`, `share` (of the variance, of the
        whole effect), `n` (Trials with a result at these Levels), `planned`, `left_out` (why it is not in the model),
        `reason` (why there is no estimate, or no interval).

        Variance, one row per effect in the model, then `SEEDS_ROW`, `HIGHER` or `LEFT_AND_HIGHER`, `RESIDUAL`, `TOTAL`:
        `effect`, `kind`, `df`, `squares` (of type II: after all terms that do not contain it; about the mean),
        `share` (of the total), `f` and `p` (of the whole effect, and of the higher interactions together), `p_holm` (in
        the same two families). Where the design is balanced the squares add up.
        """
        fit = CrossedFit(self.levels, data)
        variance, effects = _variance(fit), self._effects(fit)
        effects["share"] = effects["effect"].map(variance.set_index("effect")["share"])
        return effects, variance

    def _effects(self, fit: CrossedFit) -> pd.DataFrame:
        df = fit.error[1]
        reach = float(stats.t.isf((1 - self.level) / 2, df)) if df > 0 else float("nan")
        rows: list[dict[str, Any]] = []
        found: list[tuple[float, float]] = []
        for term in fit.terms:
            places, weights = contrasts(fit.counts, term)
            values, errors = np.full((2, len(places)), np.nan) if term.left_out else fit.estimates(term, weights)
            found += zip(values, errors, strict=True)
            lost = (term.left_out or _lost(fit, term)) if np.isnan(values).any() else ""
            for place, value in zip(places, values, strict=True):
                reason = lost if np.isnan(value) else _unjudged(fit)
                rows.append(_named(fit, term, place) | {"left_out": term.left_out, "reason": reason})
        table = pd.DataFrame(rows)
        estimate, error = np.array(found).T
        table["estimate"], table["low"], table["high"] = estimate, estimate - reach * error, estimate + reach * error
        table["p"] = 2 * stats.t.sf(np.abs(estimate) / error, df) if df > 0 else np.nan
        table["p_holm"] = _adjusted(table["p"], table["kind"], table["left_out"] == "")
        return table[[*COLUMNS[:5], "estimate", "low", "high", "p", "p_holm", *COLUMNS[5:]]]


def _named(fit: CrossedFit, term: Term, place: Sequence[int]) -> dict[str, Any]:
    """What a contrast is called, and on how many Trials at its Levels it rests."""
    at = [(fit.names[f], fit.levels[f][k]) for f, k in zip(term.factors, place, strict=True)]
    n, planned = (int((cells[:, term.factors] == place).all(axis=1).sum()) for cells in (fit.cells, fit.planned))
    return {
        "effect": ":".join(name for name, _ in at),
        "kind": MAIN if len(at) == 1 else INTERACTION,
        "levels": ":".join(level for _, level in at),
        "first": "=".join(at[0]),
        "second": "=".join(at[1]) if len(at) > 1 else "",
        "n": n,
        "planned": planned,
    }


def _lost(fit: CrossedFit, term: Term) -> str:
    """Which Levels, or pairs of them, have not a single result, so that an effect is unknown."""
    gone: dict[tuple[tuple[int, int], ...], str] = {}
    for other in (t for t in fit.terms if not t.left_out and set(t.factors) & set(term.factors)):
        for place in np.ndindex(*(fit.counts[f] for f in other.factors)):
            at = tuple(zip(other.factors, place, strict=True))
            if any((one,) in gone for one in at) or (fit.cells[:, other.factors] == place).all(axis=1).any():
                continue
            gone[at] = " with ".join(f"{fit.names[f]}={fit.levels[f][k]}" for f, k in at)
    return f"no result of {', '.join(gone.values())}" if gone else "too few results to tell it from other effects"


def _unjudged(fit: CrossedFit) -> str:
    variance, df = fit.error
    if variance == variance:
        return ""
    return "no spread to judge by" if df > 0 else "too few results to judge by"


def _variance(fit: CrossedFit) -> pd.DataFrame:
    """Sums of squares of type II, and what the seeds, higher interactions and the residual have."""
    error, df = fit.error
    total = float(fit.y @ fit.y)
    kept = [term for term in fit.terms if not term.left_out]
    rows: list[dict[str, Any]] = []
    for term in kept:
        squares, own = fit.added(term.factors, [t.factors for t in kept if not term.within(t)] + [SEEDS])
        f = squares / own / error if own and fit.distinct else np.nan
        kind = MAIN if len(term.factors) == 1 else INTERACTION
        name = ":".join(fit.names[f] for f in term.factors)
        p = float(stats.f.sf(f, own, df)) if f == f else np.nan
        rows.append({"effect": name, "kind": kind, "df": own, "squares": squares, "f": f, "p": p})
    if fit.seeds > 1:
        squares, own = fit.added(SEEDS, [term.factors for term in kept])
        rows.append({"effect": SEEDS_ROW, "df": own, "squares": squares})
    left, left_df = fit.left
    pure, pure_df = fit.pure
    if fit.distinct and pure_df > 0:
        if left_df > pure_df:
            own, squares = left_df - pure_df, max(left - pure, 0.0)
            f = squares / own / error
            p = float(stats.f.sf(f, own, df)) if f == f else np.nan
            name = LEFT_AND_HIGHER if any(term.left_out for term in fit.terms) else HIGHER
            rows.append({"effect": name, "df": own, "squares": squares, "f": f, "p": p})
        left, left_df = pure, pure_df
    rows.append({"effect": RESIDUAL, "df": left_df, "squares": left})
    rows.append({"effect": TOTAL, "df": max(len(fit.y) - 1, 0), "squares": total})
    table = pd.DataFrame(rows, columns=["effect", "kind", "df", "squares", "share", "f", "p", "p_holm"])
    table["kind"] = table["kind"].fillna("").astype(str)
    table["share"] = table["squares"] / total if total > fit.scatter else np.nan
    table["p_holm"] = _adjusted(table["p"], table["kind"], table["kind"] != "")
    return table


def _adjusted(p: pd.Series, kind: pd.Series, member: pd.Series) -> pd.Series:
    """Holm's method within each kind, over the rows that are members; NaN elsewhere."""
    adjusted = pd.Series(np.nan, p.index)
    for _, own in p[member].groupby(kind[member]):
        adjusted[own.index] = holm(own)
    return adjusted
