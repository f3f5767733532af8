from __future__ import annotations

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.reporting.comparison import comparison
from ablate.reporting.examples import Examples
from ablate.reporting.kept import Kept
from ablate.reporting.page.class_differences import MOST_CLASSES, class_table
from ablate.reporting.page.columns import columns_of
from ablate.reporting.page.disagreements import BYTES, disagreements_data
from ablate.reporting.page.embedded import embedded, short
from ablate.reporting.page.factors import factor_sections
from ablate.reporting.page.inline_svg import inline_svg
from ablate.reporting.page.logs import CHARACTERS, LOGS, logs_of
from ablate.reporting.page.reading import how_to_read
from ablate.reporting.page.recipes import flat_changes
from ablate.reporting.provenance import flat_recipe
from ablate.study.study import Analysis

LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["a", "b"]))
RECIPES = st.recursive(LEAVES, lambda inner: st.dictionaries(st.sampled_from("pqr"), inner, max_size=3), max_leaves=8)
MAPPINGS = st.dictionaries(st.sampled_from("xyz"), RECIPES, min_size=1, max_size=3)


@given(st.recursive(st.text(), st.lists, max_leaves=5))
def test_data_cannot_end_its_script(value: object) -> None:
    """No `<`, `>` or `&` is in the JSON, and it is read back as it was."""
    text = str(embedded(value))
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value


def test_numbers_are_shortened_and_what_is_none_is_told() -> None:
    """Six digits; JSON has no NaN."""
    assert short(97.123456789) == 97.1235
    assert short(math.nan) is None
    with pytest.raises(ValueError):
        embedded(math.nan)


@given(MAPPINGS, MAPPINGS)
def test_a_recipe_is_the_baseline_s_and_its_changes(before: dict[str, object], after: dict[str, object]) -> None:
    """The baseline's fields with the changes made are the Variant's fields, and nothing else is a change."""
    fields: dict[str, str | None] = dict(flat_recipe(before))
    changes = flat_changes(before, after)
    made = {name: text for name, text in (fields | changes).items() if text is not None}
    assert made == flat_recipe(after)
    assert all(fields.get(name) != text or name not in fields for name, text in changes.items())


def test_an_svg_without_a_size_is_refused() -> None:
    """Inlining expects matplotlib's own output."""
    with pytest.raises(AssertionError):
        inline_svg(b"<svg></svg>", "x")


def test_a_column_without_content_is_left_out(fake: SimpleNamespace) -> None:
    """Without models' costs there are no FLOPs, with them there are; what is always there is there without results."""
    study, records = fake.realistic()
    compared = comparison(study, records)
    assert "FLOPs" not in [column.title for column in columns_of(compared)]
    costly = replace(compared, summary=compared.summary.assign(flops=1e9))
    assert "FLOPs" in [column.title for column in columns_of(costly)]
    empty = [column.title for column in columns_of(comparison(study, {}))]
    assert {"Variant", "n", "Difference", "Verdict"} <= set(empty)
    assert "Difference, drawn" not in empty


def test_rare_columns_wait_to_be_chosen(fake: SimpleNamespace) -> None:
    """Effect sizes and intervals over images are there, and not shown at first."""
    study, records = fake.realistic()
    summary = comparison(study, records).summary
    more = summary.assign(effect_size=1.0, effect_size_low=0.5, effect_size_high=1.5, both_low=-1.0, both_high=1.0)
    columns = {c.title: c for c in columns_of(replace(comparison(study, records), summary=more))}
    for title in ("Effect size", "Other seeds and images"):
        assert not columns[title].shown
    assert columns["Effect size"].texts[1].startswith("+1.0")
    assert columns["Other seeds and images"].texts[1].startswith("[−1.0")


def test_a_factor_has_its_levels_and_the_variants_that_move_it_alone(fake: SimpleNamespace) -> None:
    """The reference first; a Level that only combinations take has no Variant; combinations are counted."""
    study, records = fake.realistic()
    sections = {section.title: section for section in factor_sections(comparison(study, records))}
    position = sections["position"]
    assert [level.name for level in position.levels] == ["reference", "learned", "none"]
    assert [level.variant for level in position.levels] == [0, 1, 2]
    assert position.levels[1].sets == ("x: learned",)
    assert position.combined == 1
    assert position.variants == [1, 2]


