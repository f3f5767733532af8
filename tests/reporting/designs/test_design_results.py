from __future__ import annotations

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ablate.reporting.design_cells import cells_of
from ablate.reporting.design_results import DesignResults, design_results
from ablate.reporting.frame import trial_frame
from ablate.study.study import Sequential, Study


def read(designs: SimpleNamespace, study: Study, **asked: object) -> DesignResults:
    return design_results(study, trial_frame(study, designs.records(study, **asked)))


def test_a_factorial_has_effects_variance_and_shares(designs: SimpleNamespace) -> None:
    """A row per Level and per pair of Levels, near what was put in; shares add up to the total."""
    found = read(designs, designs.study())
    effects = found.effects.set_index(["effect", "levels"])["estimate"]
    assert effects["posemb", "learned"] == pytest.approx(-1.5, abs=0.3)
    assert effects["posemb:pool", "none:cls"] == pytest.approx(2.0, abs=0.6)
    assert list(found.effects["kind"].value_counts()[["main", "interaction"]]) == [4, 5]
    assert set(found.effects["aliases"]) == {""}
    shares = found.shapley.groupby("factor")["share"].mean().sum()
    total = found.totals[found.totals["of"] == "shapley"]["estimate"].item()
    assert shares == pytest.approx(total, abs=1e-9)
    assert found.variance["effect"].iloc[-1] == "total"
    assert set(found.effects["block"]) == {0}


def test_effects_rest_on_the_seeds_that_results_did_not_ask_for(designs: SimpleNamespace) -> None:
    """Where seeds are added by results, effects, variance and shares are those of the first ones, whatever came later;
    where their number is fixed, later seeds count.
    """
    study = replace(designs.study(seeds=range(5)), sequential=Sequential(3, 5))
    trials = trial_frame(study, designs.records(study))
    later = trials["seed"].ge(3) & trials["variant"].ne("baseline")
    moved = trials.assign(metric=trials["metric"].where(~later, trials["metric"] + 7.0))
    before, after = design_results(study, trials), design_results(study, moved)
    assert before.effects.set_index("levels")["planned"]["cls"] == 3 * 6
    assert set(before.shapley["pairs"]) == set(before.shapley["planned"]) == {3}
    for name in ("effects", "variance", "shapley", "totals"):
        pd.testing.assert_frame_equal(getattr(before, name), getattr(after, name))
    fixed = replace(study, sequential=None)
    assert not design_results(fixed, trials).effects.equals(design_results(fixed, moved).effects)


def test_rungs_are_judged_as_their_seeds_were_chosen(designs: SimpleNamespace) -> None:
    """The same Trials of a ladder have wider intervals of gains where their number was not fixed beforehand."""
    fixed = designs.with_ladder(designs.study(seeds=range(4)))
    grown = replace(fixed, sequential=Sequential(3, 6))
    plain, wider = read(designs, fixed).rungs, read(designs, grown).rungs
    assert (wider["gain"].iloc[1:] == plain["gain"].iloc[1:]).all()
    assert (wider["gain_low"].iloc[1:] < plain["gain_low"].iloc[1:]).all()
    assert (wider["low"] < plain["low"]).all()
    assert set(wider["planned"]) == {4}


def test_a_study_without_designs_has_none(fake: SimpleNamespace) -> None:
    """Its frames are empty."""
    study = fake.study()
    found = design_results(study, trial_frame(study, {}))
    assert all(frame.empty for frame in vars(found).values())


def test_a_failed_trial_is_counted(designs: SimpleNamespace) -> None:
    """n says so, other seeds still give all effects, and only complete seeds have Shapley shares."""
    found = read(designs, designs.study(), lost=[("pool=cls", 1)])
    main = found.effects.set_index(["effect", "levels"]).loc[("pool", "cls")]
    assert (main["n"], main["planned"]) == (17, 18)
    assert set(found.shapley["pairs"]) == {2}


