"""Accuracy by class: the numbers, and what a table shows of them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ablate.reporting.classes import class_differences, class_table, most_different
from ablate.reporting.comparison import comparison
from ablate.reporting.examples import Examples
from ablate.reporting.statistics import PairedDifference, holm
from ablate.study.study import Analysis

CLASSES, EACH = 4, 30


def outcomes(names: tuple[str, ...], seeds: int = 3, classes: int = CLASSES) -> Examples:
    """Random outcomes, classes in no order; the last Variant is always wrong in class 1."""
    draws = np.random.default_rng(0)
    label = draws.permutation(np.repeat(np.arange(classes), EACH))
    correct = {name: draws.random((seeds, label.size)) < 0.8 for name in names}
    correct[names[-1]][:, label == 1] = False
    prediction = {name: np.where(rows, label, (label + 1) % classes) for name, rows in correct.items()}
    return Examples(np.arange(label.size), label, correct, prediction, dict.fromkeys(names, tuple(range(seeds))))


def test_each_class_is_a_paired_comparison(fake: SimpleNamespace) -> None:
    """Differences, intervals and p values are those of the paired t test on the accuracies of one class."""
    study, examples = fake.study(), outcomes(("baseline", "a", "b"))
    found = class_differences(study, examples)
    assert list(zip(found["variant"], found["class"], strict=True)) == [(v, k) for v in "ab" for k in range(CLASSES)]
    for k in range(CLASSES):
        rows = [
            {"variant": name, "seed": seed, "metric": 100 * right[examples.label == k].mean()}
            for name, each in examples.correct.items()
            for seed, right in enumerate(each)
        ]
        expected = PairedDifference("baseline", "maximize")(pd.DataFrame(rows))
        of_class = found[found["class"] == k].set_index("variant")
        for ours, theirs in {"difference": "difference", "low": "difference_low", "high": "difference_high"}.items():
            assert of_class[ours].to_numpy() == pytest.approx(expected[theirs].to_numpy(), nan_ok=True)
        assert of_class["p"].to_numpy() == pytest.approx(expected["p"].to_numpy(), nan_ok=True)
    of_a = found[found["variant"] == "a"]
    assert of_a["p_holm"].to_numpy() == pytest.approx(holm(of_a["p"]), nan_ok=True)
    assert set(found["n_images"]) == {EACH}


def test_intervals_are_at_the_studys_alpha(fake: SimpleNamespace) -> None:
    """A smaller alpha gives wider intervals."""
    study, examples = fake.study(), outcomes(("baseline", "a", "b"))
    strict = class_differences(replace(study, analysis=Analysis(alpha=0.01)), examples)
    usual = class_differences(study, examples)
    known = usual["low"].notna()
    assert (strict["low"][known] < usual["low"][known]).all()


def test_one_seed_has_no_interval_and_no_p(fake: SimpleNamespace) -> None:
    """With a single pair the difference stands alone, even where it is zero."""
    examples = outcomes(("baseline", "a"), seeds=1)
    same = replace(examples, correct={**examples.correct, "a": examples.correct["baseline"]})
    for given in (examples, same):
        found = class_differences(fake.study(("baseline", "a"), (0,)), given)
        assert found[["low", "high", "p", "p_holm"]].isna().all(axis=None)
        assert found["difference"].notna().all()


def test_only_common_seeds_are_compared(fake: SimpleNamespace) -> None:
    """Seeds without a partner are left out, and a Variant without any has no rows."""
    examples = outcomes(("baseline", "a", "b"))
    seeds = {"baseline": (0, 1, 2), "a": (2, 1, 7), "b": (7, 8, 9)}
    found = class_differences(fake.study(), replace(examples, seeds=seeds))
    assert set(found["variant"]) == {"a"}
    assert set(found["pairs"]) == {2}
    first = examples.label == 0
    expected = 100 * examples.correct["a"][[1, 0]][:, first].mean()
    assert found["accuracy"].iloc[0] == pytest.approx(expected)
    none = class_differences(fake.study(), replace(examples, seeds={**seeds, "a": (5, 6, 7)}))
    assert none.empty
    assert list(none.columns) == list(found.columns)


def test_a_table_of_many_classes_shows_the_most_different(fake: SimpleNamespace) -> None:
    """Of 14 classes the three largest differences of each Variant are shown, in falling order; the numbers have all."""
    names = ("baseline", "a", "b", "c")
    study = fake.study(names)
    found = class_differences(study, outcomes(names, classes=14))
    shown = most_different(found)
    assert shown["variant"].tolist() == [v for v in "abc" for _ in range(3)]
    for name, rows in shown.groupby("variant"):
        size = found[found["variant"] == name]["difference"].abs()
        assert rows["difference"].abs().tolist() == sorted(size, reverse=True)[:3]
    assert shown[shown["variant"] == "c"]["class"].iloc[0] == 1


def test_a_table_of_many_variants_shows_those_with_the_largest_differences(fake: SimpleNamespace) -> None:
    """Of 30 Variants 20 are shown, and the one that fails a class is among them."""
    names = ("baseline", *(f"v{i}" for i in range(30)))
    found = class_differences(fake.study(names), outcomes(names))
    shown = most_different(found)
    assert shown["variant"].nunique() == 20
    assert "v29" in set(shown["variant"])


def test_the_table_is_text_beside_its_numbers(fake: SimpleNamespace) -> None:
    """Every cell of the text is a text, the numbers are whole, and the caption says what is left out."""
    names = ("baseline", "a", "b", "c")
    study = fake.study(names)
    compared = comparison(study, fake.records(study, {name: [90.0, 91.0, 92.5] for name in names}))
    assert class_table(compared) is None
    table = class_table(replace(compared, examples=outcomes(names, classes=14)))
    assert table is not None
    assert table.name == "classes"
    assert table.text.map(lambda cell: isinstance(cell, str)).all(axis=None)
    assert (len(table.text), len(table.numbers)) == (9, 42)
    assert "9 of 42 rows" in table.caption


def test_classes_are_called_by_name(fake: SimpleNamespace) -> None:
    """A class with a name is shown by it, one without by its number; the numbers keep the label beside it."""
    names = ("baseline", "a")
    study = fake.study(names)
    compared = comparison(study, fake.records(study, {name: [90.0, 91.0, 92.5] for name in names}))
    called = replace(outcomes(names), class_names=("ant", "bee", "cat", "<dog>"))
    table = class_table(replace(compared, examples=called))
    assert table is not None
    assert table.text["Class"].tolist() == ["ant", "bee", "cat", "<dog>"]
    assert table.numbers["class"].tolist() == [0, 1, 2, 3]
    assert table.numbers["class_name"].tolist() == ["ant", "bee", "cat", "<dog>"]
    unnamed = class_differences(study, outcomes(names))
    assert unnamed["class_name"].tolist() == ["0", "1", "2", "3"]
