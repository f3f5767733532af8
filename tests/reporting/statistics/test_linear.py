from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ablate.reporting.statistics.linear import HIGHER, RESIDUAL, SEEDS_ROW, TOTAL, CrossedEffects

NAN = float("nan")
TWO = {"a": ("off", "on"), "b": ("off", "on")}
THREE = {**TWO, "c": ("off", "on")}
MIXED = {"a": ("0", "1"), "b": ("0", "1", "2"), "c": ("0", "1")}


def frame(levels: Mapping[str, Sequence[str]], seeds: int, values: np.ndarray | None = None) -> pd.DataFrame:
    """One row per cell and seed; `values` is (cells, seeds)."""
    cells = list(itertools.product(*levels.values()))
    rows = [
        {**dict(zip(levels, cell, strict=True)), "variant": ",".join(cell), "seed": seed}
        for cell in cells
        for seed in range(seeds)
    ]
    data = pd.DataFrame(rows)
    return data.assign(metric=0.0 if values is None else np.asarray(values).reshape(-1))


def noisy(levels: Mapping[str, Sequence[str]], seeds: int = 3, lost: int = 0, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    cells = int(np.prod([len(own) for own in levels.values()]))
    data = frame(levels, seeds, 90 + rng.normal(0, 1, (cells, seeds)) + rng.normal(0, 0.5, seeds))
    data.loc[rng.choice(len(data), lost, replace=False), "metric"] = NAN
    return data


def row(effects: pd.DataFrame, effect: str, levels: str) -> pd.Series:
    return effects[(effects["effect"] == effect) & (effects["levels"] == levels)].iloc[0]


def test_effects_are_what_their_names_say() -> None:
    """Without noise, the estimates are the mean difference over the other Factors and the difference of differences."""
    means = {("off", "off"): 10.0, ("off", "on"): 12.0, ("on", "off"): 15.0, ("on", "on"): 16.0}
    values = np.array([[m, m + 1, m + 2] for m in means.values()])
    effects, _ = CrossedEffects(TWO)(frame(TWO, 3, values))
    assert row(effects, "a", "on")["estimate"] == pytest.approx(((15 - 10) + (16 - 12)) / 2)
    assert row(effects, "b", "on")["estimate"] == pytest.approx(((12 - 10) + (16 - 15)) / 2)
    assert row(effects, "a:b", "on:on")["estimate"] == pytest.approx(16 - 15 - 12 + 10)


@pytest.mark.parametrize("lost", [0, 3])
def test_a_saturated_model_is_that_of_statsmodels(lost: int) -> None:
    """Estimates, intervals and p equal an OLS with sum coding and seeds as blocks, with and without failed Trials."""
    smf = pytest.importorskip("statsmodels.formula.api")
    data = noisy(TWO, seeds=4, lost=lost)
    effects, _ = CrossedEffects(TWO, 0.9)(data)
    fit = smf.ols("metric ~ C(a, Sum) * C(b, Sum) + C(seed, Sum)", data.dropna()).fit()
    # statsmodels codes the first Level 1 and the last -1, so a change is -2 times its coefficient.
    for effect, name, times in (
        ("a", "C(a, Sum)[S.off]", -2),
        ("b", "C(b, Sum)[S.off]", -2),
        ("a:b", "C(a, Sum)[S.off]:C(b, Sum)[S.off]", 4),
    ):
        own = effects.set_index("effect").loc[effect]
        ends = np.sort(times * fit.conf_int(0.1).loc[name].to_numpy())
        assert own["estimate"] == pytest.approx(times * fit.params[name], rel=1e-9)
        assert [own["low"], own["high"]] == pytest.approx(list(ends), rel=1e-9)
        assert own["p"] == pytest.approx(fit.pvalues[name], rel=1e-8)


@pytest.mark.parametrize("lost", [0, 4])
def test_squares_and_errors_are_those_of_statsmodels(lost: int) -> None:
    """Type II squares equal `anova_lm`; standard errors are OLS's, scaled to `metric ~ variant + seed`."""
    smf, api = pytest.importorskip("statsmodels.formula.api"), pytest.importorskip("statsmodels.api")
    data = noisy(MIXED, lost=lost)
    done = data.dropna()
    effects, variance = CrossedEffects(MIXED)(data)
    model = smf.ols("metric ~ (C(a, Sum) + C(b, Sum) + C(c, Sum))**2 + C(seed, Sum)", done).fit()
    table = api.stats.anova_lm(model, typ=2)
    own = variance.set_index("effect")
    for effect in ("a", "b", "c", "a:b", "a:c", "b:c"):
        theirs = table.loc[":".join(f"C({name}, Sum)" for name in effect.split(":"))]
        assert own.loc[effect, "squares"] == pytest.approx(theirs["sum_sq"], rel=1e-8)
        assert own.loc[effect, "df"] == theirs["df"]
    pure = smf.ols("metric ~ C(variant) + C(seed)", done).fit()
    assert own.loc[RESIDUAL, "squares"] == pytest.approx(pure.ssr, rel=1e-8)
    assert own.loc[RESIDUAL, "df"] == pure.df_resid
    assert own.loc[HIGHER, "squares"] == pytest.approx(model.ssr - pure.ssr, rel=1e-8)
    assert own.loc["b", "f"] == pytest.approx(own.loc["b", "squares"] / 2 / pure.mse_resid, rel=1e-8)
    names = list(model.params.index)
    contrast = np.zeros(len(names))
    # Level 2 is coded -1 in both columns, Level 0 is 1 in the first: 2 less 0.
    contrast[names.index("C(b, Sum)[S.0]")], contrast[names.index("C(b, Sum)[S.1]")] = -2, -1
    theirs = model.t_test(contrast)
    found = row(effects, "b", "2")
    error = float(theirs.sd.item()) * np.sqrt(pure.mse_resid / model.mse_resid)
    reach = float((found["high"] - found["low"]) / 2)
    assert found["estimate"] == pytest.approx(theirs.effect.item(), rel=1e-8)
    assert reach == pytest.approx(error * stats.t.isf(0.025, pure.df_resid), rel=1e-8)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), seeds=st.integers(2, 4))
