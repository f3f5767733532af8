"""Captions say how the numbers came about, and nothing that is not so."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from ablate.reporting import captions, methods
from ablate.reporting.comparison import Comparison, comparison
from ablate.reporting.figure_captions import figure_captions
from ablate.reporting.tables import comparison_table, failures_table
from ablate.study.study import Analysis, PublishedColumn, Sequential

NAN = float("nan")
VALUES = {"baseline": [90.0, 90.5, 91.9], "a": [92.0, 92.51, 93.93], "b": [90.3, 90.1, 93.0]}


def compared_of(fake: SimpleNamespace, analysis: Analysis = Analysis(), **fields: object) -> Comparison:  # noqa: B008
    study = replace(fake.study(tuple(VALUES)), analysis=analysis, **fields)
    return comparison(study, fake.records(study, VALUES))


def test_the_level_is_the_studys(fake: SimpleNamespace) -> None:
    """With alpha 0.1, intervals are of 90 % and verdicts at 0.1, in every caption and nowhere 95 %."""
    compared = compared_of(fake, Analysis(alpha=0.1))
    texts = [captions.comparison_caption(compared), *captions.paper_caption(compared)]
    texts += figure_captions(compared).values()
    assert not any("95 %" in text or "0.05" in text for text in texts)
    assert "90 % t interval" in texts[0]
    assert "the adjusted p at 0.1," in texts[0]


@pytest.mark.parametrize("margin", [None, 0.75])
def test_equivalence_is_spoken_of_where_there_is_a_margin(margin: float | None, fake: SimpleNamespace) -> None:
    """The two one-sided tests and the margin are named, in all captions, or not at all."""
    compared = compared_of(fake, Analysis(margin=margin))
    for text in (captions.comparison_caption(compared), captions.paper_caption(compared, narrow=True)[1]):
        assert ("TOST" in text) == (margin is not None)
        assert ("no difference within ±0.75" in text) == (margin is not None)


def test_open_verdicts_say_how_many_seeds_are_wanted(fake: SimpleNamespace) -> None:
    """In the cell, one seed as one; a verdict that is settled, or of which that is not known, says nothing."""
    compared = compared_of(fake)
    compared.summary["verdict"] = ["", "not enough evidence", "not enough evidence"]
    compared.summary["seeds_needed"] = [np.nan, 1.0, 12.0]
    assert comparison_table(compared)["Verdict"].tolist() == [
        "—", "not enough evidence (1 more seed)", "not enough evidence (12 more seeds)"
    ]  # fmt: skip
    assert "80 %" in captions.comparison_caption(compared)
    compared.summary["seeds_needed"] = np.nan
    assert comparison_table(compared)["Verdict"][2] == "not enough evidence"
    assert "80 %" not in captions.comparison_caption(compared)


def test_growing_seeds_are_told_with_what_they_saved(fake: SimpleNamespace) -> None:
    """Least and most, and that p and intervals hold under it."""
    text = captions.comparison_caption(compared_of(fake, sequential=Sequential(3, 12)))
    for words in (
        "from 3 up to 12", "p and the intervals hold under this stopping",
        "repeated confidence interval", "of all looks",
    ):  # fmt: skip
        assert words in text
    assert "|t|" not in text
    assert "stopping" not in captions.comparison_caption(compared_of(fake))


def test_only_what_is_decided_has_saved_trials(fake: SimpleNamespace) -> None:
    """A verdict after 3 of 12 seeds saves 9 Trials of its Variant; the baseline's are saved once no verdict is open."""
    compared = compared_of(fake, sequential=Sequential(3, 12))
    compared.summary["verdict"] = ["", "not enough evidence", "not enough evidence"]
    assert methods.trials_saved(compared) == 0
    assert "saved" not in captions.comparison_caption(compared)
    compared.summary["verdict"] = ["", "helps", "not enough evidence"]
    assert methods.trials_saved(compared) == 9
    compared.summary["verdict"] = ["", "helps", "no difference"]
    assert methods.trials_saved(compared) == 27
    assert "saved 27 Trials of the 36" in captions.comparison_caption(compared)


@pytest.mark.parametrize(
    ("tuned", "words"),
    [
        ({}, ""),
        (
            {"baseline": 20, "b": True},
            "baseline: 20 settings tried; a: the study says nothing of tuning; b: tuned, settings not counted",
        ),
        ({"baseline": 1, "a": 1, "b": 1}, "Tuned alike, 1 setting tried for each Variant."),
    ],
)
def test_unequal_tuning_is_said(tuned: dict[str, int | bool], words: str, fake: SimpleNamespace) -> None:
    """Who was tuned how much; that differences favour the tuned is said only where it was not the same for all."""
    for caption in (captions.comparison_caption, partial(captions.terminal_caption, left_out=())):
        text = caption(compared_of(fake, Analysis(tuned=tuned)))
        assert words in text
        assert ("favour" in text) == ("; " in words)
        assert ("uned" in text) == bool(tuned)