def test_a_fraction_has_only_what_it_can_tell(designs: SimpleNamespace) -> None:
    """Half of 2^3 (resolution III): three main effects with their aliases, no interactions, no shares."""
    factors = {"posemb": ("sincos2d", "learned"), "pool": ("gap", "cls"), "head": ("mlp", "linear")}
    every = [dict(zip(factors, combo, strict=True)) for combo in itertools.product(*factors.values())]
    half = [some for some in every if sum(some[f] != ls[0] for f, ls in factors.items()) % 2 == 0]
    aliases = {"posemb": ("pool:head",), "pool": ("posemb:head",), "head": ("posemb:pool",)}
    aliases |= {"posemb:pool": ("head",), "posemb:head": ("pool",), "pool:head": ("posemb",)}
    study = designs.study(factors=factors, assignments=half, design="fractional", resolution=3, aliases=aliases)
    found = read(designs, study)
    assert list(found.effects["effect"]) == ["posemb", "pool", "head"]
    assert list(found.effects["aliases"]) == ["pool:head", "posemb:head", "posemb:pool"]
    assert found.effects["p_holm"].notna().all()
    assert found.shapley.empty


def test_factors_whose_levels_go_together_are_one(designs: SimpleNamespace) -> None:
    """Zipped Factors cannot be told apart: one effect has both names."""
    factors = {"batch": ("1x", "4x"), "lr": ("1e-3", "2e-3"), "pool": ("gap", "cls")}
    cells = [{"batch": b, "lr": r, "pool": p} for b, r in (("1x", "1e-3"), ("4x", "2e-3")) for p in ("gap", "cls")]
    found = read(designs, designs.study(factors=factors, assignments=cells))
    assert list(found.effects["effect"]) == ["batch+lr", "pool", "batch+lr:pool"]
    assert found.effects["levels"].iloc[0] == "4x+2e-3"
    assert list(found.shapley["factor"]) == ["batch+lr", "pool"]


def test_zipped_factors_are_one_change_in_pairs(designs: SimpleNamespace) -> None:
    """A Factor that stands for another in its block is one change with it, alone and in a pair."""
    factors = {"batch": ("1x", "4x"), "lr": ("1e-3", "2e-3"), "pool": ("gap", "cls")}
    cells = [{"batch": b, "lr": r, "pool": p} for b, r in (("1x", "1e-3"), ("4x", "2e-3")) for p in ("gap", "cls")]
    study = designs.study(factors=factors, assignments=cells, design="pairs", zipped={"batch": ("lr",)})
    study = replace(study, blocks=(replace(study.blocks[0], factors=("batch", "pool")),))
    found = read(designs, study).interactions
    assert list(zip(found["first"], found["second"], strict=True)) == [("batch+lr=4x+2e-3", "pool=cls")]
    assert found["pairs"].item() == 3
    crossed = read(designs, replace(study, blocks=(replace(study.blocks[0], design="factorial"),)))
    assert list(crossed.effects["effect"]) == ["batch+lr", "pool", "batch+lr:pool"]


def test_a_block_says_where_a_merged_variant_stands(designs: SimpleNamespace) -> None:
    """A listed Variant that carries a combination of the design has its cell by the block, not by its own Levels."""
    study = designs.study(factors={"aug": ("on", "off"), "strength": ("5", "15")})
    listed = replace(study.variants[3], name="original", levels=study.variants[0].levels, also=())
    trials = tuple(replace(t, variant="original") if t.variant == study.variants[3].name else t for t in study.trials)
    block = replace(
        study.blocks[0],
        variants=(*study.blocks[0].variants[:3], "original"),
        cells={"original": {"aug": "off", "strength": "15"}},
    )
    study = replace(study, variants=(*study.variants[:3], listed), trials=trials, blocks=(block,))
    assert cells_of(study, block).full
    assert cells_of(study, block).variants == ("baseline", "strength=15", "aug=off", "original")


def test_a_merged_variant_fills_both_cells(designs: SimpleNamespace) -> None:
    """Where two combinations are one Recipe, the design is still full, and the one Variant stands in both."""
    factors = {"aug": ("on", "off"), "strength": ("5", "15")}
    study = designs.study(factors=factors)
    merged = replace(study.variants[2], also=("aug=off,strength=15",))
    block = replace(study.blocks[0], variants=study.blocks[0].variants[:3])
    trials = tuple(t for t in study.trials if t.variant != study.variants[3].name)
    study = replace(study, variants=(*study.variants[:2], merged), trials=trials, blocks=(block,))
    cells = cells_of(study, block)
    assert cells.full
    assert cells.variants.count("aug=off") == 2
    found = read(designs, study)
    frame = trial_frame(study, designs.records(study)).groupby("variant")["metric"].mean()
    expected = -(frame["strength=15"] - frame["baseline"])
    assert found.effects.set_index("effect")["estimate"]["aug:strength"] == pytest.approx(expected, abs=1e-9)