def test_classes_that_differ_most_have_a_column() -> None:
    """Of many classes those with the largest differences are shown by name, in their own order; the rest is counted."""
    rows = [
        {"variant": "a", "class": c, "class_name": f"c{c}", "n_images": 10, "baseline": 90.0, "accuracy": 90.0 + c,
         "difference": float(c), "low": c - 1.0, "high": c + 1.0, "pairs": 3}
        for c in range(30)
    ]  # fmt: skip
    table = class_table(pd.DataFrame(rows), ["a", "b"])
    assert table is not None
    assert table.classes == tuple(f"c{c}" for c in range(30 - MOST_CLASSES, 30))
    assert table.left_out == 30 - MOST_CLASSES
    (name, cells), *others = table.rows
    assert (name, others) == ("a", [])
    assert (cells[-1].shade, cells[-1].certain, cells[-1].text) == (100, True, "+29.0")


def outcomes(names: list[str], images: int) -> Examples:
    """One seed each; Variant i gets image i wrong, and the baseline none."""
    correct = {name: np.ones((1, images), dtype=bool) for name in names}
    for place, name in enumerate(names[1:]):
        correct[name][0, place] = False
    label = np.zeros(images, dtype=np.int64)
    prediction = {name: np.where(own, 0, 7) for name, own in correct.items()}
    return Examples(np.arange(images) + 50, label, correct, prediction, dict.fromkeys(names, (0,)))


def test_any_two_variants_can_be_compared_by_image(fake: SimpleNamespace) -> None:
    """Every image carries every Variant's answers, and the number of disagreements is that of all images."""
    study = fake.study(("baseline", "a", "b"))
    data = disagreements_data(study, outcomes(["baseline", "a", "b"], 9), ["a", "b"], Kept())
    assert data is not None
    assert [image[:2] for image in data["images"]] == [[50, 0], [51, 0]]
    assert data["variants"][1] == [1, 1, [0, 1], [7, 0]]
    assert data["differ"] == [[0, 1, 1], [1, 0, 2], [1, 2, 0]]
    assert data["of"] == 9


def test_classes_on_the_page_have_their_names(fake: SimpleNamespace) -> None:
    """Those that are shown or predicted, and no others; none where classes are numbers."""
    study, known = fake.study(("baseline", "a")), outcomes(["baseline", "a"], 9)
    named = disagreements_data(study, replace(known, class_names=tuple("abcdefghij")), ["a"], Kept())
    numbered = disagreements_data(study, known, ["a"], Kept())
    assert named is not None
    assert numbered is not None
    assert named["classes"] == {0: "a", 7: "h"}
    assert numbered["classes"] == {}


def test_pictures_stop_where_the_page_would_grow(fake: SimpleNamespace) -> None:
    """The first pictures fit, the next is left out, and its image is told by its place."""
    study = fake.study(("baseline", "a", "b"))
    kept = Kept(pictures=lambda _, places: [b"x" * (BYTES - 10)] * len(places))
    data = disagreements_data(study, outcomes(["baseline", "a", "b"], 9), ["a", "b"], kept)
    assert data is not None
    assert data["images"][0][2].startswith("data:image/png;base64,")
    assert data["images"][1][2] == ""


def test_no_disagreement_is_no_section(fake: SimpleNamespace) -> None:
    """Without outcomes by image, or where all agree, there is nothing to show."""
    study = fake.study(("baseline", "a"))
    assert disagreements_data(study, None, ["a"], Kept()) is None
    assert disagreements_data(study, outcomes(["baseline"], 5), ["a"], Kept()) is None


def test_logs_are_cut_and_counted(fake: SimpleNamespace) -> None:
    """The end of a long log, and so many of them."""
    study = fake.study(("baseline", "a"), tuple(range(60)))
    records = {
        t.id: replace(
            fake.record(study, t.variant, t.seed, 1.0), status="failed", metrics={}, log_tail="start" + "y" * 9000
        )
        for t in study.trials
    }
    logs = logs_of(comparison(study, records), records)
    assert (len(logs.shown), logs.others) == (LOGS, 120 - LOGS)
    assert len(logs.shown[0][1]) == CHARACTERS + 1
    assert "start" not in logs.shown[0][1]


def test_how_to_read_follows_the_study(fake: SimpleNamespace) -> None:
    """The margin and the rate of wrong verdicts are the study's; without a margin the page says what follows."""
    named = fake.study(("baseline", "a"), analysis=Analysis(margin=0.5, alpha=0.01))
    text = " ".join(how_to_read(comparison(named, {})))
    assert "no difference within ±0.5" in text
    assert "99 %" in text
    plain = " ".join(how_to_read(comparison(fake.study(("baseline", "a")), {})))
    assert "names no margin" in plain
    assert "95 %" in plain