def test_other_names_and_controls_are_named(fake: SimpleNamespace) -> None:
    """What the design asked for twice, and which Variant is there for its size."""
    study = fake.study(tuple(VALUES))
    first, a, b = study.variants
    study = replace(study, variants=(first, replace(a, also=("x", "y")), replace(b, control_of="a", note="dim 45")))
    text = captions.comparison_caption(comparison(study, fake.records(study, VALUES)))
    assert "under several names: a is also x and y." in text
    assert "baseline's number of parameters: b of a (dim 45)." in text


def test_images_have_a_column_where_they_are_known(fake: SimpleNamespace) -> None:
    """Other seeds and images where there are seeds enough, otherwise these trainings on other images; told apart."""
    compared = compared_of(fake)
    assert not {captions.BOTH, captions.IMAGES} & set(comparison_table(compared).columns)
    compared.summary["images_low"], compared.summary["images_high"] = [NAN, 1.0, -1.0], [NAN, 3.0, 2.0]
    compared.summary["both_low"], compared.summary["both_high"] = [NAN, 0.5, NAN], [NAN, 3.5, NAN]
    table = comparison_table(compared)
    assert table[captions.BOTH].tolist() == ["—", "[+0.500, +3.500]", "—"]
    assert table[captions.IMAGES].tolist() == ["—", "—", "[−1.000, +2.000]"]
    text = captions.comparison_caption(compared)
    assert f"{captions.BOTH}: 95 % interval" in text
    assert f"{captions.IMAGES}: 95 % interval" in text
    assert "All other intervals speak of the luck of a seed" in text


def test_a_verdict_beside_a_published_number_is_in_its_cell(fake: SimpleNamespace) -> None:
    """`agrees`, `better` and `worse`; an open one is silent; the caption explains those that are there."""
    column = PublishedColumn("paper", {"baseline": 90.7, "a": 91.0, "b": 95.0}, "T1")
    compared = compared_of(fake, Analysis(margin=0.5), published=(column,))
    compared.summary["stands.paper"] = ["agrees", "not enough evidence", "worse"]
    cells = comparison_table(compared)["− paper"].tolist()
    assert [cell.partition(", ")[2] for cell in cells] == ["agrees", "", "worse"]
    text = captions.comparison_caption(compared)
    assert "agrees within ±0.5 of the number as printed" in text
    assert "better, worse: the measured mean is not the number" in text


def test_failures_stand_beside_what_they_could_change(fake: SimpleNamespace) -> None:
    """A column of the table for the Variants that failed; in the caption those whose verdict hangs on the baseline."""
    study = fake.study(tuple(VALUES))
    compared = comparison(study, fake.records(study, {**VALUES, "baseline": [90.0, 90.5, NAN], "a": [NAN, 92.5, 93.9]}))
    compared.summary["sensitivity"] = ["", "stays not enough evidence", "hurts if the failed seed was as bad as ..."]
    table = failures_table(compared)
    assert table[captions.SENSITIVITY].tolist() == ["—", "stays not enough evidence"]
    text = captions.failures_caption(compared)
    assert "0 of 1 other Variant keep the verdict. b: hurts if the failed seed" in text
    compared.summary["sensitivity"] = ""
    assert captions.SENSITIVITY not in failures_table(compared)
    assert captions.SENSITIVITY not in captions.failures_caption(compared)


def test_trials_that_variants_share_are_saved_once(fake: SimpleNamespace) -> None:
    """Two Variants that differ in what is judged have the same Trials: these count once, and are saved when both are
    decided.
    """
    compared = compared_of(fake, sequential=Sequential(3, 10))
    trials = compared.trials
    own = trials[trials["variant"] == "a"].set_index("seed")["trial_id"]
    trials.loc[trials["variant"] == "b", "trial_id"] = trials.loc[trials["variant"] == "b", "seed"].map(own)
    compared.summary["verdict"] = ["", "helps", "no difference"]
    assert methods.trials_saved(compared) == 14
    assert "saved 14 Trials of the 20" in captions.comparison_caption(compared)
    compared.summary["verdict"] = ["", "helps", "not enough evidence"]
    assert methods.trials_saved(compared) == 0


def test_intervals_over_images_are_told_as_what_they_are(fake: SimpleNamespace) -> None:
    """Repeated ones where results decide the number of seeds, and only then."""
    for limits, words in (
        (None, "95 % interval of the same"),
        (Sequential(3, 9), "95 % repeated confidence interval of"),
    ):
        compared = compared_of(fake, sequential=limits)
        compared.summary["both_low"], compared.summary["both_high"] = [NAN, 0.5, NAN], [NAN, 3.5, NAN]
        assert f"{captions.BOTH}: {words}" in captions.comparison_caption(compared)