def test_only_selected_variants_are_read(designs: SimpleNamespace) -> None:
    """A block that names Variants which are not selected is read without them, Levels that nobody has drop out."""
    study = designs.study()
    kept = tuple(v for v in study.variants if v.levels["posemb"] != "none")
    names = {v.name for v in kept}
    study = replace(study, variants=kept, trials=tuple(t for t in study.trials if t.variant in names))
    found = read(designs, study)
    assert "none" not in set(found.effects["levels"])
    assert found.effects["reason"].eq("").all()
    assert len(found.shapley) == 3


def test_a_ladder_has_a_row_per_rung(designs: SimpleNamespace) -> None:
    """From the foot upwards, steps as the block has them, gains near what was put in, and a total."""
    study = designs.with_ladder(replace(designs.study(), blocks=()))
    found = read(designs, study)
    assert list(found.rungs["step"]) == ["", "posemb=learned", "pool=cls", "head=linear"]
    np.testing.assert_allclose(found.rungs["gain"].iloc[1:], [-1.5, -0.6, 0.9], atol=0.5)
    assert found.totals["estimate"].item() == pytest.approx(found.rungs["gain"].sum(), abs=1e-9)


def test_a_rung_may_have_another_name(designs: SimpleNamespace) -> None:
    """A rung that was merged into a listed Variant is found by that Variant's other name."""
    study = designs.with_ladder(replace(designs.study(), blocks=()))
    old = study.blocks[0].variants[-1]
    variants = tuple(replace(v, name="original", also=(old,)) if v.name == old else v for v in study.variants)
    trials = tuple(replace(t, variant="original") if t.variant == old else t for t in study.trials)
    found = read(designs, replace(study, variants=variants, trials=trials))
    assert found.rungs["variant"].iloc[-1] == "original"


def test_pairs_have_a_row_each(designs: SimpleNamespace) -> None:
    """Every two changes of different Factors, with what they do alone and together."""
    study = designs.with_pairs(replace(designs.study(), blocks=()))
    found = read(designs, study, lost=[("posemb=none,pool=cls", s) for s in (0, 1, 2)])
    table = found.interactions.set_index(["first", "second"])
    assert len(table) == 5
    assert table.loc[("posemb=learned", "pool=cls"), "interaction"] == pytest.approx(0, abs=0.6)
    gone = table.loc[("posemb=none", "pool=cls")]
    assert gone["pairs"] == 0
    assert np.isnan(gone["interaction"])


def test_designs_are_told_apart_by_their_place(designs: SimpleNamespace) -> None:
    """Two ladders and a factorial: `block` is the place in the study."""
    study = designs.with_ladder(designs.with_ladder(designs.study()), backward=True)
    found = read(designs, study)
    assert list(found.rungs["block"].unique()) == [0, 1]
    assert set(found.effects["block"]) == {2}
    assert list(found.totals["block"]) == [0, 1, 2]


def test_intervals_are_of_the_studys_alpha(designs: SimpleNamespace) -> None:
    """alpha 0.2 makes every interval narrower than 0.05 does."""
    study = designs.with_pairs(designs.with_ladder(designs.study()))
    wide = read(designs, study)
    narrow = read(designs, replace(study, analysis=replace(study.analysis, alpha=0.2)))
    for name, low, high in (
        ("effects", "low", "high"),
        ("rungs", "gain_low", "gain_high"),
        ("shapley", "low", "high"),
        ("interactions", "low", "high"),
    ):
        own, other = getattr(narrow, name), getattr(wide, name)
        assert ((own[high] - own[low]).dropna() < (other[high] - other[low]).dropna()).all()


def test_nothing_trained_is_no_error(designs: SimpleNamespace) -> None:
    """Before the first result every row is there and says that nothing is known."""
    study = designs.with_pairs(designs.with_ladder(designs.study()))
    found = design_results(study, trial_frame(study, {}))
    assert found.effects["estimate"].isna().all()
    assert (found.effects["reason"] != "").all()
    assert found.rungs["gain"].isna().all()
    assert found.shapley["share"].isna().all()
    assert (found.interactions["pairs"] == 0).all()