def test_balanced_squares_add_up(seed: int, seeds: int) -> None:
    """With no Trial missing, effects, seeds, higher interactions and residual are the total, and shares sum to 1."""
    _, variance = CrossedEffects(THREE)(noisy(THREE, seeds, seed=seed))
    parts = variance[variance["effect"] != TOTAL]
    total = variance.set_index("effect").loc[TOTAL, "squares"]
    assert parts["squares"].sum() == pytest.approx(total, rel=1e-9)
    assert parts["share"].sum() == pytest.approx(1.0, rel=1e-9)
    assert parts["df"].sum() == 8 * seeds - 1


@settings(max_examples=25, deadline=None)
@given(luck=st.lists(st.floats(-5, 5), min_size=3, max_size=3), shift=st.floats(-100, 100))
def test_the_luck_of_a_seed_changes_nothing(luck: list[float], shift: float) -> None:
    """What all Trials of a seed share is taken out: effects and intervals stay."""
    data = noisy(TWO)
    moved = data.assign(metric=data["metric"] + shift + np.array(luck)[data["seed"]])
    before, after = CrossedEffects(TWO)(data)[0], CrossedEffects(TWO)(moved)[0]
    for column in ("estimate", "low", "high"):
        np.testing.assert_allclose(after[column], before[column], atol=1e-9)


def test_an_interaction_of_three_factors_is_no_noise() -> None:
    """It stands in a row of its own and leaves the intervals of main effects alone."""
    data = noisy(THREE)
    sign = data[["a", "b", "c"]].eq("on").mul(2).sub(1).prod(axis=1)
    plain, strong = (CrossedEffects(THREE)(data.assign(metric=data["metric"] + k * sign)) for k in (0, 20))
    np.testing.assert_allclose(strong[0]["high"], plain[0]["high"], atol=1e-9)
    assert strong[1].set_index("effect").loc[HIGHER, "share"] > 0.9


def test_a_lost_cell_is_named() -> None:
    """Where a combination has no result, the effects that need it have no number and say which it is."""
    data = noisy(TWO)
    data.loc[(data["a"] == "on") & (data["b"] == "on"), "metric"] = NAN
    effects, _ = CrossedEffects(TWO)(data)
    assert effects["estimate"].isna().all()
    assert set(effects["reason"]) == {"no result of a=on with b=on"}
    assert effects["p_holm"].isna().all()


def test_a_lost_level_leaves_the_others() -> None:
    """A Level without any result is named; another Level of its Factor is still compared with the reference."""
    data = noisy(MIXED)
    data.loc[data["b"] == "2", "metric"] = NAN
    effects, _ = CrossedEffects(MIXED)(data)
    assert np.isfinite(row(effects, "b", "1")["estimate"])
    assert row(effects, "b", "2")["reason"] == "no result of b=2"
    assert row(effects, "b", "2")["n"] == 0


def test_levels_that_never_meet_have_no_interaction() -> None:
    """A combination that the design excludes takes its interaction out of model and family, and no main effect."""
    data = noisy(THREE)
    data = data[~((data["a"] == "on") & (data["b"] == "on"))]
    effects, _ = CrossedEffects(THREE)(data)
    assert "never meet" in row(effects, "a:b", "on:on")["left_out"]
    assert effects[effects["kind"] == "main"]["estimate"].notna().all()
    others = effects[(effects["kind"] == "interaction") & (effects["left_out"] == "")]
    assert others["p_holm"].max() <= 2 * others["p"].max() + 1e-12


