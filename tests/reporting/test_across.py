"""Studies beside each other: which effects they share, whether these differ, and what forbids to ask."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy import stats

from ablate.reporting.across import BASELINES, DIFFERS, across
from ablate.reporting.across_contrasts import PAIRED, WELCH, contrast
from ablate.reporting.across_effects import OTHER_REFERENCE, OTHER_SETTINGS, SAME_CHANGE, shared_effects
from ablate.reporting.across_report import across_page
from ablate.reporting.comparison import comparison
from ablate.reporting.table_page import to_html, to_markdown, write_page
from ablate.study.study import Metric, Sequential, Trial

NONE, CLS = "position=none", "pool=cls"


@pytest.fixture
def compared(fake):
    """A comparison of a study of that name, with ids of its own; `values`: Variant -> metric by seed."""

    def make(name, values, seeds=(0, 1, 2), **fields):
        study = fake.study(tuple(values), seeds, name=name, **fields)
        records = fake.records(study, values)
        trials = tuple(Trial(f"{name}-{t.id}", t.variant, t.seed, t.recipe) for t in study.trials)
        records = {f"{name}-{i}": replace(record, trial_id=f"{name}-{i}") for i, record in records.items()}
        return comparison(replace(study, trials=trials), records)

    return make


@pytest.fixture
def two(compared):
    """Two studies: in the second one the position matters much less, and the pooling as much."""
    first = compared("vit", {"baseline": [90, 91, 92.0], NONE: [70, 71.5, 71.8], CLS: [89, 90.2, 90.9]})
    second = compared("ceit", {"baseline": [95, 96, 96.5], NONE: [94.8, 95.9, 96.7], "x": [94, 94, 95.0]})
    return first, second


def changed(compared, name, changes, variant=NONE):
    """The same study, in which a Variant changes other fields."""
    variants = tuple(replace(v, changes=changes) if v.name == variant else v for v in compared.study.variants)
    return replace(compared.study, name=name, variants=variants)


def test_a_difference_of_differences_is_that_of_scipy_paired_by_seed(two):
    """Estimate, interval and p are those of a paired t test of the two studies' differences, seed by seed."""
    row = across(two).contrasts.set_index("effect").loc[NONE]
    first, second = np.array([-20, -19.5, -20.2]), np.array([-0.2, -0.1, 0.2])
    expected = stats.ttest_rel(second, first)
    low, high = expected.confidence_interval(0.95)
    assert (row["estimate"], row["low"], row["high"]) == pytest.approx((np.mean(second - first), low, high), rel=1e-9)
    assert row["p"] == pytest.approx(expected.pvalue, rel=1e-9)
    assert (row["pairs"], row["test"], row["verdict"]) == (3, PAIRED, DIFFERS)


def test_studies_without_common_seeds_are_compared_by_welch():
    """With disjoint seeds the two samples are independent, and the test is Welch's."""
    first, second = pd.Series([1.0, 2.0, 4.0], [0, 1, 2]), pd.Series([5.0, 9.0, 7.5, 8.0], [10, 11, 12, 13])
    found = contrast(first, second)
    expected = stats.ttest_ind(second, first, equal_var=False)
    assert (found.test, found.pairs) == (WELCH, 0)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-9)


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ({0: 1.0}, {0: 2.0}, "one pair of seeds"),
        ({0: 1.0, 1: 2.0}, {1: 2.0, 2: 3.0}, "one pair of seeds"),
        ({0: 1.0}, {1: 2.0, 2: 3.0}, "no seed in common"),
        ({}, {1: 2.0}, "no result"),
        ({0: 1.0, 1: 2.0}, {0: 2.0, 1: 3.0}, "same amount"),
        ({0: 1.0, 1: 2.0}, {0: 1.0, 1: 2.0}, "no difference in any seed"),
    ],
)
def test_without_a_spread_there_is_no_test_and_a_reason(first, second, reason):
    """Where no interval can be had, there is none and no p, and it is said why."""
    found = contrast(pd.Series(first, dtype=float), pd.Series(second, dtype=float))
    assert math.isnan(found.low)
    assert math.isnan(found.p)
    assert reason in found.reason


