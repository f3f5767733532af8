from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from ablate.reporting.comparison import comparison
from ablate.study.study import PublishedColumn

NAN = float("nan")


def test_rows_follow_the_study(fake: SimpleNamespace) -> None:
    """One row per Variant in the study's order, whatever has finished."""
    study = fake.study(("baseline", "z=1", "a=1"))
    assert list(comparison(study, {}).summary["variant"]) == ["baseline", "z=1", "a=1"]


def test_failures_with_one_story_share_a_row(fake: SimpleNamespace) -> None:
    """Seeds that failed alike stand together; another cause, or no start at all, has its own row."""
    study = fake.study(("baseline", "a"))
    records = fake.records(study, {"baseline": [90.0], "a": [NAN, NAN]})
    found = comparison(study, records).failures
    assert found[["variant", "seeds", "status"]].values.tolist() == [
        ["baseline", "1, 2", "missing"],
        ["a", "0, 1", "failed"],
        ["a", "2", "missing"],
    ]


def test_a_diverged_baseline_leaves_means_and_no_verdicts(fake: SimpleNamespace) -> None:
    """Variants keep their means; no difference is invented."""
    study = fake.study(("baseline", "a"))
    summary = comparison(study, fake.records(study, {"baseline": [NAN] * 3, "a": [1.0, 2.0, 3.0]})).summary
    assert summary["mean"].isna().tolist() == [True, False]
    assert summary.loc[1, ["pairs", "verdict", "reason"]].tolist() == [
        0,
        "not enough evidence",
        "the baseline has no result",
    ]


def test_published_numbers_stand_beside_the_measured(fake: SimpleNamespace) -> None:
    """Measured less published where both exist; equal labels are kept apart."""
    columns = (PublishedColumn("paper", {"baseline": 76.5}, "T1"), PublishedColumn("paper", {"a": 70.0}, "T2"))
    study = fake.study(("baseline", "a"), published=columns)
    summary = comparison(study, fake.records(study, {"baseline": [76.0] * 3, "a": [71.0] * 3})).summary
    assert summary["minus.paper"].tolist() == pytest.approx([-0.5, NAN], nan_ok=True)
    assert summary["minus.paper (2)"].tolist() == pytest.approx([NAN, 1.0], nan_ok=True)


def test_time_is_the_mean_over_seeds_with_a_result(fake: SimpleNamespace) -> None:
    """A Trial that failed early does not make its Variant look fast."""
    study = fake.study(("baseline", "a"))
    records = fake.records(study, {"baseline": [1.0] * 3, "a": [1.0, 2.0, NAN]})
    records["a-0"] = replace(records["a-0"], seconds=10.0)
    records["a-1"] = replace(records["a-1"], seconds=20.0)
    records["a-2"] = replace(records["a-2"], seconds=0.1)
    assert comparison(study, records).summary.loc[1, "seconds"] == 15.0


def test_changes_name_levels_or_else_fields(fake: SimpleNamespace) -> None:
    """Levels off their reference describe a Variant; without any, its changed fields do."""
    study = fake.study(("baseline", "a=1+b=2", "a=1", "b=2"))
    listed = replace(study.variants[1], levels=dict.fromkeys(study.factors, "reference"))
    study = replace(study, variants=(study.variants[0], listed, *study.variants[2:]))
    changes = comparison(study, {}).summary["changes"]
    assert changes[0] == ""
    assert changes[1] == "model.dropout: 0.0 → 0.1; model.position: sincos2d → a=1+b=2"
    assert changes[2] == "a: 1"