def test_a_fraction_keeps_one_effect_of_each_alias() -> None:
    """In half of 2^4 (resolution IV) three of the six interactions are in the model; the others are left out."""
    factors = dict.fromkeys("abcd", ("0", "1"))
    data = noisy(factors)
    half = data[data[list("abcd")].astype(int).sum(axis=1) % 2 == 0]
    effects, _ = CrossedEffects(factors)(half)
    kept = effects[(effects["kind"] == "interaction") & (effects["left_out"] == "")]
    assert list(kept["effect"]) == ["a:b", "a:c", "a:d"]
    assert effects.loc[effects["left_out"] == "", "estimate"].notna().all()


def test_one_seed_is_judged_by_what_the_effects_leave() -> None:
    """With one seed and three Factors the residual is the highest interaction; with two Factors there is none."""
    effects, variance = CrossedEffects(THREE)(noisy(THREE, seeds=1))
    assert variance.set_index("effect").loc[RESIDUAL, "df"] == 1
    assert SEEDS_ROW not in set(variance["effect"])
    assert effects["low"].notna().all()
    effects, _ = CrossedEffects(TWO)(noisy(TWO, seeds=1))
    assert effects["estimate"].notna().all()
    assert effects["low"].isna().all()
    assert set(effects["reason"]) == {"too few results to judge by"}


@pytest.mark.parametrize("value", [NAN, 5.0])
def test_nothing_to_judge_by_is_no_verdict(value: float) -> None:
    """No result at all, or all alike: neither interval nor p, and no warning."""
    effects, variance = CrossedEffects(TWO)(frame(TWO, 3).assign(metric=value))
    assert effects["p"].isna().all()
    assert (effects["reason"] != "").all()
    assert variance["share"].isna().all()


def test_a_variant_in_two_cells_counts_once() -> None:
    """Where two cells are one Recipe, their Trials are not taken for twice as many."""
    data = noisy(THREE, seeds=5)
    same = data["variant"].isin(["on,on,off", "on,on,on"])
    values = data.loc[data["variant"] == "on,on,off", "metric"].to_numpy()
    data.loc[same, "metric"] = np.tile(values, 2)
    twice = CrossedEffects(THREE)(data)[0].set_index("effect")
    data.loc[same, "variant"] = "shared"
    once, variance = CrossedEffects(THREE)(data)
    once = once.set_index("effect")
    np.testing.assert_allclose(once["estimate"], twice["estimate"], atol=1e-9)
    width = {name: frame["high"] - frame["low"] for name, frame in (("once", once), ("twice", twice))}
    assert width["once"]["a"] > width["twice"]["a"]
    assert variance["p"].isna().all()


def test_intervals_cover_and_families_hold() -> None:
    """Over 20,000 null studies of 2 x 3 x 2 with 3 seeds, main effects' intervals cover 93 to 97 %, and each family
    has a wrong verdict in at most 5 % (+ 2 standard errors of the simulation).

    In a balanced design estimates are linear in the results and the residual is what row and column means leave, so
    all studies are computed at once; ten of them are compared with the real thing (relative 1e-6).
    """
    data, asked, rng = frame(MIXED, 3), CrossedEffects(MIXED), np.random.default_rng(11)
    unit = [asked(data.assign(metric=np.eye(len(data))[i]))[0]["estimate"].to_numpy() for i in range(len(data))]
    weights = np.array(unit).T  # (contrasts, Trials)
    results = rng.normal(0, 1, (20_000, 12, 3)) + rng.normal(0, 2, (20_000, 1, 3))
    rest = (
        results - results.mean(1, keepdims=True) - results.mean(2, keepdims=True) + results.mean((1, 2), keepdims=True)
    )
    df = 11 * 2
    error = np.sqrt((rest**2).sum((1, 2)) / df)[:, None] * np.sqrt((weights**2).sum(1))
    estimates = results.reshape(-1, 36) @ weights.T
    p = 2 * stats.t.sf(np.abs(estimates) / error, df)
    for k in range(10):
        effects, _ = asked(data.assign(metric=results[k].reshape(-1)))
        np.testing.assert_allclose(effects["p"], p[k], rtol=1e-6)
        np.testing.assert_allclose(effects["high"] - effects["low"], 2 * stats.t.isf(0.025, df) * error[k], rtol=1e-6)
    main = (effects["kind"] == "main").to_numpy()
    covered = np.abs(estimates[:, main]) < stats.t.isf(0.025, df) * error[:, main]
    assert 0.93 <= covered.mean() <= 0.97
    for family in (main, ~main):
        wrong = (p[:, family].min(axis=1) * family.sum() < 0.05).mean()  # Holm's first step
        assert wrong <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / len(p))