def test_the_paired_interval_covers_as_often_as_it_says():
    """Of 2,000 pairs of studies with a true difference of 1, about 95 % of the intervals hold it (93 to 97 %)."""
    draws = np.random.default_rng(5)
    luck = draws.normal(0, 2, (2000, 1, 3))
    values = luck + draws.normal(0, 1, (2000, 2, 3)) + np.array([[0.0], [1.0]])
    found = [contrast(pd.Series(first), pd.Series(second)) for first, second in values]
    assert 0.93 < np.mean([c.low < 1 < c.high for c in found]) < 0.97


def test_holm_is_over_all_rows_of_the_table(two):
    """The smallest p is multiplied by the number of rows, the baselines' among them."""
    contrasts = across(two).contrasts
    smallest = contrasts.loc[contrasts["p"].idxmin()]
    assert list(contrasts["effect"]) == [BASELINES, NONE]
    assert smallest["p_holm"] == pytest.approx(2 * smallest["p"], rel=1e-12)


def test_effects_in_each_study_are_those_of_its_own_report(two):
    """Difference, interval, p and verdict of a shared effect are the studies' own numbers, unchanged."""
    effects = across(two).effects.set_index("study")
    assert list(effects.index) == ["vit", "ceit"]
    for label, single in zip(("vit", "ceit"), two, strict=True):
        own = single.summary.set_index("variant").loc[NONE]
        assert effects.loc[label, "difference"] == own["difference"]
        assert effects.loc[label, "low"] == own["difference_low"]
        assert effects.loc[label, "verdict"] == own["verdict"]


def test_the_same_fields_set_alike_are_one_effect_under_two_names(two):
    """Variants of other names belong together where they set the same fields to the same values."""
    changes = {"model.position": ("learned", "none")}
    first = changed(two[0], "vit", changes)
    second = changed(two[1], "ceit", changes, "x")
    (found,) = [effect for effect in shared_effects([first, second]) if "x" in effect.variants.values()] or [None]
    assert found is None  # by name `position=none` has a partner already
    second = replace(second, variants=tuple(v for v in second.variants if v.name != NONE))
    (found,) = shared_effects([first, second])
    assert dict(found.variants) == {0: NONE, 1: "x"}
    assert found.alike == SAME_CHANGE


@pytest.mark.parametrize(
    ("other", "alike"),
    [
        (("learned", "none"), SAME_CHANGE),
        (("sincos2d", "none"), OTHER_REFERENCE),
        (("learned", "off"), OTHER_SETTINGS),
    ],
)
def test_it_is_told_how_alike_two_changes_are(two, other, alike):
    """One Level by name may be another change: from another reference, or to another value."""
    first = changed(two[0], "vit", {"model.position": ("learned", "none")})
    second = changed(two[1], "ceit", {"model.position": other})
    assert [effect.alike for effect in shared_effects([first, second])] == [alike]


def test_a_control_is_never_taken_for_the_variant_it_controls(two):
    """A matched-capacity control has its Variant's Levels, and is no second case of that effect."""
    control = replace(two[1].study.variants[1], name=f"{NONE}@matched", control_of=NONE)
    second = replace(two[1].study, variants=(*two[1].study.variants, control))
    (found,) = shared_effects([two[0].study, second])
    assert dict(found.variants) == {0: NONE, 1: NONE}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"metric": Metric("loss", "maximize", "%")}, "the metric (top1 and loss)"),
        ({"metric": Metric("top1", "minimize", "%")}, "what is better"),
        ({"data_fingerprint": "other"}, "the data (d1g175 and other)"),
    ],
)
def test_what_is_not_measured_alike_is_not_subtracted(two, fields, told):
    """With another metric or other data there are no differences between the studies, and a warning says why."""
    found = across([two[0], replace(two[1], study=replace(two[1].study, **fields))])
    assert found.contrasts.empty
    assert told in found.warnings[0]
    assert len(found.effects) == 2  # each study's own effects stand


def test_other_held_out_images_forbid_differences_too(two):
    """The same data judged on another part of them is no common measure."""
    study = two[1].study
    recipe = {**study.baseline.recipe, "data": {"source": "digits", "evaluate_on": "val"}}
    variants = (replace(study.baseline, recipe=recipe), *study.variants[1:])
    found = across([two[0], replace(two[1], study=replace(study, variants=variants))])
    assert found.contrasts.empty
    assert "data.evaluate_on (test and val)" in found.warnings[0]


def test_seeds_that_were_added_by_results_are_warned_of(two):
    """The differences between studies take seeds for fixed in number; where they are not, a warning says so."""
    study = replace(two[1].study, sequential=Sequential(3, 12))
    assert across(two).warnings == ()
    (warning,) = across([two[0], replace(two[1], study=study)]).warnings
    assert "ceit adds seeds" in warning


def test_trials_of_both_studies_are_named(fake):
    """Trials with one id are listed with the Variants whose they are, and seeds."""
    values = {"baseline": [90, 91, 92.0], NONE: [70, 71.5, 71.8]}
    first = fake.study(tuple(values), name="a")
    compared = [comparison(s, fake.records(s, values)) for s in (first, replace(first, name="b"))]
    found = across(compared)
    assert found.trials[["variant_first", "variant_second", "seeds"]].values.tolist() == [
        ["baseline", "baseline", "0, 1, 2"],
        [NONE, NONE, "0, 1, 2"],
    ]
    assert set(found.contrasts["reason"]) == {"no difference in any seed"}


def test_fields_in_which_the_baselines_differ_are_listed(two):
    """A field of the Recipe that is not the same in all baselines is a row with each study's value."""
    study = two[1].study
    recipe = {**study.baseline.recipe, "schedule": {"epochs": 100, "batch_size": 64}}
    variants = (replace(study.baseline, recipe=recipe), *study.variants[1:])
    fields = across([two[0], replace(two[1], study=replace(study, variants=variants))]).fields
    assert fields.values.tolist() == [["schedule.epochs", "30", "100"]]


def test_a_study_is_not_compared_with_itself(two):
    """The same study twice is a mistake, and so is a single one."""
    with pytest.raises(ValueError, match="given twice"):
        across([two[0], two[0]])
    with pytest.raises(ValueError, match="at least two"):
        across([two[0]])


def test_three_studies_give_every_pair(two, compared):
    """Each pair of studies that share an effect is a row."""
    third = compared("mixer", {"baseline": [80, 81, 80.5], NONE: [60, 60.2, 61.0]})
    contrasts = across([*two, third]).contrasts
    assert list(contrasts["effect"]) == [BASELINES, NONE] * 3


def test_the_page_is_written_in_the_formats_asked_for_and_leaves_nothing_over(two, tmp_path):
    """Tables of an earlier comparison that this one does not have are removed; formats not asked for stay."""
    write_page(across_page(across(two)), tmp_path)
    names = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert {"report.html", "report.md", "tables/contrasts.csv", "tables/contrasts.tex", "figures/effects.svg"} <= names
    other = replace(two[1], study=replace(two[1].study, data_fingerprint="other"))
    write_page(across_page(across([two[0], other])), tmp_path, {"csv", "md"})
    assert not (tmp_path / "tables/contrasts.csv").exists()
    assert (tmp_path / "tables/contrasts.tex").exists()
    assert "not measured alike" in (tmp_path / "report.md").read_text()


def test_equal_results_give_equal_pages(two):
    """Two pages of the same studies are the same bytes, figures included."""
    first, second = (across_page(across(two)) for _ in range(2))
    assert first.figures == second.figures
    assert to_html(first) == to_html(second)


def test_hostile_names_stay_text(fake):
    """Names that are markup are escaped on the page and in Markdown, and nothing else is loaded."""
    study, records = fake.hostile()
    compared = [comparison(replace(study, name=name), records) for name in ("<b>a</b>", "b|c")]
    page = across_page(across(compared))
    html = to_html(page)
    assert "<script>alert" not in html
    assert "<b>a</b>" not in html
    assert "<img" not in html
    assert "b\\|c" in to_markdown(page)
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(page)
    assert "<script>alert(1)</script>" in console.export_text()
